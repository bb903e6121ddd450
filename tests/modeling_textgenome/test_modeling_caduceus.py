import copy
import json
import re

import pytest
import torch
from golden import fill_weights, read_golden
from peft import LoraConfig, inject_adapter_in_model
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import AutoModel, AutoModelForMaskedLM
from transformers.models.mamba.modeling_mamba import MambaMixer

from textgenome import CaduceusConfig, CaduceusForMaskedLM, CaduceusModel
from textgenome.configuration.base_models import base_model_config
from textgenome.modeling_dna_encoder import build_dna_encoder, load_dna_encoder, without_heads
from textgenome.training.finetuning import linear_layers


HUB_ID = "kuleshov-group/caduceus-ph_seqlen-131k_d_model-256_n_layer-16"
SIZES = {"d_model": 16, "n_layer": 2, "ssm_cfg": {"d_state": 4}}
COMPLEMENT = {7: 10, 8: 9, 9: 8, 10: 7}
SHARED = r"mamba_rev\.(in|out)_proj"


@pytest.fixture
def model() -> CaduceusForMaskedLM:
    model = CaduceusForMaskedLM(CaduceusConfig(**SIZES)).eval()
    fill_weights(model)
    return model


def bases(*shape: int) -> torch.Tensor:
    return torch.randint(7, 12, shape)


def reverse_complement(ids: torch.Tensor) -> torch.Tensor:
    return ids.clone().apply_(lambda token: COMPLEMENT.get(token, token)).flip(1)


def states(model: CaduceusForMaskedLM, ids: torch.Tensor, **kwargs) -> torch.Tensor:
    return model.caduceus(ids, **kwargs).last_hidden_state


def test_counts_of_the_published_model():
    with torch.device("meta"):
        encoder = build_dna_encoder(base_model_config(HUB_ID))
    assert type(encoder) is CaduceusModel
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 7_725_312
    mixer = encoder.backbone.layers[15].mixer
    shapes = {name: tuple(value.shape) for name, value in mixer.mamba_fwd.state_dict().items()}
    assert shapes == {
        "in_proj.weight": (1024, 256),
        "conv1d.weight": (512, 1, 4),
        "conv1d.bias": (512,),
        "x_proj.weight": (48, 512),
        "dt_proj.weight": (512, 16),
        "dt_proj.bias": (512,),
        "A_log": (512, 16),
        "D": (512,),
        "out_proj.weight": (256, 512),
    }


def test_names_are_those_of_the_reference_without_the_second_ones(model):
    names = read_golden("caduceus")["names"]
    assert set(model.state_dict()) == {name for name in names if not re.search(SHARED, name)}
    assert len(names) == len(model.state_dict()) + 2 * 2


def test_gives_what_the_reference_gives(model):
    golden = read_golden("caduceus")
    outputs = model(torch.tensor(golden["input_ids"]), output_hidden_states=True)
    torch.testing.assert_close(outputs.hidden_states[-1], torch.tensor(golden["states"]), atol=1e-4, rtol=0)
    torch.testing.assert_close(outputs.logits, torch.tensor(golden["logits"]), atol=1e-4, rtol=0)


