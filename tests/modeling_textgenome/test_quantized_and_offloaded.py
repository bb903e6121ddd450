"""Layers are called and not read from outside, so that quantized, offloaded and adapted ones do what they should."""

from copy import deepcopy

import pytest
import torch
from accelerate import cpu_offload, disk_offload
from conftest import TINY_CHECKPOINT
from peft import LoraConfig, get_peft_model
from tiny_models import ENCODERS, GREEDY, PROMPTS, SEVERAL_BASES, encode, tiny_config
from transformers import AutoModelForMultimodalLM, BitsAndBytesConfig, TorchAoConfig

from textgenome import (
    TextGenomeDNAConfig,
    TextGenomeDNAForSequenceClassification,
    TextGenomeForConditionalGeneration,
)
from textgenome.modeling_dna_encoder import build_dna_encoder


CPU = torch.device("cpu")
OTHERS = ("model.projector", "model.dna_markers", "model.language_model", "lm_head")
MAPS = {
    "the encoder on disk": {"model.dna_encoder": "disk", **dict.fromkeys(OTHERS, "cpu")},
    "all on disk": {"": "disk"},
}
ALL = {**ENCODERS, **SEVERAL_BASES}


def load(**options):
    return AutoModelForMultimodalLM.from_pretrained(TINY_CHECKPOINT, **options).eval()


@pytest.mark.parametrize("place", ["cpu", "disk", *MAPS])
def test_offloaded_weights_give_the_same_answers(tiny_model, tiny_processor, tmp_path, place):
    if place in MAPS:
        model = load(device_map=MAPS[place], offload_folder=tmp_path)
    else:
        model = cpu_offload(load(), CPU) if place == "cpu" else disk_offload(load(), tmp_path, CPU)
    assert model.model.dna_encoder.layers[0].mixer.filter_fn.bias.is_meta
    batch = encode(tiny_processor, PROMPTS)
    with torch.no_grad():
        assert torch.equal(model(**batch).logits, tiny_model(**batch).logits)
    assert torch.equal(model.generate(**batch, **GREEDY), tiny_model.generate(**batch, **GREEDY))


@pytest.mark.parametrize("projector", ["linear", "mlp", "pooled", "resampler"])
def test_every_projector_can_be_offloaded(projector):
    config = tiny_config(projector_type=projector, projector_num_queries=3)
    model = TextGenomeForConditionalGeneration(config).eval()
    dna = torch.randint(7, 11, (2, 2, 9))
    dna = [dna, torch.ones_like(dna), torch.zeros_like(dna)][: 3 if projector == "pooled" else 2]
    with torch.no_grad():
        features = model.get_dna_features(*dna).pooler_output
        assert torch.equal(cpu_offload(model, CPU).get_dna_features(*dna).pooler_output, features)


@pytest.mark.parametrize("encoder", ALL)
def test_every_encoder_can_be_offloaded(encoder):
    model = build_dna_encoder(deepcopy(ALL[encoder])).eval()
    ids = torch.randint(4, (2, 32))
    with torch.no_grad():
        states = model(ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        offloaded = cpu_offload(model, CPU)
        assert torch.equal(offloaded(ids, attention_mask=torch.ones_like(ids)).last_hidden_state, states)


def test_a_classifier_can_be_offloaded():
    model = TextGenomeDNAForSequenceClassification(TextGenomeDNAConfig(dna_config=ENCODERS["hyenadna"])).eval()
    dna = torch.randint(7, 11, (2, 2, 9))
    with torch.no_grad():
        logits = model(dna, torch.ones_like(dna)).logits
        assert torch.equal(cpu_offload(model, CPU)(dna, torch.ones_like(dna)).logits, logits)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [4, 8])
def test_bitsandbytes_answers_as_its_own_weights_do(tiny_processor, bits):
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed: pip install bitsandbytes")
    model = load(quantization_config=BitsAndBytesConfig(load_in_4bit=bits == 4, load_in_8bit=bits == 8))
    mixer = model.model.dna_encoder.layers[0].mixer
    assert not mixer.in_proj.weight.is_floating_point()
    assert not model.model.projector.linear.weight.is_floating_point()
    assert mixer.filter_fn.implicit_filter["0"].weight.dtype == torch.float32
    batch = encode(tiny_processor, PROMPTS)
    mask = batch["attention_mask"].bool()
    with torch.no_grad():
        logits, expected = model(**batch).logits[mask], model.dequantize()(**batch).logits[mask]
    # In 8 bits the inputs of each layer are rounded too.
    assert (logits - expected).norm() < (0.05 if bits == 8 else 0.01) * expected.norm()


@pytest.mark.slow
def test_torchao_int8_answers_as_before(tiny_model, tiny_processor):
    quantization = pytest.importorskip("torchao.quantization", reason="torchao is not installed: pip install torchao")
    model = load(quantization_config=TorchAoConfig(quantization.Int8WeightOnlyConfig()))
    mixer = model.model.dna_encoder.layers[0].mixer
    assert type(mixer.in_proj.weight) is not torch.nn.Parameter
    assert type(mixer.filter_fn.implicit_filter["0"].weight) is torch.nn.Parameter
    batch = encode(tiny_processor, PROMPTS)
    mask = batch["attention_mask"].bool()
    with torch.no_grad():
        logits, expected = model(**batch).logits[mask], tiny_model(**batch).logits[mask]
    assert (logits - expected).norm() < 0.05 * expected.norm()


# Not Caduceus: the mixer of transformers reads the weights of its `dt_proj`.
@pytest.mark.slow
@pytest.mark.parametrize("encoder", sorted(ALL.keys() - {"caduceus"}))
def test_every_encoder_is_near_itself_in_int8(encoder):
    quantization = pytest.importorskip("torchao.quantization", reason="torchao is not installed: pip install torchao")
    model = build_dna_encoder(deepcopy(ALL[encoder])).eval()
    ids = torch.randint(4, (2, 32))
    with torch.no_grad():
        states = model(ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        quantization.quantize_(model, quantization.Int8WeightOnlyConfig())
        found = model(ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    assert 0 < (found - states).norm() < 0.05 * states.norm()


def test_lora_on_filters_gets_gradients(tiny_model, tiny_processor):
    model = get_peft_model(tiny_model, LoraConfig(target_modules=r".*\.implicit_filter\.(0|2|4|6)"))
    layers = [parameter for name, parameter in model.named_parameters() if "lora_B" in name]
    assert len(layers) > 3
    model(**encode(tiny_processor, PROMPTS[:1])).logits.pow(2).mean().backward()
    assert all(each.grad.abs().sum() > 0 for each in layers)
