import json

import pytest
import torch
from conftest import ROOT
from safetensors.torch import load_file, save_file

from textgenome import BorzoiConfig, BorzoiForTrackPrediction, BorzoiModel
from textgenome.configuration.base_models import base_model_config
from textgenome.modeling_borzoi import position_features


# Weights, inputs and outputs of a tiny random `Borzoi` of borzoi-pytorch 0.5.1 in evaluation mode: dim 16, depth 2,
# heads 2, attn_dim_key 4, attn_dim_value 6, enable_mouse_head True, bins_to_return -1; the convolutions whose widths
# it fixes made anew by its own classes with 8, 8, 8, 8, 12, 12 channels, 16 at the end, 3 human and 2 mouse tracks.
# Two lengths, each with the positions of a fresh model. Seed 0 for the weights, in the order of their names: normal,
# with a variance of 1.5 over their inputs (2/15 in the stem, and three times the deviation for queries, keys and
# positions), biases of 0.1, those of the attention of 1, norms of 0.5 to 1.5, running variances of 0.75 to 1.25.
# Seed 1 for the bases, N among them.
GOLDEN = ROOT / "tests" / "modeling_textgenome" / "golden" / "borzoi.safetensors"
LENGTHS = (1024, 640)
TINY = BorzoiConfig(
    conv_dims=[8, 8, 8, 8, 12, 12],
    dim=16,
    hidden_size=16,
    depth=2,
    heads=2,
    attn_dim_key=4,
    attn_dim_value=6,
    enable_mouse_head=True,
    num_human_tracks=3,
    num_mouse_tracks=2,
)


@pytest.fixture
def golden() -> tuple[dict, dict]:
    """Its weights, and its inputs and outputs for each length."""
    tensors = load_file(GOLDEN)
    outside = {
        length: {name.removesuffix(f".{length}"): tensors[name] for name in tensors if name.endswith(f".{length}")}
        for length in LENGTHS
    }
    weights = {name: each for name, each in tensors.items() if not name.endswith(tuple(map(str, LENGTHS)))}
    return weights, outside


def published_folder(folder, weights: dict, **config):
    config = {**TINY.to_dict(), "architectures": ["Borzoi"], **config}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_counts_of_the_published_model():
    config = base_model_config("johahi/borzoi-replicate-0")
    with torch.device("meta"):
        model = BorzoiForTrackPrediction(config)
        encoder = BorzoiModel(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == 185_892_699
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 185_892_699 - 7611 * 1921
    assert (config.bases_per_state, config.hidden_size, config.num_hidden_layers) == (32, 1920, 8)
    assert config.target_length == 6144


def test_names_and_shapes_of_the_published_model():
    with torch.device("meta"):
        model = BorzoiForTrackPrediction(base_model_config("johahi/borzoi-replicate-0"))
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert len(shapes) == 215
    attention, feed_forward = "transformer.7.0.fn.", "transformer.7.1.fn."
    expected = {
        "conv_dna.conv_layer.weight": (512, 4, 15),
        **{
            f"res_tower.{2 * i}.{name}": shape
            for i, (width, out) in enumerate([(512, 608), (608, 736), (736, 896), (896, 1056), (1056, 1280)])
            for name, shape in {"norm.running_var": (width,), "conv_layer.weight": (out, width, 5)}.items()
        },
        "unet1.1.norm.weight": (1280,),
        "unet1.1.conv_layer.weight": (1536, 1280, 5),
        attention + "0.weight": (1536,),
        attention + "1.to_q.weight": (512, 1536),
        attention + "1.to_k.weight": (512, 1536),
        attention + "1.to_v.weight": (1536, 1536),
        attention + "1.to_out.bias": (1536,),
        attention + "1.to_rel_k.weight": (512, 32),
        attention + "1.rel_content_bias": (1, 8, 1, 64),
        attention + "1.rel_pos_bias": (1, 8, 1, 64),
        feed_forward + "0.bias": (1536,),
        feed_forward + "1.weight": (3072, 1536),
        feed_forward + "4.weight": (1536, 3072),
        "horizontal_conv0.conv_layer.weight": (1536, 1280, 1),
        "horizontal_conv1.norm.weight": (1536,),
        "upsampling_unet0.0.conv_layer.weight": (1536, 1536, 1),
        "upsampling_unet1.0.norm.bias": (1536,),
        "separable0.conv_layer.0.weight": (1536, 1, 3),
        "separable1.conv_layer.1.bias": (1536,),
        "final_joined_convs.0.norm.weight": (1536,),
        "final_joined_convs.0.conv_layer.weight": (1920, 1536, 1),
        "human_head.weight": (7611, 1920, 1),
    }
    assert {name: shapes.get(name) for name in expected} == expected
    assert not [name for name in shapes if name.startswith("mouse_head")]


def test_golden_outputs_of_the_reference_at_one_length_after_another(golden, tmp_path):
    weights, outside = golden
    published_folder(tmp_path, weights)
    model, info = BorzoiForTrackPrediction.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    assert set(model.state_dict()) == set(weights)
    for length in LENGTHS:
        expected = outside[length]
        outputs = model(expected["input_ids"].long())
        assert expected["last_hidden_state"].std() > 1
        torch.testing.assert_close(outputs.last_hidden_state, expected["last_hidden_state"], atol=1e-4, rtol=1e-4)
        for species in ("human", "mouse"):
            torch.testing.assert_close(outputs.tracks[species], expected[f"tracks.{species}"], atol=1e-4, rtol=1e-4)


def test_the_encoder_reads_the_published_layout_and_never_crops(golden, tmp_path):
    weights, outside = golden
    published_folder(tmp_path, weights, return_center_bins_only=True, bins_to_return=4)
    model, info = BorzoiModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    expected = outside[1024]
    states = model(expected["input_ids"].long()).last_hidden_state
    torch.testing.assert_close(states, expected["last_hidden_state"], atol=1e-4, rtol=1e-4)
    model.save_pretrained(tmp_path / "saved")
    saved = load_file(tmp_path / "saved" / "model.safetensors")
    assert set(saved) == {name for name in weights if "_head." not in name}


def test_position_features():
    features = position_features(5, 4, 15, torch.device("cpu"))
    assert features.tolist() == [  # distances of -4 to 4; widths of 3 and 15
        [0, 1, 0, -1],
        [0, 1, 0, -1],
        [1, 1, -1, -1],
        [1, 1, -1, -1],
        [1, 1, 0, 0],
        [1, 1, 1, 1],
        [1, 1, 1, 1],
        [0, 1, 0, 1],
        [0, 1, 0, 1],
    ]


def test_flashzoi_is_refused():
    with pytest.raises(ValueError, match="Flashzoi"):
        BorzoiConfig(flashed=True)
