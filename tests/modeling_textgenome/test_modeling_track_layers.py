"""What holds of Enformer and of Borzoi."""

import pytest
import torch
from conftest import random_dna
from transformers import AutoConfig, AutoModel, set_seed

from textgenome import (
    BorzoiConfig,
    BorzoiForTrackPrediction,
    EnformerConfig,
    EnformerForTrackPrediction,
    TextGenomeDNAConfig,
)
from textgenome.modeling_dna_encoder import build_dna_encoder, find_layers, load_dna_encoder
from textgenome.modeling_track_layers import relative_shift
from textgenome.processing import build_dna_tokenizer


# (configuration, model, bases to which a row is filled up)
ENCODERS = {
    "enformer": (
        EnformerConfig(
            dim=24,
            depth=2,
            heads=2,
            attn_dim_key=4,
            num_downsamples=4,
            dim_divisible_by=4,
            output_heads={"human": 3, "mouse": 2},
            max_position_embeddings=1024,
        ),
        EnformerForTrackPrediction,
        16,
    ),
    "borzoi": (
        BorzoiConfig(
            conv_dims=[8, 8, 8, 12],
            dim=16,
            hidden_size=20,
            depth=2,
            heads=2,
            attn_dim_key=4,
            attn_dim_value=6,
            num_human_tracks=3,
            max_position_embeddings=1024,
        ),
        BorzoiForTrackPrediction,
        32,
    ),
}


@pytest.fixture(params=list(ENCODERS))
def encoder(request):
    return request.param


def tiny_model(encoder: str) -> torch.nn.Module:
    """With weights and statistics of batch norms so large that everything matters."""
    config, model_class, _ = ENCODERS[encoder]
    set_seed(0)
    model = model_class(config).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 1)
            torch.nn.init.normal_(module.bias)
        if hasattr(module, "to_out"):
            torch.nn.init.normal_(module.to_out.weight, std=0.3)
    return model


@pytest.fixture
def model(encoder):
    return tiny_model(encoder)


def bases(*shape: int) -> torch.Tensor:
    return torch.randint(0, 4, shape)


@pytest.mark.parametrize("length", [1, 2, 3, 8])
def test_relative_shift_takes_the_distance_of_key_and_query(length):
    logits = torch.randn(2, 3, length, 2 * length - 1)
    shifted = relative_shift(logits)
    for i in range(length):
        for j in range(length):
            assert torch.equal(shifted[..., i, j], logits[..., i, j - i + length - 1])


