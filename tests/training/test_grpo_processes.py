"""Learning by reward in two processes: loss and gradients are those of one."""

import json
import subprocess
import sys

import fixed_answers
import grpo_runs
import pytest
from conftest import TINY_CHECKPOINT
from runs import log_of
from safetensors.torch import load_file
from sft_runs import write_table

from textgenome.training import grpo
from textgenome.training.grpo_trainer import TextGenomeGRPOTrainer


pytestmark = pytest.mark.slow

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
# A step of plain gradient descent: what it changes is the gradient.
STEP = {"optim": "sgd", "learning_rate": 0.1, "lr_scheduler_type": "constant", "warmup_steps": 0, "max_grad_norm": 0}
STEP |= {"max_steps": 1, "save_strategy": "steps", "save_steps": 1, "use_peft": False, "rewards": ["right"]}


def result(out):
    """The loss of the step, and its gradients."""
    before, after = load_file(TINY_CHECKPOINT / "model.safetensors"), load_file(out / "model.safetensors")
    loss = next(each["loss"] for each in log_of(out / "checkpoint-1") if "loss" in each)
    return loss, {name: (before[name] - after[name]) / 0.1 for name in before}


def test_two_processes_give_the_loss_and_gradients_of_one(tmp_path, monkeypatch):
    table = write_table(tmp_path)
    monkeypatch.setattr(TextGenomeGRPOTrainer, "_generate_single_turn", fixed_answers.answer)
    monkeypatch.setitem(grpo.FUNCTIONS, "right", fixed_answers.spread)
    loss, gradients = result(grpo_runs.train(table, **STEP, per_device_train_batch_size=8))
    out = tmp_path / "two"
    flags = grpo_runs.flags(table, **STEP, per_device_train_batch_size=4, output_dir=out)
    subprocess.run([*TORCHRUN, fixed_answers.__file__, *flags], check=True, cwd=table)
    loss_of_two, gradients_of_two = result(out)
    assert json.loads((out / "train_results.json").read_text())["processes"] == 2
    assert loss == pytest.approx(loss_of_two, abs=1e-3) and abs(loss) > 1e-3
    largest = max(each.abs().max() for each in gradients.values())
    assert largest > 0.01
    for name, each in gradients.items():
        assert (each - gradients_of_two[name]).abs().max() < 1e-3 * max(1, largest)
