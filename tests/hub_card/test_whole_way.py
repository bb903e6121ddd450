"""From a table to somebody else's answer, in processes of their own: what a new version of a library breaks first."""

import json
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, TINY_CHECKPOINT, variant_row
from safetensors.torch import load_file
from typer.testing import CliRunner

from textgenome.commands import app
from textgenome.hub_card import probe


def command(*arguments) -> str:
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
def test_two_steps_of_training_export_ask_and_a_stranger(tmp_path):
    rows = [variant_row(seed=i, answer="AB"[i % 2]) for i in range(4)]
    table = tmp_path / "rows.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    flags = {"dataset_name": table, "model_name_or_path": TINY_CHECKPOINT, "output_dir": tmp_path / "run"}
    flags |= {"max_steps": 2, "learning_rate": 1e-2, "use_cpu": True, "bf16": False}
    flags |= {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 1, "activation_checkpointing": True}
    options = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
    # Whatever the libraries mean to change is to be known before they do.
    python = [sys.executable, "-W", "error::FutureWarning"]
    done = subprocess.run([*python, ROOT / "train_sft.py", *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    command("export", tmp_path / "run", tmp_path / "exported")
    asked = ["--model", tmp_path / "exported", "--dataset_name", table, "--output_dir", tmp_path / "asked"]
    command("ask", *asked, "--max_new_tokens", 8)
    assert (tmp_path / "asked" / "answers.jsonl").read_text().count("\n") == len(rows)

    exported, auto_class = tmp_path / "exported", "AutoModelForMultimodalLM"
    strange = [sys.executable, "-P", probe.__file__, exported, "main", auto_class, "model", tmp_path / "found"]
    subprocess.run(strange, check=True, cwd=tmp_path)
    found, expected = load_file(tmp_path / "found"), probe.answer(*probe.load(exported, "main", auto_class))
    assert torch.equal(found["answer"], expected["answer"])
    torch.testing.assert_close(found["logits"], expected["logits"])
