import json

import pytest
import torch
from golden import fill_weights, read_golden
from safetensors.torch import load_file, save_file
from transformers import EsmConfig, Qwen3Config

from textgenome import TextGenomeConfig, TextGenomeForConditionalGeneration
from textgenome.configuration.base_models import base_model_config
from textgenome.configuration.configuration_textgenome import build_sub_config
from textgenome.modeling_dna_encoder import build_dna_encoder, load_dna_encoder
from textgenome.modeling_ntv2 import NTv2ForMaskedLM, NTv2Model


HUB_ID = "InstaDeepAI/nucleotide-transformer-v2-500m-multi-species"
# As the published `config.json` writes them.
SIZES = {
    "model_type": "esm",
    "add_bias_fnn": False,
    "vocab_size": 20,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "position_embedding_type": "rotary",
    "emb_layer_norm_before": False,
    "esmfold_config": None,
    "token_dropout": False,
    "layer_norm_eps": 1e-5,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "pad_token_id": 1,
    "mask_token_id": 2,
    "tie_word_embeddings": False,
    "architectures": ["EsmForMaskedLM"],
    "auto_map": {"AutoConfig": "esm_config.EsmConfig", "AutoModelForMaskedLM": "modeling_esm.EsmForMaskedLM"},
}
LAYER = [f"attention.self.{name}.{kind}" for name in ("query", "key", "value") for kind in ("weight", "bias")]
LAYER += [
    f"{name}.{kind}" for name in ("attention.output.dense", "attention.LayerNorm") for kind in ("weight", "bias")
]
LAYER += ["intermediate.dense.weight", "output.dense.weight", "LayerNorm.weight", "LayerNorm.bias"]
HEAD = ["bias", "dense.weight", "dense.bias", "layer_norm.weight", "layer_norm.bias", "decoder.weight"]
INV_FREQ = "rotary_embeddings.inv_freq"


@pytest.fixture
def model() -> NTv2ForMaskedLM:
    model = NTv2ForMaskedLM(build_sub_config(SIZES, "esm")).eval()
    contact_head, model.esm.contact_head = model.esm.contact_head, None
    fill_weights(model)
    model.esm.contact_head = contact_head
    return model


def published_folder(model: NTv2ForMaskedLM, folder):
    """A checkpoint in the published layout: remote code, and rotary frequencies in every layer."""
    state = {name: value.clone() for name, value in model.state_dict().items()}
    frequencies = state.pop(f"esm.{INV_FREQ}")
    for i in range(model.config.num_hidden_layers):
        state[f"esm.encoder.layer.{i}.attention.self.{INV_FREQ}"] = frequencies.clone()
    (folder / "config.json").write_text(json.dumps(SIZES))
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("tied, count", [(True, 492_040_668), (False, 496_246_236)])
def test_counts_of_the_published_model(tied, count):
    config = base_model_config(HUB_ID)
    config.tie_word_embeddings = tied
    with torch.device("meta"):
        model = NTv2ForMaskedLM(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def test_names_are_those_of_the_published_checkpoints(model):
    expected = {"esm.embeddings.word_embeddings.weight", f"esm.{INV_FREQ}"}
    expected |= {f"esm.encoder.emb_layer_norm_after.{kind}" for kind in ("weight", "bias")}
    expected |= {f"esm.contact_head.regression.{kind}" for kind in ("weight", "bias")}
    expected |= {f"esm.encoder.layer.{i}.{name}" for i in range(2) for name in LAYER}
    expected |= {f"lm_head.{name}" for name in HEAD}
    assert set(model.state_dict()) == expected
    layer = model.esm.encoder.layer[0]
    assert layer.intermediate.dense.weight.shape == (48, 16) and layer.output.dense.weight.shape == (16, 24)


def test_gives_what_the_reference_gives(model):
    golden = read_golden("ntv2")
    ids = torch.tensor(golden["input_ids"])
    mask = (ids != 1).long()
    outputs = model(ids, attention_mask=mask, output_hidden_states=True)
    given = {"layer_1": outputs.hidden_states[1], "states": outputs.hidden_states[-1], "logits": outputs.logits}
    for name, tensor in given.items():
        expected = torch.tensor(golden[name])
        torch.testing.assert_close(tensor[mask.bool()], expected[mask.bool()], atol=1e-4, rtol=0, msg=name)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(model, side):
    ids, padding = torch.randint(6, 20, (1, 11)), torch.ones(1, 5, dtype=torch.long)
    parts = (padding, ids) if side == "left" else (ids, padding)
    padded = torch.cat(parts, dim=1)
    mask = (padded != 1).long()
    alone, beside = model(ids).logits[0], model(padded, attention_mask=mask).logits[mask.bool()]
    torch.testing.assert_close(beside, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("load", [NTv2ForMaskedLM.from_pretrained, NTv2Model.from_pretrained])
def test_loads_the_published_layout(model, tmp_path, load):
    loaded, info = load(published_folder(model, tmp_path), output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    ids = torch.randint(6, 20, (2, 9))
    expected = model(ids).logits if isinstance(loaded, NTv2ForMaskedLM) else model.esm(ids).last_hidden_state
    assert torch.equal(loaded.eval()(ids)[0], expected)
    loaded.save_pretrained(tmp_path / "saved")
    assert set(load_file(tmp_path / "saved" / "model.safetensors")) == set(loaded.state_dict())


def test_is_a_dna_encoder_without_remote_code(model, tmp_path):
    encoder = load_dna_encoder(str(published_folder(model, tmp_path))).eval()
    assert type(encoder) is NTv2Model and encoder.contact_head is None and encoder.pooler is None
    ids = torch.randint(6, 20, (2, 9))
    assert torch.equal(encoder(ids).last_hidden_state, model.esm(ids).last_hidden_state)
    built = build_dna_encoder(build_sub_config(SIZES, "esm"))
    assert type(built) is NTv2Model and set(built.state_dict()) == set(encoder.state_dict())


def test_an_esm_with_biases_is_read_by_transformers():
    config = EsmConfig(**{**SIZES, "add_bias_fnn": True})
    assert type(build_dna_encoder(config)).__name__ == "EsmModel"


def test_is_the_same_encoder_in_a_saved_fused_model(model, tmp_path):
    published_folder(model, tmp_path)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "head_dim": 8, "vocab_size": 20}
    text = Qwen3Config(**sizes, num_attention_heads=2, num_key_value_heads=1)
    config = TextGenomeConfig(text_config=text, dna_config=SIZES, dna_token_id=1)
    fused = TextGenomeForConditionalGeneration(config)
    fused.model.dna_encoder.load_state_dict(load_dna_encoder(str(tmp_path)).state_dict())
    fused.save_pretrained(tmp_path / "fused")
    loaded = TextGenomeForConditionalGeneration.from_pretrained(tmp_path / "fused").eval()
    assert type(loaded.model.dna_encoder) is NTv2Model
    ids = torch.randint(6, 20, (2, 9))
    assert torch.equal(loaded.model.encode_dna(ids, torch.ones_like(ids)), model.esm(ids).last_hidden_state)


def test_every_weight_is_trained_by_masked_tokens(model):
    model.train()
    labels = torch.randint(6, 20, (2, 9))
    ids = labels.clone()
    ids[:, ::4] = 2
    outputs = model(ids, labels=labels.masked_fill(ids != 2, -100))
    expected = torch.nn.functional.cross_entropy(outputs.logits[ids == 2], labels[ids == 2])
    torch.testing.assert_close(outputs.loss, expected)
    outputs.loss.backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert without == ["esm.contact_head.regression.weight", "esm.contact_head.regression.bias"]
