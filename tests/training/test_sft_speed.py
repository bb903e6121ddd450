"""Cached features, rows grouped by length, and the figures of speed of the script that fine-tunes."""

import json
import os
import re
import shutil
import subprocess
import sys
import time

import pytest
import torch
from conftest import ROOT, variant_row
from runs import log_of
from safetensors.torch import load_file
from sft_runs import conversations, flags, train, write_table
from transformers import AutoProcessor

from textgenome import HyenaDNAModel
from textgenome.data import TextGenomeCollator
from textgenome.training.trainer import TextGenomeTrainer


@pytest.fixture
def table(tmp_path):
    return write_table(tmp_path)


def test_cached_dna_features_give_the_same_course_without_the_encoder(table, monkeypatch):
    courses, calls, forward = [], [], HyenaDNAModel.forward

    def count(self, *args, **kwargs):
        calls.append(self)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(HyenaDNAModel, "forward", count)
    runs = {"plain": {}, "filled": {"cache_dna_features": True}, "read": {"cache_dna_features": True}}
    for name, settings in runs.items():
        calls.clear()
        out = table / name
        train(
            table,
            output_dir=out,
            dna_cache_dir=table / "features",
            max_steps=20,
            save_strategy="steps",
            eval_strategy="steps",
            eval_steps=10,
            learning_rate=1e-2,
            **settings,
        )
        log = log_of(out / "checkpoint-20")
        courses.append([entry.get("loss", entry.get("eval_loss")) for entry in log])
        # Ten epochs of two steps, two evaluations on the same rows, and the last one, after training.
        assert len(calls) == {"plain": 23, "filled": 3, "read": 1}[name]
    for course in courses[1:]:
        assert course[0] == pytest.approx(courses[0][0], abs=1e-6)
        assert course == pytest.approx(courses[0], abs=1e-4)


def test_an_encoder_that_is_trained_is_not_cached(table):
    with pytest.raises(ValueError, match="needs a frozen DNA encoder"):
        train(table, cache_dna_features=True, lora_dna_encoder=True)


def test_rows_of_similar_length_go_together_and_resume_in_the_same_order(table):
    rows = [variant_row(20 + 5 * (i % 8), seed=i, question="What? " * (i % 8 + 1)) for i in range(32)]
    (table / "rows" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"save_strategy": "steps", "save_steps": 10, "max_steps": 20, "learning_rate": 1e-2}
    train(table, output_dir=table / "random", **settings)
    out = table / "grouped"
    train(table, output_dir=out, train_sampling_strategy="group_by_length", **settings)
    padding = [
        [entry["padding"] for entry in log_of(run / "checkpoint-20") if "padding" in entry]
        for run in (table / "random", out)
    ]
    assert sum(padding[1]) < 0.7 * sum(padding[0])

    whole = load_file(out / "adapter_model.safetensors")
    shutil.rmtree(out / "checkpoint-20")
    (out / "adapter_model.safetensors").unlink()
    train(
        table, output_dir=out, train_sampling_strategy="group_by_length", **settings
    )  # from step 10, in the middle of the second epoch
    resumed = load_file(out / "adapter_model.safetensors")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_throughput_is_logged(table):
    out = train(table, save_strategy="steps", do_eval=True)
    batch = TextGenomeCollator(AutoProcessor.from_pretrained(out))(
        [{"messages": messages} for messages in conversations(table)]
    )
    supervised = (batch["labels"] != -100).sum() / batch["attention_mask"].sum()
    for entry in log_of(out / "checkpoint-2")[:2]:
        assert entry["supervised_tokens_per_second"] / entry["tokens_per_second"] == pytest.approx(
            float(supervised), rel=0.05
        )
        assert 0 <= entry["padding"] < 0.2 and entry["tflops_per_second"] > 0
        assert "mfu" not in entry, "the peak of a CPU is not known"


def test_evaluations_between_two_logs_do_not_count_as_training(table, monkeypatch):
    evaluate, pauses = TextGenomeTrainer.evaluate, [3]

    def slow(*args, **kwargs):
        time.sleep(pauses.pop() if pauses else 0)
        return evaluate(*args, **kwargs)

    monkeypatch.setattr(TextGenomeTrainer, "evaluate", slow)
    settings = {"eval_strategy": "steps", "eval_steps": 1, "logging_steps": 2, "max_steps": 2}
    out = train(table, save_strategy="steps", **settings)
    (entry,) = [entry for entry in log_of(out / "checkpoint-2") if "tokens_per_second" in entry]
    assert 0 < entry["num_input_tokens_seen"] / entry["tokens_per_second"] < 3


@pytest.mark.slow
def test_two_processes_share_a_cache_and_store_each_window_once(table):
    for run, encoded in (("filling", 16), ("reading", 0)):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
        settings = {"cache_dna_features": True, "dna_cache_dir": table / "features", "output_dir": table / run}
        settings |= {"max_steps": 4}
        done = subprocess.run(
            [*command, str(ROOT / "train_sft.py"), *flags(table, **settings)],
            capture_output=True,
            text=True,
            env={**os.environ},
        )
        assert done.returncode == 0, done.stderr
        # An epoch is one step, in which each of the two has four of the eight pairs.
        counts = [int(count) for count in re.findall(r"features: (\d+) sequences encoded", done.stderr)]
        assert len(counts) == 2 and (sum(counts) >= encoded if encoded else sum(counts) == 0)
    names = [name for path in (table / "features").glob("*/*.safetensors") for name in load_file(path)]
    assert len(names) == len(set(names)) == 16
