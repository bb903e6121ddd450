import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from golden import fill_weights, read_golden
from pyarrow import parquet
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import AutoModel, AutoModelForCausalLM

from textgenome import HyenaDNAConfig, HyenaDNAModel
from textgenome.modeling_dna_encoder import load_dna_encoder, without_heads
from textgenome.modeling_hyenadna import HyenaDNAForCausalLM, fft_convolution
from textgenome.processing import build_dna_tokenizer, variant_window


@pytest.fixture
def model():
    # Larger weights than usual, so that everything that can matter does.
    return HyenaDNAModel(HyenaDNAConfig(d_model=16, d_inner=32, max_seq_len=5000, initializer_range=0.1)).eval()


@pytest.fixture
def language_model():
    config = HyenaDNAConfig(d_model=16, d_inner=32, max_seq_len=64, initializer_range=0.3)
    return HyenaDNAForCausalLM(config).eval()


def bases(*shape: int) -> torch.Tensor:
    return torch.randint(7, 12, shape)


@pytest.mark.parametrize("length", [1, 2, 7, 128, 1000])
def test_fft_convolution_equals_the_direct_one(length):
    signal, filters = torch.randn(2, 3, length), torch.randn(3, length) / length**0.5
    direct = F.conv1d(F.pad(signal, (length - 1, 0)), filters.flip(-1)[:, None], groups=3)
    torch.testing.assert_close(fft_convolution(signal, filters), direct, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("order", [2, 3])
def test_causal(order):
    model = HyenaDNAModel(HyenaDNAConfig(d_model=16, hyena_order=order, initializer_range=0.1)).eval()
    before = bases(1, 50)
    after = before.clone()
    after[0, 20] = 7 + (before[0, 20] - 6) % 4
    states = [model(ids).last_hidden_state for ids in (before, after)]
    torch.testing.assert_close(states[0][:, :20], states[1][:, :20], atol=1e-5, rtol=1e-5)
    assert (states[0][:, 20:] - states[1][:, 20:]).abs().amax(-1).min() > 1e-4


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("length", [1, 2, 33, 4096])
def test_padding_changes_nothing(model, side, length):
    ids = bases(1, length)
    padding = torch.full((1, 19), model.config.pad_token_id)
    mask = torch.ones_like(ids)
    parts = [(padding, torch.zeros_like(padding)), (ids, mask)]
    padded_ids, padded_mask = (torch.cat(part, 1) for part in zip(*(parts if side == "left" else parts[::-1])))
    states = model(padded_ids, attention_mask=padded_mask).last_hidden_state
    torch.testing.assert_close(states[padded_mask.bool()], model(ids).last_hidden_state[0], atol=1e-4, rtol=1e-4)


def test_filters_stay_float32_in_bfloat16(model, tmp_path):
    model.save_pretrained(tmp_path)
    half = HyenaDNAModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert half.layers[0].mixer.filter_fn.implicit_filter["0"].weight.dtype == torch.float32
    assert half.layers[0].mixer.in_proj.weight.dtype == torch.bfloat16
    filters = [each.layers[0].mixer.filter_fn(5000)[0] for each in (model, half)]
    assert torch.equal(*filters)
    ids = bases(2, 40)
    states = half(ids).last_hidden_state
    assert states.dtype == torch.bfloat16
    torch.testing.assert_close(states.float(), model(ids).last_hidden_state, atol=0.2, rtol=0.1)


def test_too_long_dna_is_refused(model):
    with pytest.raises(ValueError, match=r"5001 tokens.*max_seq_len = 5000"):
        model(bases(1, 5001))


def test_hidden_states(model):
    outputs = model(bases(1, 10), output_hidden_states=True)
    assert len(outputs.hidden_states) == model.config.num_hidden_layers + 1
    assert torch.equal(outputs.hidden_states[-1], outputs.last_hidden_state)


def test_gradient_reaches_every_weight_that_is_used():
    model = HyenaDNAModel(HyenaDNAConfig(d_model=8, d_inner=16, max_seq_len=32)).double()
    model(bases(2, 20)).last_hidden_state.pow(3).sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_gradients_of_the_convolution():
    signal = torch.randn(2, 3, 9, dtype=torch.double, requires_grad=True)
    filters = torch.randn(3, 9, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(fft_convolution, (signal, filters))


def test_gradients_of_the_network(model):
    """Along random directions, against finite differences: the filters are float32 whatever the weights are."""
    ids, weights = bases(2, 20), torch.randn(2, 20, 16)

    def objective() -> torch.Tensor:
        return (model(ids).last_hidden_state * weights).sum()

    objective().backward()
    for name, parameter in model.named_parameters():
        direction = torch.randn_like(parameter)
        direction *= 2e-3 / direction.norm()
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * direction
                values.append(objective().item())
                parameter -= sign * direction
        expected = (parameter.grad * direction).sum().item()
        assert (values[0] - values[1]) / 2 == pytest.approx(expected, rel=0.05, abs=5e-4), name


def test_activation_checkpointing_gives_the_same_gradients(model):
    model.train()
    model.dropout.p = 0.0
    ids, gradients = bases(2, 30), []
    for checkpointing in (False, True):
        if checkpointing:
            model.activation_checkpointing_enable()
        model.zero_grad()
        model(ids).last_hidden_state.pow(2).sum().backward()
        gradients.append(model.layers[0].mixer.in_proj.weight.grad.clone())
    torch.testing.assert_close(*gradients)


def test_saves_under_the_names_of_the_published_checkpoints(model):
    names = set(model.state_dict())
    assert "embeddings.word_embeddings.weight" in names
    layer = "layers.1.mixer."
    for name in ("in_proj.weight", "short_filter.weight", "filter_fn.bias", "filter_fn.pos_emb.z", "out_proj.bias"):
        assert layer + name in names
    for name in ("0.weight", "1.freq", "2.weight", "4.bias", "6.weight"):
        assert f"{layer}filter_fn.implicit_filter.{name}" in names


def published_layout(model: HyenaDNAModel) -> dict[str, torch.Tensor]:
    """The state dict of the causal language model in the published layout: a prefix, a head, and derived buffers."""
    state = {f"hyena.backbone.{name}": value.clone() for name, value in model.state_dict().items()}
    for name in list(state):
        if name.endswith("implicit_filter.1.freq"):
            state[name.replace(".1.freq", ".3.freq")] = state[name.replace(".1.freq", ".5.freq")] = state[name]
        if name.endswith("pos_emb.z"):
            filters = name.removesuffix("pos_emb.z")
            state[f"{filters}pos_emb.t"] = torch.linspace(0, 1, model.config.max_seq_len)[None, :, None]
            state[f"{filters}modulation.deltas"] = torch.zeros(1, 1, model.config.d_model)
    state["lm_head.weight"] = torch.zeros(16, model.config.d_model)
    return state


@pytest.mark.parametrize("auto", [HyenaDNAModel, AutoModel])
@pytest.mark.parametrize("merged", [False, True], ids=["all names", "shared tensors merged"])
def test_loads_the_published_layout(model, tmp_path, merged, auto):
    state = {name: value.clone() for name, value in published_layout(model).items()}
    if merged:
        state = {name: value for name, value in state.items() if not name.endswith(("3.freq", "5.freq"))}
    remote_code = {"auto_map": {"AutoModel": "modeling_hyena.HyenaDNAModel"}, "architectures": ["HyenaDNAForCausalLM"]}
    config = {**model.config.to_dict(), **remote_code}
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loaded, info = auto.from_pretrained(tmp_path, output_loading_info=True)
    assert type(loaded) is HyenaDNAModel
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    ids = bases(2, 50)
    assert torch.equal(loaded.eval()(ids).last_hidden_state, model(ids).last_hidden_state)
    loaded.save_pretrained(tmp_path / "saved")
    assert set(load_file(tmp_path / "saved" / "model.safetensors")) == set(model.state_dict())


def test_loads_a_plain_state_dict_in_the_published_layout(model):
    loaded = HyenaDNAModel.from_pretrained(None, config=model.config, state_dict=published_layout(model))
    ids = bases(1, 50)
    assert torch.equal(loaded.eval()(ids).last_hidden_state, model(ids).last_hidden_state)


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["dataset1", "dataset2"])
def test_real_weights_predict_the_next_base_of_real_dna(kegg_folder, tmp_path, folder):
    package = importlib.util.find_spec("anticapt")
    if package is None:
        pytest.skip("the package anticapt, which carries small HyenaDNA weights, is not installed")
    source = Path(package.origin).parent / "models" / folder / "finetuned_hyenadna"
    script = ROOT / "tests" / "convert_state_dict.py"
    target = tmp_path / "model.safetensors"
    subprocess.run([sys.executable, script, source / "pytorch_model.bin", target], check=True)
    (tmp_path / "config.json").write_text((source / "config.json").read_text())
    model, info = HyenaDNAModel.from_pretrained(tmp_path, key_mapping={r"^backbone\.": ""}, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    model.eval()

    tokenizer = build_dna_tokenizer("hyenadna")
    rows = parquet.read_table(kegg_folder / "train.parquet").to_pylist()
    windows = {variant_window(row["reference_sequence"], row["variant_sequence"], 1000)[0]: None for row in rows}
    windows = [window for window in windows if len(window) == 1000][:200]
    shuffled = ["".join(random.Random(i).sample(window, len(window))) for i, window in enumerate(windows)]

    def accuracy(sequences: list[str]) -> float:
        ids = torch.tensor(tokenizer(sequences)["input_ids"])
        with torch.no_grad():
            states = torch.cat([model(batch).last_hidden_state for batch in ids.split(50)])
            logits = states[:, :-1] @ model.embeddings.word_embeddings.weight.T
        return (logits.argmax(-1) == ids[:, 1:]).float().mean().item()

    assert len(windows) == 200
    assert accuracy(windows) >= accuracy(shuffled) + 0.05


def test_positions_are_those_of_the_paper():
    model = HyenaDNAModel(HyenaDNAConfig(max_seq_len=100))
    z = model.layers[0].mixer.filter_fn.pos_emb.z[0]
    time, angle = torch.linspace(0, 1, 100), 2 * torch.pi * torch.arange(100) / 100
    expected = torch.stack([time, (1e-4 * angle).cos(), angle.cos(), -(1e-4 * angle).sin(), -angle.sin()], -1)
    torch.testing.assert_close(z.detach(), expected, atol=1e-5, rtol=1e-5)


def test_gives_what_the_reference_gives():
    golden = read_golden("hyenadna")
    sizes = {"d_model": 16, "d_inner": 24, "n_layer": 2, "hyena_order": 3, "filter_order": 8, "max_seq_len": 40}
    model = HyenaDNAForCausalLM(HyenaDNAConfig(**sizes)).eval()
    fill_weights(model)
    outputs = model(torch.tensor(golden["input_ids"]), output_hidden_states=True)
    torch.testing.assert_close(outputs.hidden_states[-1], torch.tensor(golden["states"]), atol=1e-4, rtol=0)
    torch.testing.assert_close(outputs.logits, torch.tensor(golden["logits"]), atol=1e-4, rtol=0)


def test_the_language_model_is_read_in_the_published_layout(language_model, tmp_path):
    state = published_layout(language_model.base_model)
    state["lm_head.weight"] = state["hyena.backbone.embeddings.word_embeddings.weight"]
    state = {name: value.clone() for name, value in state.items()}
    (tmp_path / "config.json").write_text(json.dumps(language_model.config.to_dict()))
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    ids = bases(2, 50)
    expected = language_model(ids)
    for auto in (HyenaDNAForCausalLM, AutoModelForCausalLM):
        loaded, info = auto.from_pretrained(tmp_path, output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
        assert loaded.lm_head.weight is loaded.get_input_embeddings().weight
        assert torch.equal(loaded.eval()(ids).logits, expected.logits)
    loaded.save_pretrained(tmp_path / "saved")
    encoder = load_dna_encoder(str(tmp_path / "saved")).eval()
    assert torch.equal(encoder(ids).last_hidden_state @ loaded.lm_head.weight.T, expected.logits)
    assert without_heads(loaded) is loaded.base_model


def test_an_encoder_becomes_a_language_model(model, tmp_path):
    model.save_pretrained(tmp_path)
    loaded, info = HyenaDNAForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    ids = bases(1, 20)
    expected = model(ids).last_hidden_state @ model.embeddings.word_embeddings.weight.T
    torch.testing.assert_close(loaded.eval()(ids).logits, expected)


def test_loss_of_the_next_base(language_model):
    ids = bases(2, 20)
    labels = ids.masked_fill(torch.arange(20) < 5, -100)
    outputs = language_model(ids, labels=labels)
    expected = F.cross_entropy(outputs.logits[:, 4:-1].flatten(0, 1), ids[:, 5:].flatten())
    torch.testing.assert_close(outputs.loss, expected)


def greedy(model: HyenaDNAForCausalLM, ids: torch.Tensor, count: int) -> torch.Tensor:
    for _ in range(count):
        ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(-1)], dim=1)
    return ids


@pytest.mark.parametrize("options", [{}, {"use_cache": False}])
def test_generates_base_by_base(language_model, options):
    ids = bases(2, 9)
    generated = language_model.generate(ids, max_new_tokens=20, do_sample=False, pad_token_id=4, **options)
    assert torch.equal(generated, greedy(language_model, ids, 20))
    assert len(generated[:, 9:].unique()) > 1


def test_generates_beside_longer_prompts_as_alone(language_model):
    short, long = bases(1, 5), bases(1, 12)
    padded = torch.cat([F.pad(short, (7, 0), value=4), long])
    generated = language_model.generate(padded, attention_mask=(padded != 4).long(), max_new_tokens=9, pad_token_id=4)
    assert torch.equal(generated[:1, 7:], greedy(language_model, short, 9))
    assert torch.equal(generated[1:], greedy(language_model, long, 9))


def test_beams_are_not_worse_than_the_greedy_course(language_model):
    def likelihood(sequence: torch.Tensor) -> float:
        return -language_model(sequence, labels=sequence.masked_fill(torch.arange(17) < 9, -100)).loss.item()

    ids = bases(1, 9)
    courses = [language_model.generate(ids, max_new_tokens=8, num_beams=beams, pad_token_id=4) for beams in (1, 4)]
    assert likelihood(courses[1]) >= likelihood(courses[0])


def test_logits_of_the_last_places_only(language_model):
    ids = bases(2, 20)
    torch.testing.assert_close(language_model(ids, logits_to_keep=3).logits, language_model(ids).logits[:, -3:])
