"""Training on several processes, from the outside: two of them on the CPU, against one with the same effective batch."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from accelerate.commands.config.config_args import ClusterConfig
from conftest import ROOT, TINY_CHECKPOINT, conversation, random_dna, variant_row
from safetensors.torch import load_file
from transformers import AutoModelForMultimodalLM, AutoProcessor

from textgenome.processing import TextGenomeCollator, row_to_messages


CONFIGURATION = ROOT / "configuration"
BIN = Path(sys.executable).parent
TORCHRUN = [BIN / "torchrun", "--standalone", "--nproc_per_node", 2, "train_sft.py"]
SETTINGS = {
    "use_cpu": True,
    "bf16": False,
    "max_steps": 20,
    "learning_rate": 1e-2,
    "lora_dropout": 0,
    "logging_steps": 1,
    "save_steps": 20,
}
needs_deepspeed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None or shutil.which("c++") is None,
    reason="needs DeepSpeed (pip install 'textgenome[deepspeed]') and a C++ compiler, c++",
)
ENGINES = ["ddp", pytest.param("zero2", marks=needs_deepspeed), pytest.param("zero3", marks=needs_deepspeed)]
TRAINED = {
    "LoRA": {"use_peft": True},
    "whole model": {"use_peft": False, "freeze_dna_encoder": False},
}
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Without dropout, which every process draws for itself."""
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    shutil.copytree(TINY_CHECKPOINT, folder)
    config = json.loads((folder / "config.json").read_text())
    config["dna_config"]["embed_dropout"] = 0.0
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Answers of different lengths, which a mean of the processes' means would weigh wrongly."""
    folder = tmp_path_factory.mktemp("rows")
    rows = [variant_row(32 + 4 * (i % 3), seed=i, answer="ABCD"[i % 4] * (1 + i % 3)) for i in range(16)]
    for name in ("train", "val"):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def start(launcher: list, **settings) -> subprocess.Popen:
    flags = [part for name, value in {**SETTINGS, **settings}.items() for part in (f"--{name}", value)]
    return subprocess.Popen(
        [str(part) for part in [*launcher, *flags]],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": ""},
    )


def finish(process: subprocess.Popen, code: int = 0) -> str:
    try:
        output, _ = process.communicate(timeout=400)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == code, output
    return output


def engine_flags(engine: str) -> dict:
    return {} if engine == "ddp" else {"deepspeed": CONFIGURATION / "deepspeed" / f"{engine}.json"}


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    names = [folder / name for name in ("adapter_model.safetensors", "model.safetensors")]
    return load_file(next(path for path in names if path.exists()))


def losses_of(out: Path) -> list[float]:
    log = json.loads((out / "checkpoint-20" / "trainer_state.json").read_text())["log_history"]
    return [entry["loss"] for entry in log if "loss" in entry]


def assert_ran_on(out: Path, engine: str) -> None:
    """What the accelerator said it was, since it replaces an engine that it cannot run without a word."""
    results = json.loads((out / "train_results.json").read_text())
    assert results["processes"] == 2
    assert results["engine"] == ("MULTI_CPU" if engine == "ddp" else "DEEPSPEED")
    shards = [path.name for path in (out / "checkpoint-20").glob("global_step*/*model_states.pt")]
    assert sorted(shards) == {
        "ddp": [],
        "zero2": ["mp_rank_00_model_states.pt"],
        "zero3": [f"zero_pp_rank_{rank}_mp_rank_00_model_states.pt" for rank in range(2)],
    }[engine]


def assert_same_course(out: Path, reference: Path) -> None:
    assert len(losses_of(out)) == 20
    assert losses_of(out) == pytest.approx(losses_of(reference), abs=1e-3)
    for folder in (Path(), Path("checkpoint-20")):
        weights, expected = weights_of(out / folder), weights_of(reference / folder)
        assert set(weights) == set(expected)
        for name in expected:
            torch.testing.assert_close(weights[name], expected[name], atol=1e-3, rtol=0, msg=f"{folder}/{name}")


@pytest.fixture(scope="module", params=TRAINED)
def reference(request, tmp_path_factory, checkpoint, rows):
    """One process that takes eight rows at a time, and the settings of those that must do the same."""
    settings = {"dataset_name": rows, "model_name_or_path": checkpoint, **TRAINED[request.param]}
    out = tmp_path_factory.mktemp("one") / "out"
    batches = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1}
    finish(start([sys.executable, "train_sft.py"], output_dir=out, **batches, **settings))
    before, after = weights_of(checkpoint), weights_of(out)
    if "use_peft" in settings and settings["use_peft"]:
        assert {"projector", "dna_markers", "language_model"} == {name.split(".")[3] for name in after}
    else:
        assert max(float((after[name] - before[name]).abs().max()) for name in after) > 0.05
    assert losses_of(out)[-1] < losses_of(out)[0] / 2
    return out, settings


@slow
def test_one_row_eight_times_is_eight_rows_at_once(reference, tmp_path):
    expected, settings = reference
    batches = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8}
    finish(start([sys.executable, "train_sft.py"], output_dir=tmp_path / "out", **batches, **settings))
    assert_same_course(tmp_path / "out", expected)


@slow
@pytest.mark.parametrize("engine", ENGINES)
def test_two_processes_take_the_course_of_one(reference, tmp_path, engine):
    expected, settings = reference
    batches = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    finish(start(TORCHRUN, output_dir=tmp_path / "out", **batches, **settings, **engine_flags(engine)))
    assert_ran_on(tmp_path / "out", engine)
    assert_same_course(tmp_path / "out", expected)
    if settings["use_peft"]:
        return
    # What every engine leaves loads in one process.
    models = [AutoModelForMultimodalLM.from_pretrained(out) for out in (tmp_path / "out", expected)]
    processor = AutoProcessor.from_pretrained(tmp_path / "out")
    batch = TextGenomeCollator(processor)([{"messages": row_to_messages(variant_row(answer="A"))}])
    logits = [model(**batch).logits for model in models]
    torch.testing.assert_close(*logits, atol=1e-2, rtol=1e-2)
