import json
import sys
from dataclasses import replace

import pytest
from conftest import ROOT, variant_row

from textgenome.configuration.arguments import DataArguments, ModelArguments, TrainingArguments
from textgenome.training import planning
from textgenome.training.planning import (
    ENGINES,
    activation_bytes,
    build_on_meta,
    fused_config,
    memory_per_gpu,
    num_steps,
)
from textgenome.training.scripts import parse_arguments


sys.path.insert(0, str(ROOT / "benchmarks"))
from plan_memory import measure


RANDOM_MODEL = """
text_config: {model_type: qwen3, hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2,
              num_attention_heads: 4, num_key_value_heads: 2, head_dim: 16}
text_vocab_size: 300
dna_window: 64
lora_r: 8
max_steps: -1
num_train_epochs: 2
per_device_train_batch_size: 2
gradient_accumulation_steps: 3
use_cpu: true
activation_checkpointing: false
save_strategy: epoch
logging_steps: 1
disable_tqdm: true
"""
HYENADNA = "dna_config: {model_type: hyenadna, d_model: 32, d_inner: 64, n_layer: 2, max_seq_len: 64}\n"
MIXTRAL = """dna_config: {model_type: mixtral, vocab_size: 128, hidden_size: 32, intermediate_size: 64,
    num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 1, num_local_experts: 4, head_dim: 16}\n"""
RUNS = {
    "LoRA": HYENADNA + "bf16: false",
    "LoRA on bfloat16": MIXTRAL + "dtype: bfloat16\nbf16: true",
    "whole": HYENADNA + "bf16: true\nuse_peft: false\nfreeze_dna_encoder: false",
    "projector": MIXTRAL + "bf16: false\nuse_peft: false\nfreeze_language_model: true",
}


def parse(path, recipe: str):
    path.write_text(recipe)
    return parse_arguments((DataArguments, TrainingArguments, ModelArguments), "sft", "", ["--config", str(path)])


@pytest.mark.parametrize("run", RUNS)
def test_plan_is_near_what_a_run_takes(tmp_path, run):
    rows = [variant_row(60, seed=i) for i in range(8)]
    table = tmp_path / "rows.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = f"dataset_name: {table}\noutput_dir: {tmp_path / 'out'}\n{RANDOM_MODEL}{RUNS[run]}\n"
    data, training, args = parse(tmp_path / "recipe.yaml", recipe)
    planned, measured = measure(data, training, args)
    assert sum(planned.values()) == pytest.approx(sum(measured.values()), rel=0.15)
    for part, found in measured.items():
        assert planned[part] == pytest.approx(found, rel=0.15), part
    saved = [int(path.name.removeprefix("checkpoint-")) for path in (tmp_path / "out").glob("checkpoint-*")]
    assert num_steps(len(rows), 1, training) == max(saved)


def test_steps_of_a_part_of_an_epoch_are_whole(lora):
    training = replace(lora[2], num_train_epochs=1.5, gradient_accumulation_steps=3)
    # 100 rows make 25 batches of two on two GPUs, and those nine steps.
    assert str(num_steps(100, 2, training)) == "14"


@pytest.fixture(scope="module")
def lora(tmp_path_factory):
    path = tmp_path_factory.mktemp("lora") / "recipe.yaml"
    _, training, args = parse(path, f"dataset_name: x.csv\noutput_dir: x\n{RANDOM_MODEL}{RUNS['LoRA on bfloat16']}\n")
    return fused_config(args), args, training


def test_engines_divide_more_and_more(lora, monkeypatch):
    config, args, _ = lora
    model = build_on_meta(config, args)
    trained = sum(each.numel() for each in model.parameters() if each.requires_grad)
    total = sum(each.numel() for each in model.parameters())
    memory = {engine: memory_per_gpu(model, engine, 4, True) for engine in ENGINES}
    assert memory["ZeRO-1"] == {"weights": 2 * total, "gradients": 2 * trained, "optimizer": 12 * trained / 4}
    assert memory["ZeRO-2"] == {"weights": 2 * total, "gradients": 2 * trained / 4, "optimizer": 12 * trained / 4}
    assert memory["FSDP2"]["weights"] < memory["ZeRO-2"]["weights"] * 0.7
    # Of a model smaller than DeepSpeed's bound all weights are whole at a time, beside this process's part.
    assert memory["ZeRO-3"]["weights"] == 2 * total / 4 + 2 * total
    monkeypatch.setattr(planning, "LIVE", total / 10)
    assert memory_per_gpu(model, "ZeRO-3", 4, True)["weights"] == 2 * total / 4 + 2 * total / 10
    # Without bf16 DeepSpeed leaves the frozen bfloat16 as it is, but for ZeRO-3.
    assert memory_per_gpu(model, "ZeRO-2", 4, False)["weights"] == memory["DDP"]["weights"]
    assert memory_per_gpu(model, "ZeRO-3", 1, False)["weights"] == 4 * total
    assert memory["FSDP2"]["optimizer"] == 8 * trained / 4
    assert memory["DDP"]["gradients"] == 2 * memory_per_gpu(model, "DDP", 1, True)["gradients"]


def test_checkpointing_and_shorter_rows_save_activations(lora):
    config, args, training = lora
    plain = activation_bytes(config, args, training, 512, 256)
    assert activation_bytes(config, args, training, 256, 256) == pytest.approx(plain / 2, rel=0.05)
    training.activation_checkpointing = True
    assert activation_bytes(config, args, training, 512, 256) < 0.7 * plain
    assert config.text_config.num_hidden_layers == 2, "the configuration is left as it was"


@pytest.mark.parametrize("encoder", [HYENADNA, MIXTRAL], ids=["hyenadna", "mixtral"])
def test_an_encoder_that_is_trained_keeps_activations_too(tmp_path, encoder):
    recipe = f"dataset_name: x.csv\noutput_dir: x\n{RANDOM_MODEL}{encoder}bf16: true\n"
    _, training, args = parse(tmp_path / "frozen.yaml", recipe)
    frozen = activation_bytes(fused_config(args), args, training, 128, 256)
    _, training, args = parse(tmp_path / "trained.yaml", recipe + "train_dna_layers: 2\n")
    assert activation_bytes(fused_config(args), args, training, 128, 256) > 1.5 * frozen
