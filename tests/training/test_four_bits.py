"""LoRA on a language model in 4 bits (QLoRA)."""

import json

import pytest
import torch
from conftest import TINY_CHECKPOINT
from peft import PeftModel
from runs import as_flags, log_of
from safetensors.torch import load_file
from sft_runs import HYENA, TEXT, flags, train, write_table
from transformers import AutoModelForMultimodalLM

from textgenome.training import fused
from textgenome.training.planning import plan_run
from textgenome.training.scripts import parse_arguments
from textgenome.training.sft import DataArguments, ModelArguments, TrainingArguments


SMALL = {"text_config": json.dumps(TEXT), "dna_config": json.dumps(HYENA), "dtype": "bfloat16"}


def test_the_plan_counts_4_bits_a_weight_of_the_language_model_and_one_engine():
    whole, small = (plan_run(name, flags=as_flags(SMALL)).memory for name in ("kegg", "kegg_qlora"))
    assert list(small) == ["DDP"] and len(whole) > 1
    # The linear layers, without embeddings and norms: in bfloat16 2 bytes a weight.
    layers = 2 * (32 * (32 + 16 + 16) + 32 * 32 + 3 * 32 * 64)
    assert whole["DDP"]["weights"] - small["DDP"]["weights"] == pytest.approx(layers * (2 - 4.127 / 8))
    assert small["DDP"]["gradients"] == whole["DDP"]["gradients"]


def test_what_4_bits_need_is_said(tmp_path, monkeypatch):
    kinds = (DataArguments, TrainingArguments, ModelArguments)
    with pytest.raises(ValueError, match="load_in_4bit needs use_peft"):
        parse_arguments(kinds, "sft", "", flags(tmp_path, load_in_4bit=True, use_peft=False))
    monkeypatch.setattr(fused, "is_bitsandbytes_available", lambda: False)
    with pytest.raises(ImportError, match=r"load_in_4bit needs bitsandbytes: pip install"):
        train(write_table(tmp_path), load_in_4bit=True)


@pytest.mark.slow
def test_lora_learns_on_4_bits_and_the_adapter_goes_onto_the_whole_base(tmp_path, monkeypatch):
    pytest.importorskip("bitsandbytes", reason='no bitsandbytes: pip install "textgenome[quantization]"')
    seen, load = {}, fused.load_model

    def spy(model_args):
        model = seen["model"] = load(model_args)
        return model

    monkeypatch.setattr("textgenome.training.sft.load_model", spy)
    steps = {"max_steps": 30, "per_device_train_batch_size": 8, "learning_rate": 2e-2, "lora_dropout": 0}
    out = train(write_table(tmp_path), load_in_4bit=True, save_strategy="steps", **steps)
    model = seen["model"].model
    rounded = [each for name, each in model.language_model.named_parameters() if "base_layer.weight" in name]
    assert rounded and not any(each.is_floating_point() for each in rounded)
    assert model.dna_encoder.layers[0].mixer.in_proj.weight.is_floating_point()
    trained = [each for each in seen["model"].parameters() if each.requires_grad]
    assert trained and {each.dtype for each in trained} == {torch.float32}
    losses = [entry["loss"] for entry in log_of(out / "checkpoint-30") if "loss" in entry]
    assert losses[-1] < 0.3 < losses[0]
    assert json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"] == str(TINY_CHECKPOINT)
    assert {each.dtype for each in load_file(out / "adapter_model.safetensors").values()} == {torch.float32}
    whole = PeftModel.from_pretrained(AutoModelForMultimodalLM.from_pretrained(TINY_CHECKPOINT), out)
    assert all(each.is_floating_point() for each in whole.parameters())
