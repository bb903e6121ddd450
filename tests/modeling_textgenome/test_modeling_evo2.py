import pytest
import torch
from golden import read_golden
from tiny_evo2 import BASES, CONVERTED, DIRECT, golden_model, seeded_ids, seeded_weights
from torch.nn import functional as F
from transformers import AutoModel, AutoModelForCausalLM

from textgenome import (
    Evo2Config,
    Evo2ForCausalLM,
    Evo2Model,
    TextGenomeDNAConfig,
    TextGenomeDNAModel,
    modeling_evo2,
)
from textgenome.configuration.base_models import base_model_config
from textgenome.modeling_dna_encoder import load_dna_encoder


@pytest.fixture
def model():
    return golden_model()


def heads_apart(weights: dict[str, torch.Tensor], heads: int = 3) -> dict[str, torch.Tensor]:
    """Rows that the file holds head by head, as the network has them: all queries, all keys, all values."""
    rows = {name: value.chunk(3 * heads) for name, value in weights.items() if "Wqkv" in name}
    parts = {name: [row for kind in range(3) for row in chunks[kind::3]] for name, chunks in rows.items()}
    return weights | {name: torch.cat(chunks) for name, chunks in parts.items()}


@pytest.mark.parametrize("name, config, seed", [("direct", DIRECT, 1), ("converted", CONVERTED, 2)])
@torch.no_grad()
def test_logits_are_those_of_the_reference_implementation(name, config, seed):
    model = golden_model(config, seed)
    if name == "converted":
        model.model.load_state_dict(heads_apart(seeded_weights(config, seed)))
    logits = model(seeded_ids(seed, 2, 200)).logits[:, ::5, BASES]
    torch.testing.assert_close(logits, torch.tensor(read_golden("evo2")[name]), atol=1e-4, rtol=0)


def published_names(config: Evo2Config) -> dict[str, tuple]:
    """Names and shapes in a published file, less what follows from the sizes."""
    d, names = config.hidden_size, {"embedding_layer.weight": (config.vocab_size, config.hidden_size)}
    names["norm.scale"] = (d,)
    linear = {"mlp.l1": (config.intermediate_size, d), "mlp.l3": (d, config.intermediate_size)}
    linear |= {"mlp.l2": linear["mlp.l1"]}
    for block, kind in enumerate(config.block_types):
        own = {f"{name}.weight": shape for name, shape in linear.items()}
        own |= {"pre_norm.scale": (d,), "post_norm.scale": (d,)}
        out = "inner_mha_cls.out_proj" if kind == "attention" else "out_filter_dense"
        own |= {f"{out}.weight": (d, d), f"{out}.bias": (d,)}
        if kind == "attention":
            own["inner_mha_cls.Wqkv.weight"] = (3 * d, d)
        else:
            own |= {"projections.weight": (3 * d, d), "filter.short_filter_weight": (3 * d, 1, 3)}
            own |= {"filter.D": (d,)} if kind != "hcs" else {}
        if kind == "hcl":
            own |= {"filter.log_poles": (d, 16, 1), "filter.residues": (d, 16)}
        elif kind != "attention":
            own["filter.h"] = (config.hcs_filter_groups, 1, 7 if kind == "hcs" else 128)
        names |= {f"blocks.{block}.{name}": shape for name, shape in own.items()}
    return names


@pytest.mark.parametrize("size", ["1b", "7b"])
def test_names_and_blocks_of_the_published_models(size):
    config = base_model_config(f"arcinstitute/evo2_{size}_base")
    with torch.device("meta"):
        state = Evo2Model(config).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == published_names(config)
    blocks = {kind: [i for i, each in enumerate(config.block_types) if each == kind] for kind in config.block_types}
    expected = {
        "attention": [3, 10, 17, 24, 31],
        "hcl": [2, 6, 9, 13, 16, 20, 23, 27, 30],
        "hcm": [1, 5, 8, 12, 15, 19, 22, 26, 29],
        "hcs": [0, 4, 7, 11, 14, 18, 21, 25, 28],
    }
    assert blocks == {kind: [i for i in each if i < config.num_hidden_layers] for kind, each in expected.items()}
    # The published files hold the frequencies of each attention block as well.
    assert size == "7b" or len(state) + len(blocks["attention"]) == 269


