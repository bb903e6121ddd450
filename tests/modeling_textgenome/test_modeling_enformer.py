import json

import pytest
import torch
from conftest import ROOT
from safetensors.torch import load_file, save_file

from textgenome import EnformerConfig, EnformerForTrackPrediction, EnformerModel
from textgenome.configuration.base_models import base_model_config
from textgenome.modeling_enformer import conv_widths, position_features


# Weights, inputs and outputs of a tiny random `Enformer` of enformer-pytorch 0.8.12 in evaluation mode: dim 24,
# depth 2, heads 2, attn_dim_key 4, num_downsamples 4, dim_divisible_by 4, output_heads human 3 and mouse 2,
# target_length -1, use_tf_gamma False. Seed 0 for the weights, in the order of their names: normal, with a variance of
# 1.5 over their inputs (2/15 in the stem, and three times the deviation for queries, keys and positions), biases of
# 0.1, those of the attention of 1, norms of 0.5 to 1.5, running variances of 0.75 to 1.25. Seed 1 for the bases, N
# among them.
GOLDEN = ROOT / "tests" / "modeling_textgenome" / "golden" / "enformer.safetensors"
TINY = EnformerConfig(
    dim=24,
    depth=2,
    heads=2,
    attn_dim_key=4,
    num_downsamples=4,
    dim_divisible_by=4,
    output_heads={"human": 3, "mouse": 2},
    use_tf_gamma=False,
    max_position_embeddings=256,  # the reference scales its positions to the length of the input
)
# What the published checkpoint calls each part of the trunk for the second time.
TRUNK = {"stem": 1, "conv_tower": 2, "transformer": 4, "final_pointwise": 6}

GAMMA_TABLE = {  # a distance in bins: features 0, 7, 15 and 31
    0: [5.35614e-07, 6.00742e-07, 6.01402e-07, 6.03167e-07],
    1: [0.000396617, 6.00742e-07, 6.01402e-07, 6.03167e-07],
    20: [0.650492, 6.00742e-07, 6.01402e-07, 6.03167e-07],
    48: [0.872011, 6.00742e-07, 6.01402e-07, 6.03167e-07],
    200: [0.000199522, 6.00742e-07, 6.01402e-07, 6.03167e-07],
    400: [5.35706e-07, 0.771892, 6.01402e-07, 6.03167e-07],
    740: [5.35614e-07, 6.00742e-07, 0.516771, 6.03167e-07],
    768: [5.35614e-07, 6.00742e-07, 1, 6.03167e-07],
    1500: [5.35614e-07, 6.00742e-07, 6.01402e-07, 0.327199],
    1535: [5.35614e-07, 6.00742e-07, 6.01402e-07, 1],
}


@pytest.fixture
def golden() -> tuple[dict, dict]:
    """Its weights, and its inputs and outputs by name."""
    tensors = load_file(GOLDEN)
    outside = {name for name in tensors if name.endswith(".256")}
    weights = {name: tensor for name, tensor in tensors.items() if name not in outside}
    return weights, {name.removesuffix(".256"): tensors[name] for name in outside}


def published_layout(weights: dict) -> dict:
    """With every weight of the trunk a second time."""
    twice = {}
    for name, tensor in weights.items():
        part, _, rest = name.partition(".")
        if part in TRUNK:
            twice[f"_trunk.{TRUNK[part]}.{rest}"] = tensor.clone()
    return weights | twice