@pytest.mark.parametrize("length", [1, 15, 16, 17, 100, 1024])
def test_each_state_covers_so_many_bases(model, length):
    states = model(bases(2, length)).last_hidden_state
    assert states.shape == (2, -(-length // model.config.bases_per_state), model.config.hidden_size)


def test_a_base_changes_the_states_around_it_and_by_attention_all(model):
    before = bases(1, 1024)
    after = before.clone()
    after[0, 500] = (after[0, 500] + 1) % 4

    def change() -> torch.Tensor:
        return (model(before).last_hidden_state - model(after).last_hidden_state).abs().amax(-1)[0]

    assert change().min() > 1e-5
    for layer in model.transformer:
        torch.nn.init.zeros_(layer[0].fn[1].to_out.weight)
    covered = torch.arange(0, 1024, model.config.bases_per_state)
    assert change()[(covered - 500).abs() > 128].max() == 0
    assert change()[500 // model.config.bases_per_state] > 1e-2


def test_a_row_is_filled_up_with_no_bases(encoder, model):
    multiple = ENCODERS[encoder][2]
    ids = bases(2, 3 * multiple - 5)
    filled = torch.cat([ids, torch.full((2, 5), 4)], 1)
    states = model(ids).last_hidden_state
    torch.testing.assert_close(states, model(filled).last_hidden_state)


@pytest.mark.parametrize("token", [4, 5, 6], ids=["N", "padding", "unknown"])
def test_what_is_no_base_is_zero(model, token):
    ids = bases(1, 100)
    ids[0, 40:50] = token
    one_hot = torch.nn.functional.one_hot(ids, 7)[..., :4]
    assert one_hot[0, 40:50].sum() == 0
    assert torch.equal(model(ids).last_hidden_state, model(inputs_embeds=one_hot.float()).last_hidden_state)


@pytest.mark.parametrize("lengths", [(64, 500), (33, 160, 161), (1, 700), (100, 101)])
def test_padded_rows_equal_single_rows(model, lengths):
    model = model.double()  # so that rounding hides nothing
    ids = torch.full((len(lengths), max(lengths)), model.config.pad_token_id)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, :length], mask[row, :length] = bases(length), 1
    outputs = model(ids, attention_mask=mask)
    valid = mask[:, :: model.config.bases_per_state].bool()
    for row, length in enumerate(lengths):
        alone = model(ids[row : row + 1, :length])
        torch.testing.assert_close(
            outputs.last_hidden_state[row][valid[row]], alone.last_hidden_state[0], atol=1e-10, rtol=1e-10
        )
        torch.testing.assert_close(outputs.tracks["human"][row][valid[row]], alone.tracks["human"][0])


def test_ids_at_padding_do_not_matter(model):
    ids, mask = bases(2, 300), torch.ones(2, 300, dtype=torch.long)
    mask[0, 150:] = 0
    other = torch.where(mask.bool(), ids, 5)
    states = [model(each, attention_mask=mask).last_hidden_state for each in (ids, other)]
    assert torch.equal(*states)


@pytest.mark.parametrize("length", [96, 800])
def test_another_length_after_a_first_equals_a_fresh_model(encoder, model, length):
    ids = bases(1, length)
    model(bases(1, 320))
    assert torch.equal(model(ids).last_hidden_state, tiny_model(encoder)(ids).last_hidden_state)


@pytest.mark.parametrize("mask", [[0, 1, 1], [1, 0, 1], [0, 0, 0]])
def test_padding_elsewhere_is_refused(model, mask):
    with pytest.raises(ValueError, match="Row 1 of the batch is padded on the left or empty"):
        model(bases(2, 3), attention_mask=torch.tensor([[1, 1, 1], mask]))


def test_too_long_dna_is_refused(model):
    with pytest.raises(ValueError, match=r"1025 bases.*max_position_embeddings = 1024"):
        model(bases(1, 1025))


def test_the_tokenizer_gives_the_ids_of_the_one_hot_rows(encoder):
    config = ENCODERS[encoder][0]
    tokenizer = build_dna_tokenizer("enformer")
    assert tokenizer("acgUTnr")["input_ids"] == [0, 1, 2, 3, 3, 4, 4]
    assert tokenizer.pad_token_id == config.pad_token_id and len(tokenizer) == config.vocab_size
    padded = tokenizer([random_dna(40), random_dna(30)], padding=True, return_tensors="pt")
    assert padded["attention_mask"].sum(1).tolist() == [40, 30] and padded["attention_mask"][1, :30].all()


def test_loads_by_the_auto_classes_what_was_saved(model, tmp_path):
    model.save_pretrained(tmp_path)
    assert type(AutoConfig.from_pretrained(tmp_path)) is type(model.config)
    encoder, info = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    assert not [name for name in encoder.state_dict() if "head" in name]
    ids = bases(2, 100)
    assert torch.equal(encoder(ids).last_hidden_state, model(ids).last_hidden_state)
    whole, info = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert torch.equal(whole(ids).tracks["human"], model(ids).tracks["human"])


def test_is_built_and_loaded_as_the_encoder_of_a_model(encoder, model, tmp_path):
    config = TextGenomeDNAConfig(
        dna_config={"model_type": encoder, **model.config.to_diff_dict()}, pooling_num_heads=4, num_labels=2
    )
    built = build_dna_encoder(config.dna_config)
    model.save_pretrained(tmp_path)
    loaded = load_dna_encoder(tmp_path)
    assert type(built) is type(loaded) is type(model).__bases__[0]
    assert find_layers(built, config.dna_config.num_hidden_layers) == [built.transformer]


@pytest.mark.parametrize("layer", [0, 1, -2])
def test_states_of_another_width_are_no_features(encoder, layer):
    with pytest.raises(ValueError, match=f"'dna_feature_layer' is {layer}, but only the last states"):
        TextGenomeDNAConfig(dna_config=ENCODERS[encoder][0], dna_feature_layer=layer)


def test_tracks_are_predicted_for_the_middle_if_asked(model):
    ids = bases(2, 320)
    every = model(ids)
    for name, value in {"target_length": 4, "return_center_bins_only": True, "bins_to_return": 4}.items():
        if name in model.config.to_dict():
            setattr(model.config, name, value)
    middle = model(ids, attention_mask=torch.ones_like(ids))
    start = (every.last_hidden_state.shape[1] - 4) // 2
    torch.testing.assert_close(middle.tracks["human"], every.tracks["human"][:, start : start + 4])
    assert middle.last_hidden_state.shape[1] == 4
    assert type(model).__bases__[0].forward(model, ids).last_hidden_state.shape == every.last_hidden_state.shape
    with pytest.raises(ValueError, match="has 1 states, but the configuration asks for 4"):
        model(bases(1, 4))
    mask = torch.ones_like(ids)
    mask[1, 200:] = 0
    with pytest.raises(ValueError, match="must be of equal length"):
        model(ids, attention_mask=mask)


def test_gradients_reach_every_weight(model):
    model = model.double()
    outputs = model(bases(2, 320))
    sum(tracks.pow(2).sum() for tracks in outputs.tracks.values()).backward()
    assert [name for name, each in model.named_parameters() if each.grad is None or not each.grad.any()] == []


def test_activation_checkpointing_gives_the_same_gradients(model):
    ids, gradients = bases(2, 320), []
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.0
    for checkpointing in (False, True):
        if checkpointing:
            model.activation_checkpointing_enable()
        model.train().zero_grad()
        model(ids).last_hidden_state.pow(2).sum().backward()
        gradients.append(model.transformer[0][0].fn[1].to_q.weight.grad.clone())
    torch.testing.assert_close(*gradients)


def test_bfloat16(model, tmp_path):
    model.save_pretrained(tmp_path)
    half = type(model).from_pretrained(tmp_path, dtype=torch.bfloat16)
    ids = bases(2, 320)
    expected, outputs = model(ids), half(ids)
    assert outputs.last_hidden_state.dtype == torch.bfloat16
    assert outputs.tracks["human"].dtype == torch.float32
    error = (outputs.last_hidden_state.float() - expected.last_hidden_state).std()
    assert error < 0.05 * expected.last_hidden_state.std()


def test_dropout_acts_in_training_only(model):
    ids = bases(2, 320)
    assert torch.equal(model(ids).last_hidden_state, model(ids).last_hidden_state)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    model.train()
    attention = model.transformer[0][0].fn[1]
    states, positions = torch.randn(1, 10, model.config.dim), torch.randn(19, attention.to_rel_k.in_features)
    assert not torch.equal(*(attention(states, positions, None) for _ in range(2)))