def test_is_two_mamba_mixers_a_layer(model):
    weights = model.caduceus.backbone.state_dict()

    def norm(hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return hidden / (hidden.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * weight

    ids = bases(2, 11)
    residual = weights["embeddings.word_embeddings.weight"][ids]
    for i in range(2):
        prefix = f"layers.{i}.mixer.mamba_"
        mixers = {}
        for name in ("fwd", "rev"):
            mixers[name] = MambaMixer(model.config.mamba_config, i)
            own = {
                key.removeprefix(f"{prefix}{name}."): value
                for key, value in weights.items()
                if f"{prefix}{name}" in key
            }
            shared = {f"{each}.weight": weights[f"{prefix}fwd.{each}.weight"] for each in ("in_proj", "out_proj")}
            mixers[name].load_state_dict(own | shared)
        hidden = norm(residual, weights[f"layers.{i}.norm.weight"])
        residual = residual + mixers["fwd"](hidden) + mixers["rev"](hidden.flip(1)).flip(1)
    expected = norm(residual, weights["norm_f.weight"])
    torch.testing.assert_close(states(model, ids, average_strands=False), expected, atol=1e-5, rtol=1e-5)
    # Both directions are seen.
    changed = ids.clone()
    changed[:, 5] = 7 + (ids[:, 5] - 6) % 4
    difference = (states(model, changed, average_strands=False) - expected).abs().amax(-1)
    assert difference.min() > 1e-4


def test_averaged_states_are_those_of_both_strands(model):
    ids = bases(2, 13)
    both = [states(model, each, average_strands=False) for each in (ids, reverse_complement(ids))]
    torch.testing.assert_close(states(model, ids), (both[0] + both[1].flip(1)) / 2, atol=1e-5, rtol=1e-5)
    assert (both[0] - both[1].flip(1)).abs().max() > 0.1


def test_averaged_states_turn_with_the_sequence(model):
    ids = bases(3, 20)
    outputs = [model.caduceus(each, output_hidden_states=True) for each in (ids, reverse_complement(ids))]
    for layer, turned in zip(outputs[0].hidden_states, outputs[1].hidden_states):
        torch.testing.assert_close(turned.flip(1), layer, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize("side", ["left", "right", "both"])
def test_unequal_rows_give_what_they_give_alone(model, side, average):
    rows = [bases(1, length) for length in (9, 17, 1, 30)]
    left = {"left": 1.0, "right": 0.0, "both": 0.5}[side]
    padding = [(int(left * (30 - row.shape[1])), 30 - row.shape[1] - int(left * (30 - row.shape[1]))) for row in rows]
    padded = torch.cat([F.pad(row, pad, value=4) for row, pad in zip(rows, padding)])
    options = {"average_strands": average, "output_hidden_states": True}
    together = model.caduceus(padded, attention_mask=(padded != 4).long(), **options).hidden_states
    for i, row in enumerate(rows):
        for layer, alone in zip(together, model.caduceus(row, **options).hidden_states):
            torch.testing.assert_close(layer[i][padded[i] != 4], alone[0], atol=1e-5, rtol=1e-5)


def published_folder(model: CaduceusForMaskedLM, folder):
    """A checkpoint in the published layout: remote code, other classes, and two names for what is shared."""
    state = dict(model.state_dict())
    for name in list(state):
        if re.search("mamba_fwd.(in|out)_proj", name):
            state[name.replace("mamba_fwd", "mamba_rev")] = state[name]
    save_file({name: value.clone() for name, value in state.items()}, folder / "model.safetensors")
    complements = {str(token): COMPLEMENT.get(token, token) for token in range(16)}
    ours = model.config.to_dict()
    ours.pop("average_strands")
    remote = {"AutoConfig": "configuration_caduceus.CaduceusConfig", "AutoModel": "modeling_caduceus.Caduceus"}
    remote["AutoModelForMaskedLM"] = "modeling_caduceus.CaduceusForMaskedLM"
    published = {"fused_add_norm": True, "initializer_cfg": None, "complement_map": complements, "auto_map": remote}
    (folder / "config.json").write_text(json.dumps({**ours, **published, "vocab_size": 16}))
    return folder


@pytest.mark.parametrize("kind", [CaduceusForMaskedLM, AutoModelForMaskedLM, CaduceusModel, AutoModel])
def test_loads_the_published_layout(model, tmp_path, kind):
    loaded, info = kind.from_pretrained(published_folder(model, tmp_path), output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    ids, reads = bases(2, 9), isinstance(loaded, CaduceusForMaskedLM)
    expected = model(ids).logits if reads else states(model, ids)
    assert torch.equal(loaded.eval()(ids)[0], expected)
    loaded.save_pretrained(tmp_path / "saved")
    assert set(load_file(tmp_path / "saved" / "model.safetensors")) == set(loaded.state_dict()) - {"lm_head.weight"}
    assert torch.equal(kind.from_pretrained(tmp_path / "saved").eval()(ids)[0], expected)


def test_is_a_dna_encoder(model, tmp_path):
    encoder = load_dna_encoder(str(published_folder(model, tmp_path))).eval()
    ids = bases(2, 9)
    assert type(encoder) is CaduceusModel and torch.equal(encoder(ids).last_hidden_state, states(model, ids))
    assert without_heads(model) is model.caduceus


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"rcps": True}, "'rcps' is True, but only Caduceus-Ph is supported"),
        ({"bidirectional_weight_tie": False}, "'bidirectional_weight_tie' is False"),
        ({"bidirectional_strategy": "ew_multiply"}, "'bidirectional_strategy' is 'ew_multiply'"),
        ({"ssm_cfg": {"d_states": 4}}, "'ssm_cfg' has unknown settings: d_states"),
    ],
)
def test_other_kinds_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        CaduceusConfig(**settings)