@pytest.mark.parametrize("pieces", [(1,) * 40, (30, *(1,) * 10), (1, 17, 3, 19), (39, 1)])
@pytest.mark.parametrize("chunk", [8, 1024])
@torch.no_grad()
def test_recurrent_equals_parallel(model, monkeypatch, pieces, chunk):
    ids = seeded_ids(3, 2, 40)
    expected = model(ids, use_cache=False).logits
    monkeypatch.setattr(modeling_evo2, "CHUNK", chunk)
    cache, logits = None, []
    for piece in ids.split(pieces, dim=1):
        outputs = model(piece, past_key_values=cache, use_cache=True)
        cache = outputs.past_key_values
        logits.append(outputs.logits)
    torch.testing.assert_close(torch.cat(logits, 1), expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_medium_filter_is_cut_for_short_input_and_remembers_all_of_it(model):
    ids = seeded_ids(4, 1, 300)
    expected = model(ids, use_cache=False).logits
    first = model(ids[:, :299], use_cache=True)
    last = model(ids[:, 299:], past_key_values=first.past_key_values).logits
    torch.testing.assert_close(last, expected[:, 299:], atol=1e-4, rtol=1e-4)
    for length in (1, 2, 5, 130):
        torch.testing.assert_close(model(ids[:, :length]).logits, expected[:, :length], atol=1e-4, rtol=1e-4)


def test_cached_greedy_generation_equals_uncached(model):
    model.generation_config.eos_token_id = None
    tokens = model.generate(seeded_ids(5, 2, 9), max_new_tokens=200, do_sample=False)
    assert len(tokens[0, 9:].unique()) > 3
    # Uncached: with all before it in one pass, each base is the most likely one.
    uncached = model(tokens[:, :-1], use_cache=False).logits[:, 8:].argmax(-1)
    assert torch.equal(tokens[:, 9:], uncached)


@pytest.mark.parametrize("settings", [{"do_sample": False}, {"num_beams": 3}])
def test_generation_with_and_without_a_cache(model, settings):
    ids, settings = seeded_ids(5, 2, 9), {**settings, "max_new_tokens": 12}
    assert torch.equal(*(model.generate(ids, use_cache=use_cache, **settings) for use_cache in (True, False)))


def padded(rows: list[torch.Tensor], side: str) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(row) for row in rows)
    pads = [(width - len(row), 0) if side == "left" else (0, width - len(row)) for row in rows]
    ids = torch.stack([F.pad(row, pad, value=1) for row, pad in zip(rows, pads)])
    return ids, torch.stack([F.pad(torch.ones_like(row), pad) for row, pad in zip(rows, pads)])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("use_cache", [True, False])
