import copy

import pytest
import torch
from conftest import random_dna
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForSequenceClassification, set_seed

from textgenome import (
    HyenaDNAConfig,
    HyenaDNAModel,
    TextGenomeDNAConfig,
    TextGenomeDNAForSequenceClassification,
    TextGenomeDNAModel,
)


SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
SIZES |= {"max_position_embeddings": 256, "initializer_range": 0.2}
ENCODERS = {
    "caduceus": {"d_model": 32, "n_layer": 2, "ssm_cfg": {"d_state": 4}, "initializer_range": 0.2},
    "hyenadna": {"d_model": 32, "d_inner": 32, "max_seq_len": 256, "initializer_range": 0.2},
    "mixtral": {**SIZES, "vocab_size": 128, "num_key_value_heads": 1, "num_local_experts": 2, "head_dim": 16},
    "esm": {**SIZES, "vocab_size": 33, "pad_token_id": 1, "mask_token_id": 2, "position_embedding_type": "absolute"},
}


def tiny_model(encoder: str = "hyenadna", **kwargs) -> TextGenomeDNAForSequenceClassification:
    set_seed(0)
    config = {"dna_config": {"model_type": encoder, **copy.deepcopy(ENCODERS[encoder])}}
    config |= {"id2label": dict(enumerate("abc"))}
    return TextGenomeDNAForSequenceClassification(TextGenomeDNAConfig(**{**config, **kwargs})).eval()


def batch_of(*pairs: tuple[str, str], left: int = 0, right: int = 0) -> dict[str, torch.Tensor]:
    """`left` and `right` are the padding beside the longest sequence; the others have theirs where there is more."""
    width = max(len(sequence) for pair in pairs for sequence in pair) + left + right
    ids, mask = torch.full((len(pairs), 2, width), 4), torch.zeros(len(pairs), 2, width, dtype=torch.long)
    for i, pair in enumerate(pairs):
        for j, sequence in enumerate(pair):
            start = width - len(sequence) - right if left > right else left
            ids[i, j, start : start + len(sequence)] = torch.tensor(["ACGT".index(base) + 7 for base in sequence])
            mask[i, j, start : start + len(sequence)] = 1
    return {"dna_input_ids": ids, "dna_attention_mask": mask}


PAIRS = [(random_dna(n, 1), random_dna(n + 2, 2)) for n in (20, 7, 33)]
dna = st.text("ACGT", min_size=1, max_size=40)


@pytest.mark.parametrize("encoder", ENCODERS)
@settings(max_examples=15, deadline=None)
@given(
    pair=st.tuples(dna, dna),
    others=st.lists(st.tuples(dna, dna), max_size=3),
    left=st.integers(0, 9),
    right=st.integers(0, 9),
)
def test_padding_and_neighbours_change_nothing(encoder, pair, others, left, right):
    model = tiny_model(encoder)
    alone = model(**batch_of(pair)).logits[0]
    together = model(**batch_of(*others, pair, left=left, right=right)).logits[-1]
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_both_sequences_are_read_and_told_apart(encoder):
    model = tiny_model(encoder)
    reference, variant = PAIRS[0]
    as_is, swapped, other_reference, other_variant = model(
        **batch_of((reference, variant), (variant, reference), (PAIRS[1][0], variant), (reference, PAIRS[1][1]))
    ).logits
    for changed in (swapped, other_reference, other_variant):
        assert (changed - as_is).abs().max() > 1e-3


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("padding", [{"left": 3}, {"right": 2}], ids=lambda padding: next(iter(padding)))
def test_states_of_the_model_without_a_head_are_those_of_the_encoder(encoder, padding):
    model = tiny_model(encoder).model
    batch = batch_of(*PAIRS, **padding)
    batch["dna_attention_mask"][1, 1] = 0  # a row with one sequence less
    states = model(**batch).last_hidden_state
    assert states.shape == (*batch["dna_input_ids"].shape, 32)
    for ids, mask, row in zip(*(each.flatten(0, 1) for each in (*batch.values(), states))):
        assert not row[mask == 0].any()
        if mask.any():
            alone = model.dna_encoder(ids[mask == 1][None]).last_hidden_state[0]
            torch.testing.assert_close(row[mask == 1], alone, atol=1e-4, rtol=1e-4)


def test_loss_is_the_mean_over_rows_with_a_class():
    model, batch = tiny_model(), batch_of(*PAIRS)
    outputs = model(**batch, labels=torch.tensor([2, -100, 1]))
    expected = -outputs.logits.log_softmax(-1)[[0, 2], [2, 1]].mean()
    torch.testing.assert_close(outputs.loss, expected)
    assert model(**batch, labels=torch.tensor([-100] * 3)).loss == 0
    assert model(**batch).loss is None