def test_embeddings_in_place_of_ids(model):
    ids = bases(2, 9)
    mask = torch.tensor([[1] * 9, [0] * 4 + [1] * 5])
    embeddings = model.get_input_embeddings()(ids)
    given = model.caduceus(inputs_embeds=embeddings, attention_mask=mask, average_strands=False).last_hidden_state
    expected = states(model, ids, attention_mask=mask, average_strands=False)
    assert torch.equal(given[mask.bool()], expected[mask.bool()])
    with pytest.raises(ValueError, match="needs input_ids"):
        model.caduceus(inputs_embeds=embeddings)


def test_every_weight_is_trained_by_masked_tokens(model):
    model.train()
    labels = bases(2, 12)
    ids = labels.clone()
    ids[:, ::3] = 3
    outputs = model(ids, labels=labels.masked_fill(ids != 3, -100))
    torch.testing.assert_close(outputs.loss, F.cross_entropy(outputs.logits[ids == 3], labels[ids == 3]))
    outputs.loss.backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert without == []


def test_activation_checkpointing_gives_the_same_gradients(model):
    model.train()
    ids, gradients = bases(2, 12), []
    for checkpointing in (False, True):
        if checkpointing:
            model.activation_checkpointing_enable()
        model.zero_grad()
        states(model, ids).pow(2).sum().backward()
        gradients.append(model.caduceus.backbone.layers[0].mixer.mamba_rev.A_log.grad.clone())
    torch.testing.assert_close(*gradients)


def test_the_residual_stream_is_float32_in_bfloat16(model, tmp_path):
    model.save_pretrained(tmp_path)
    half = CaduceusForMaskedLM.from_pretrained(tmp_path, dtype=torch.bfloat16).eval()
    ids = bases(2, 12)
    outputs = half.caduceus(ids, output_hidden_states=True)
    assert [each.dtype for each in outputs.hidden_states] == [torch.float32, torch.float32, torch.bfloat16]
    torch.testing.assert_close(outputs.last_hidden_state.float(), states(model, ids), atol=0.1, rtol=0.1)


def test_a_copy_has_its_own_projections(model):
    ids, twin = bases(1, 9), copy.deepcopy(model)
    before = states(model, ids)
    with torch.no_grad():
        twin.caduceus.backbone.layers[0].mixer.mamba_fwd.in_proj.weight.zero_()
    mixer = twin.caduceus.backbone.layers[0].mixer
    assert mixer.mamba_rev.in_proj is mixer.mamba_fwd.in_proj
    assert torch.equal(states(model, ids), before)


def test_an_adapter_works_in_both_directions(model):
    fused = torch.nn.Module()
    fused.dna_encoder = model.caduceus
    whole = torch.nn.ModuleDict({"model": fused})
    ids = bases(2, 12)
    whole = inject_adapter_in_model(
        LoraConfig(r=2, target_modules=linear_layers("dna_encoder", model.caduceus)), whole
    )
    adapters = {name: each for name, each in whole.named_parameters() if "lora_" in name}
    assert {name.split(".")[-4] for name in adapters} == {"in_proj", "x_proj", "out_proj"}
    for each in adapters.values():
        torch.nn.init.normal_(each, std=0.3)
    whole.train()
    adapted = states(model, ids)
    adapted.pow(3).sum().backward()
    assert all(each.grad is not None and each.grad.abs().sum() > 0 for each in adapters.values())
    for module in whole.modules():
        if hasattr(module, "merge"):
            module.merge()
    torch.testing.assert_close(states(model, ids), adapted, atol=1e-4, rtol=1e-4)
