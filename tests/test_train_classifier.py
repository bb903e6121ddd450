"""The training script of the DNA-only model, from the outside: `slow` are those that start processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from conftest import ROOT, variant_row
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoProcessor
from trl import TrlParser

from textgenome import HyenaDNAConfig, HyenaDNAModel
from textgenome.configuration.arguments import ClassifierArguments, ClassifierTrainingArguments, RowArguments
from textgenome.inference import classify
from textgenome.training.resuming import last_checkpoint


sys.path.insert(0, str(ROOT))
import train_classifier


HYENA = {"model_type": "hyenadna", "d_model": 32, "d_inner": 32, "max_seq_len": 64, "initializer_range": 0.1}
QUICK = {
    "use_cpu": True,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "max_steps": 2,
    "logging_steps": 1,
    "save_strategy": "no",
    "disable_tqdm": True,
    "dna_window": 64,
}


@pytest.fixture
def table(tmp_path):
    """Eight rows of four answers to train on; of the four to evaluate on one has an answer of its own."""
    rows = [variant_row(seed=i, answer="DCBA"[i % 4]) for i in range(8)]
    for row in rows:
        del row["question"]
    (tmp_path / "rows").mkdir()
    for name, split in {"train": rows, "val": [*rows[:3], {**rows[3], "answer": "other"}]}.items():
        (tmp_path / "rows" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in split))
    return tmp_path


def flags(table, **settings) -> list[str]:
    settings = {"dataset_name": table / "rows", "dna_config": HYENA, "output_dir": table / "out", **QUICK, **settings}
    settings["dna_config"] = settings["dna_config"] and json.dumps(settings["dna_config"])
    return [part for name, value in settings.items() if value is not None for part in (f"--{name}", str(value))]


def train(table, **settings):
    parser = TrlParser((RowArguments, ClassifierArguments, ClassifierTrainingArguments))
    data, model, training = parser.parse_args_and_config(flags(table, **settings))
    train_classifier.main(data, model, training)
    return table / "out" if "output_dir" not in settings else settings["output_dir"]


def log_of(output_dir) -> list[dict]:
    return json.loads((output_dir / "trainer_state.json").read_text())["log_history"]


def test_it_learns_eight_rows_and_an_unknown_answer_is_wrong(table):
    batches = {"max_steps": 60, "per_device_train_batch_size": 8, "save_strategy": "steps", "save_steps": 60}
    out = train(table, freeze_dna_encoder=False, learning_rate=3e-3, **batches)
    losses = [entry["loss"] for entry in log_of(out / "checkpoint-60") if "loss" in entry]
    assert losses[-1] < losses[0] / 4
    assert json.loads((out / "eval_results.json").read_text())["eval_accuracy"] == 0.75

    model, processor = AutoModelForSequenceClassification.from_pretrained(out), AutoProcessor.from_pretrained(out)
    assert model.config.id2label == {0: "A", 1: "B", 2: "C", 3: "D"}
    assert processor.dna_window == processor.dna_tokenizer.model_max_length == 64
    rows = [variant_row(seed=i) for i in range(8)]
    assert [max(each, key=each.get) for each in classify(model, processor, rows)] == list("DCBA" * 2)


@pytest.mark.parametrize(
    "settings, moving",
    [
        ({}, set()),
        ({"train_dna_layers": 1}, {"layers.1"}),
        ({"freeze_dna_encoder": False}, {"layers.0", "layers.1"}),
    ],
    ids=["frozen", "last layer", "all"],
)
def test_what_is_frozen_stays_and_what_is_not_moves(table, settings, moving):
    encoder = HyenaDNAModel(HyenaDNAConfig(**HYENA))
    encoder.save_pretrained(table / "encoder")
    out = train(table, dna_config=None, dna_model=table / "encoder", learning_rate=1e-2, **settings)
    before, after = encoder.state_dict(), load_file(out / "model.safetensors")
    moved = {name for name in before if not torch.equal(before[name], after[f"model.dna_encoder.{name}"])}
    assert {".".join(name.split(".")[:2]) for name in moved if name.startswith("layers")} == moving
    assert bool(moved) == bool(moving)


def test_the_starter_rows_without_dna_are_left_out():
    rows = train_classifier.load_split(RowArguments(dataset_name="starter"), "train", None)
    assert 25_000 < len(rows) < 27_000
    assert None not in rows["reference_sequence"] and None not in rows["answer"]


def test_a_finished_run_is_evaluated_again_and_keeps_its_figures(table):
    out = train(table, save_strategy="steps")
    figures = (out / "train_results.json").read_text()
    (out / "eval_results.json").unlink()
    train(table, save_strategy="steps")
    assert (out / "train_results.json").read_text() == figures
    assert (out / "eval_results.json").exists()


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"dataset_test_split": "test"}, "no split 'test'"),
        ({"dna_config": {**HYENA, "max_seq_len": 9}}, "row 7, .* has 40 tokens, but the encoder reads at most 9"),
        ({"pooling_num_heads": 5}, "must divide the 32 channels"),
        ({"dna_config": None}, "Give one encoder"),
        ({"train_dna_layers": 3}, "train_dna_layers is 3, but 2 are used"),
        ({"freeze_dna_encoder": False, "train_dna_layers": 1}, "Choose one way"),
    ],
)
def test_what_cannot_start_says_why(table, settings, message):
    with pytest.raises(ValueError, match=message):
        train(table, **settings)


def test_bad_rows_stop_the_run_or_are_left_out(table):
    with open(table / "rows" / "train.jsonl", "a") as file:
        file.write(json.dumps(variant_row(answer="")) + "\n")
    with pytest.raises(ValueError, match=r"train.jsonl, row 8, column 'answer': the text is empty"):
        train(table)
    out = train(table, on_bad_row="skip")
    assert len(json.loads((out / "config.json").read_text())["id2label"]) == 4


def test_a_folder_with_a_run_of_other_answers_is_left_alone(table):
    train(table)
    with open(table / "rows" / "train.jsonl", "a") as file:
        file.write(json.dumps(variant_row(answer="new")) + "\n")
    with pytest.raises(ValueError, match=r"run with other settings \(labels\)"):
        train(table)


def start(table, out) -> subprocess.Popen:
    settings = {"max_steps": 40, "save_strategy": "steps", "save_steps": 10, "freeze_dna_encoder": False, "seed": 3}
    command = [sys.executable, str(ROOT / "train_classifier.py"), *flags(table, output_dir=out, **settings)]
    return subprocess.Popen(command, cwd=table, stderr=subprocess.PIPE, text=True, env={**os.environ})


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=lambda how: how.name)
def test_a_run_that_was_ended_resumes_to_the_same_weights(table, how):
    whole = start(table, table / "whole")
    assert whole.wait(120) == 0, whole.stderr.read()

    ended = start(table, table / "ended")
    while not list((table / "ended").glob("checkpoint-10/trainer_state.json")):
        assert ended.poll() is None, ended.stderr.read()
        time.sleep(0.001)
    ended.send_signal(how)
    assert ended.wait(60) == (-signal.SIGKILL if how == signal.SIGKILL else 128 + signal.SIGTERM)
    assert not (table / "ended" / "model.safetensors").exists()
    assert int(last_checkpoint(table / "ended").rpartition("-")[2]) < 40

    resumed = start(table, table / "ended")
    assert resumed.wait(120) == 0, resumed.stderr.read()
    steps = [entry["step"] for entry in log_of(table / "ended" / "checkpoint-40") if "loss" in entry]
    assert steps == list(range(1, 41))
    weights = [load_file(table / run / "model.safetensors") for run in ("whole", "ended")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