@pytest.mark.parametrize("layer", [-1, 1])
def test_a_frozen_encoder_gets_no_gradient_and_no_dropout(layer):
    model = tiny_model(dna_feature_layer=layer)
    model.model.dna_encoder.requires_grad_(False)
    model.train()
    assert not model.model.dna_encoder.training and model.pooling.training
    model(**batch_of(*PAIRS), labels=torch.tensor([0, 1, 2])).loss.backward()
    assert all(parameter.grad is None for parameter in model.model.dna_encoder.parameters())
    assert all(parameter.grad is not None for parameter in model.pooling.parameters())
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.classifier.parameters())


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_trained_encoder_gets_gradients_up_to_the_layer_that_is_used(encoder):
    model = tiny_model(encoder, dna_feature_layer=1).train()
    assert model.model.dna_encoder.training
    model(**batch_of(*PAIRS), labels=torch.tensor([0, 1, 2])).loss.backward()
    layers = next(m for m in model.model.dna_encoder.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == 2)
    reached = [any(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters()) for layer in layers]
    assert reached == [True, False]


def test_save_and_reload_are_equal(tmp_path):
    model, batch = tiny_model(), batch_of(*PAIRS)
    model.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert type(again) is TextGenomeDNAForSequenceClassification
    assert torch.equal(again(**batch).logits, model(**batch).logits)
    encoding = AutoModel.from_pretrained(tmp_path)
    assert type(encoding) is TextGenomeDNAModel
    assert torch.equal(encoding(**batch).last_hidden_state, model.model(**batch).last_hidden_state)
    assert again.config.id2label == {0: "a", 1: "b", 2: "c"}
    assert again.config.label2id == {"a": 0, "b": 1, "c": 2}


def test_a_pretrained_encoder_without_a_head():
    encoder = HyenaDNAModel(HyenaDNAConfig(**ENCODERS["hyenadna"]))
    model = TextGenomeDNAModel.from_dna_pretrained(encoder, dna_feature_layer=1)
    assert model.dna_encoder is encoder and model.config.dna_feature_layer == 1
    assert model(**batch_of(*PAIRS)).last_hidden_state.isfinite().all()


def test_the_head_is_float32_on_an_encoder_that_is_not(tmp_path):
    encoder = HyenaDNAModel(HyenaDNAConfig(**ENCODERS["hyenadna"]))
    encoder.to(torch.bfloat16).save_pretrained(tmp_path / "encoder")
    model = TextGenomeDNAForSequenceClassification.from_dna_pretrained(
        str(tmp_path / "encoder"), id2label=dict(enumerate("abc"))
    )
    name = "layers.0.mixer.in_proj.weight"
    assert torch.equal(model.model.dna_encoder.state_dict()[name], encoder.state_dict()[name])
    model.save_pretrained(tmp_path / "model")
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    for each in (model, again):
        assert each.model.dna_encoder.get_submodule("ln_f").weight.dtype == torch.bfloat16
        assert {p.dtype for p in (*each.pooling.parameters(), *each.classifier.parameters())} == {torch.float32}
    batch = batch_of(*PAIRS)
    assert torch.equal(again(**batch).logits, model(**batch).logits)
    assert load_file(tmp_path / "model" / "model.safetensors")["pooling.query"].std() > 0


@pytest.mark.parametrize(
    "change",
    [
        lambda ids, mask: (ids[:, :1], mask[:, :1]),
        lambda ids, mask: (ids[:, 0], mask[:, 0]),
        lambda ids, mask: (ids, mask * torch.tensor([1, 0])[:, None]),
    ],
    ids=["one sequence", "two dimensions", "an empty sequence"],
)
def test_what_is_no_pair_is_refused(change):
    ids, mask = change(*batch_of(*PAIRS).values())
    with pytest.raises(ValueError, match="a reference and a variant for each row"):
        tiny_model()(dna_input_ids=ids, dna_attention_mask=mask)


@pytest.mark.parametrize("heads", [0, 5])
def test_heads_must_divide_the_width(heads):
    with pytest.raises(ValueError, match=f"pooling_num_heads' is {heads}, but must divide the 128 channels"):
        TextGenomeDNAConfig(pooling_num_heads=heads)


def test_a_layer_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"dna_feature_layer.*3.*2 layers"):
        TextGenomeDNAConfig(dna_feature_layer=3)