def published_folder(folder, weights: dict, **config):
    config = {**TINY.to_dict(), "architectures": ["Enformer"], "use_checkpointing": False, **config}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_counts_of_the_published_model():
    config = base_model_config("EleutherAI/enformer-official-rough")
    with torch.device("meta"):
        model = EnformerForTrackPrediction(config)
        encoder = EnformerModel(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == 251_221_292
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 251_221_292 - (5313 + 1643) * 3073
    assert (config.bases_per_state, config.hidden_size, config.num_hidden_layers) == (128, 3072, 11)
    assert conv_widths(config) == [768, 768, 896, 1024, 1152, 1280, 1536]


def test_names_and_shapes_of_the_published_model():
    with torch.device("meta"):
        model = EnformerForTrackPrediction(base_model_config("EleutherAI/enformer-official-rough"))
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert len(shapes) == 287
    attention, feed_forward = "transformer.10.0.fn.", "transformer.10.1.fn."
    expected = {
        "stem.0.weight": (768, 4, 15),
        "stem.1.fn.0.running_var": (768,),
        "stem.1.fn.2.weight": (768, 768, 1),
        "stem.2.to_attn_logits.weight": (768, 768, 1, 1),
        "conv_tower.5.0.0.weight": (1280,),
        "conv_tower.5.0.2.weight": (1536, 1280, 5),
        "conv_tower.5.1.fn.0.weight": (1536,),
        "conv_tower.5.1.fn.2.weight": (1536, 1536, 1),
        "conv_tower.5.2.to_attn_logits.weight": (1536, 1536, 1, 1),
        attention + "0.weight": (1536,),
        attention + "1.to_q.weight": (512, 1536),
        attention + "1.to_k.weight": (512, 1536),
        attention + "1.to_v.weight": (1536, 1536),
        attention + "1.to_out.bias": (1536,),
        attention + "1.to_rel_k.weight": (512, 192),
        attention + "1.rel_content_bias": (1, 8, 1, 64),
        attention + "1.rel_pos_bias": (1, 8, 1, 64),
        feed_forward + "0.bias": (1536,),
        feed_forward + "1.weight": (3072, 1536),
        feed_forward + "4.weight": (1536, 3072),
        "final_pointwise.1.0.running_mean": (1536,),
        "final_pointwise.1.2.weight": (3072, 1536, 1),
        "_heads.human.0.weight": (5313, 3072),
        "_heads.mouse.0.bias": (1643,),
    }
    assert {name: shapes.get(name) for name in expected} == expected


def test_golden_outputs_of_the_reference(golden, tmp_path):
    weights, outside = golden
    published_folder(tmp_path, published_layout(weights))
    model, info = EnformerForTrackPrediction.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    assert set(model.state_dict()) == set(weights)
    outputs = model(outside["input_ids"].long())
    assert outside["last_hidden_state"].std() > 1
    torch.testing.assert_close(outputs.last_hidden_state, outside["last_hidden_state"], atol=1e-4, rtol=1e-4)
    for species in ("human", "mouse"):
        torch.testing.assert_close(outputs.tracks[species], outside[f"tracks.{species}"], atol=1e-4, rtol=1e-4)


def test_the_encoder_reads_the_published_layout_and_never_crops(golden, tmp_path):
    weights, outside = golden
    published_folder(tmp_path, published_layout(weights), target_length=4)
    model, info = EnformerModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    states = model(outside["input_ids"].long()).last_hidden_state
    torch.testing.assert_close(states, outside["last_hidden_state"], atol=1e-4, rtol=1e-4)
    model.save_pretrained(tmp_path / "saved")
    saved = load_file(tmp_path / "saved" / "model.safetensors")
    assert set(saved) == {name for name in weights if not name.startswith("_heads")}


def test_a_file_that_kept_only_the_second_names_is_read_by_a_key_mapping(golden, tmp_path):
    weights, outside = golden
    kept = {name: tensor for name, tensor in published_layout(weights).items() if name[0] == "_"}
    published_folder(tmp_path, kept)
    mapping = {rf"^_trunk\.{number}\.": f"{part}." for part, number in TRUNK.items()}
    model, info = EnformerModel.from_pretrained(tmp_path, key_mapping=mapping, output_loading_info=True)
    assert not info["missing_keys"]
    states = model(outside["input_ids"].long()).last_hidden_state
    torch.testing.assert_close(states, outside["last_hidden_state"], atol=1e-4, rtol=1e-4)


def test_gamma_features_are_those_of_the_original_implementation():
    """Some of the table `tf_gammas.pt` of enformer-pytorch 0.8.12, written by TensorFlow in float32: its error."""
    features = position_features(1536, 192, 1536, True, torch.device("cpu"))
    gamma = features[:, 64:96]
    for distance, row in GAMMA_TABLE.items():
        for sign in (1, -1):
            expected = torch.tensor(row)
            torch.testing.assert_close(gamma[1535 + sign * distance, [0, 7, 15, 31]], expected, atol=2e-3, rtol=2e-3)
    assert torch.equal(features[:1535, 96:], -features[:1535, :96])
    assert torch.equal(features[1536:, 96:], features[1536:, :96])
    assert not features[1535, 96:].any()


@pytest.mark.parametrize("normalize_over_distances", [True, False])
def test_position_features_do_not_depend_on_the_length(normalize_over_distances):
    long, short = (position_features(bins, 192, 1536, normalize_over_distances, "cpu") for bins in (1536, 10))
    torch.testing.assert_close(short, long[1535 - 9 : 1535 + 10])


def test_exponential_and_central_features():
    features = position_features(20, 12, 64, True, torch.device("cpu"))[19:, :4]
    distance = torch.arange(20.0)
    torch.testing.assert_close(features[:, 0], 0.5 ** (distance / 8))
    torch.testing.assert_close(features[:, 1], 0.5 ** (distance / 64))
    assert features[:, 2].tolist() == [float(each < 1) for each in range(20)]
    assert features[:, 3].tolist() == [float(each < 3) for each in range(20)]


def test_a_width_that_cannot_be_shared_among_positions_is_refused():
    with pytest.raises(ValueError, match="'dim' is 32, but must be a multiple of 6 x 'heads' = 12"):
        EnformerConfig(dim=32, heads=2)


@pytest.mark.parametrize("num_downsamples", [3, 4])
def test_the_convolutions_end_in_the_width_of_the_transformer(num_downsamples):
    config = EnformerConfig(dim=24, depth=1, heads=2, num_downsamples=num_downsamples, dim_divisible_by=4)
    widths = conv_widths(config)
    assert (len(widths), widths[0], widths[-1]) == (num_downsamples, 12, 24)


@pytest.mark.parametrize("num_downsamples", [0, 1, 2])
def test_too_few_convolutions_to_reach_the_width_of_the_transformer_are_refused(num_downsamples):
    with pytest.raises(ValueError, match=f"'num_downsamples' is {num_downsamples}, but must be at least 3"):
        EnformerConfig(dim=24, heads=2, num_downsamples=num_downsamples)