@torch.no_grad()
def test_padding_changes_nothing(model, side, use_cache):
    rows = [seeded_ids(6, length) for length in (1, 33, 150)]
    ids, mask = padded(rows, side)
    states = model.model(ids, attention_mask=mask, use_cache=use_cache).last_hidden_state
    for row, own, kept in zip(rows, states, mask.bool()):
        torch.testing.assert_close(own[kept], model.model(row[None]).last_hidden_state[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("quantization", ["none", "fp8_e4m3"])
@torch.no_grad()
def test_as_an_encoder_the_side_of_the_padding_and_the_neighbours_change_nothing(quantization):
    config = Evo2Config(**{**DIRECT.to_dict(), "projection_quantization": quantization, "use_cache": False})
    encoder = TextGenomeDNAModel(TextGenomeDNAConfig(dna_config=config, pooling_num_heads=2)).eval()
    encoder.dna_encoder = golden_model(config).model
    rows = [seeded_ids(7, length) for length in (20, 33, 150, 33)]
    left, right = (encoder.encode_distinct_dna(*padded(rows, side)) for side in ("left", "right"))
    torch.testing.assert_close(left.states, right.states, atol=1e-5, rtol=1e-5)
    for row, index in zip(rows, left.index):
        alone = encoder.encode_distinct_dna(row[None], torch.ones_like(row[None])).states[0]
        torch.testing.assert_close(left.states[index, : len(row)], alone, atol=1e-5, rtol=1e-5)


def test_rows_of_a_batch_that_is_padded_on_the_left_go_on_as_alone(model):
    rows = [seeded_ids(8, length) for length in (3, 20, 41)]
    ids, mask = padded(rows, "left")
    model.generation_config.eos_token_id = None
    together = model.generate(ids, attention_mask=mask, max_new_tokens=40, do_sample=False)
    for row, own in zip(rows, together):
        alone = model.generate(row[None], max_new_tokens=40, do_sample=False)[0]
        assert torch.equal(own[-40:], alone[-40:])


def test_attention_without_sdpa_is_the_same(model):
    eager = Evo2ForCausalLM._from_config(Evo2Config(**DIRECT.to_dict()), attn_implementation="eager").eval()
    eager.load_state_dict(model.state_dict())
    ids, mask = padded([seeded_ids(9, length) for length in (12, 30)], "left")
    logits = [each(ids, attention_mask=mask).logits[mask.bool()] for each in (model, eager)]
    torch.testing.assert_close(*logits, atol=1e-4, rtol=1e-4)


def test_nothing_sees_later_bases(model):
    before = seeded_ids(10, 1, 150)
    after = before.clone()
    after[0, 60] = ord("A") + ord("C") - before[0, 60] if before[0, 60] < 70 else ord("A")
    states = [model.model(ids).last_hidden_state for ids in (before, after)]
    torch.testing.assert_close(states[0][:, :60], states[1][:, :60], atol=1e-4, rtol=1e-4)
    assert (states[0][:, 60:] - states[1][:, 60:]).abs().amax(-1).min() > 1e-3


def test_poles_and_residues_stay_float32_in_bfloat16(model, tmp_path):
    model.save_pretrained(tmp_path)
    half = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert type(half) is Evo2ForCausalLM and half.lm_head.weight is half.model.embedding_layer.weight
    kinds = {name for name, parameter in half.named_parameters() if parameter.dtype == torch.float32}
    assert kinds == {f"model.blocks.{i}.filter.{name}" for i in (2, 6) for name in ("log_poles", "residues")}
    ids = seeded_ids(11, 1, 150)
    outputs = half(ids, labels=ids)
    assert outputs.logits.dtype == torch.bfloat16
    cache = outputs.past_key_values
    assert cache.layers[2].recurrent_states[0].dtype == torch.float32 and cache.layers[3].keys.dtype == torch.bfloat16
    torch.testing.assert_close(outputs.loss.item(), model(ids, labels=ids).loss.item(), atol=0.05, rtol=0)


@torch.no_grad()
def test_the_encoder_of_a_saved_language_model(model, tmp_path):
    model.save_pretrained(tmp_path)
    ids = seeded_ids(12, 2, 30)
    for encoder in (AutoModel.from_pretrained(tmp_path), load_dna_encoder(str(tmp_path))):
        assert type(encoder) is Evo2Model
        assert torch.equal(encoder.eval()(ids).last_hidden_state, model.model(ids).last_hidden_state)


def test_logits_to_keep_and_loss(model):
    ids = seeded_ids(13, 2, 30)
    outputs = model(ids, labels=ids)
    loss = F.cross_entropy(outputs.logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    torch.testing.assert_close(outputs.loss, loss)
    torch.testing.assert_close(model(ids, logits_to_keep=3).logits, outputs.logits[:, -3:])


@pytest.mark.parametrize("quantization", ["none", "fp8_e4m3"])
def test_gradient_reaches_every_weight_and_checkpointing_gives_the_same(quantization):
    config, gradients = Evo2Config(**{**DIRECT.to_dict(), "projection_quantization": quantization}), []
    for checkpointing in (False, True):
        model = golden_model(config).train()
        if checkpointing:
            model.activation_checkpointing_enable()
        ids = seeded_ids(14, 2, 20)
        model(ids, labels=ids, use_cache=False).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    assert [name for name, gradient in gradients[0].items() if gradient is None or not gradient.abs().sum()] == []
    torch.testing.assert_close(*gradients)


def test_a_new_model_has_states_of_ordinary_size():
    model = Evo2ForCausalLM(Evo2Config(**DIRECT.to_dict())).eval()
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert (model.model.blocks[2].filter.log_poles < 0).all()
    states = model.model(seeded_ids(15, 1, 2000)).last_hidden_state
    assert 0.1 < states.std() < 10


@pytest.mark.parametrize(
    "values, message",
    [
        ({"block_types": ["hcs"]}, "'block_types' has 1 entries, but num_hidden_layers is 2"),
        ({"block_types": ["hcs", "mlp"]}, "'block_types' has mlp: choose from"),
        ({"hcm_filter_groups": 100}, "'hidden_size' is 1920, which is not a multiple of hcm_filter_groups = 100"),
        ({"projection_scales": [[1.0, 1.0]]}, "'projection_scales' has 1 entries"),
        ({"projection_quantization": "int8"}, "projection_quantization"),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "has rope_type 'dynamic'"),
    ],
)
def test_configurations_that_fit_no_model_are_refused(values, message):
    with pytest.raises(Exception, match=message):
        Evo2Config(num_hidden_layers=2, **values)
