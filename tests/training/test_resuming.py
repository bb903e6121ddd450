import json
import runpy
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import dna_runs
import pytest
import sft_runs
from conftest import ROOT, variant_row
from safetensors.torch import load_file
from transformers import Trainer, TrainerCallback, TrainerControl

from textgenome.data.locks import locked
from textgenome.training import dna
from textgenome.training.resuming import SaveOnTermination, last_checkpoint, train_or_resume


class Killed(BaseException):
    pass


@pytest.fixture
def table(tmp_path):
    return dna_runs.write_table(tmp_path)


def figures(out: Path) -> dict:
    return json.loads((out / "train_results.json").read_text())


def add_callback(monkeypatch, callback: TrainerCallback) -> None:
    """Give the trainers of the next runs another callback, the last one."""
    real = dna.build_trainer

    def build_trainer(*args):
        trainer = real(*args)
        trainer.add_callback(callback)
        return trainer

    monkeypatch.setattr(dna, "build_trainer", build_trainer)


class KillAt(TrainerCallback):
    """Ends a run behind a step whose checkpoint is saved."""

    def __init__(self, step: int):
        self.step = step

    def on_save(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise Killed


class RemoveAt(TrainerCallback):
    """Removes the output folder of a run behind a step."""

    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            shutil.rmtree(args.output_dir)


def test_a_checkpoint_whose_state_was_cut_off_is_passed_over(tmp_path):
    for step, state in {9: '{"global_step": 9}', 10: '{"global_', 11: ""}.items():
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-9")


def test_a_signal_waits_for_a_step_at_which_the_run_can_go_on():
    termination, saved = SaveOnTermination(steps_between_saves=4), []
    termination.on_signal(signal.SIGTERM, None)
    for step in range(2, 6):
        control = TrainerControl()
        termination.on_step_end(SimpleNamespace(device="cpu"), SimpleNamespace(global_step=step), control)
        saved.append(control.should_save and control.should_training_stop)
    assert saved == [False, False, True, False]


def test_a_signal_behind_the_last_step_waits_until_the_model_is_saved(tmp_path):
    """One process may have it and the others not: who left now would leave them alone in the saving of the model."""
    course = []

    def train(resume_from_checkpoint):
        signal.raise_signal(signal.SIGTERM)
        course.append("trained")

    trainer = SimpleNamespace(
        add_callback=lambda callback: None,
        args=SimpleNamespace(output_dir=tmp_path, resume_from_checkpoint=None),
        state=SimpleNamespace(global_step=1),
        steps_between_saves=1,
        train=train,
        save_model=lambda: course.append("saved"),
    )
    handler = signal.signal(signal.SIGTERM, lambda *_: course.append("ended"))
    try:
        train_or_resume(trainer)
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert course == ["trained", "saved", "ended"]


@pytest.mark.parametrize(
    "settings, steps",
    [
        ({"max_steps": 3}, 3),
        ({"max_steps": 1}, 1),
        ({"max_steps": -1, "num_train_epochs": 1.5}, 3),
        ({"max_steps": -1, "num_train_epochs": 1}, 2),
        ({"max_steps": 3, "save_strategy": "epoch"}, 3),
        ({"max_steps": 1, "gradient_accumulation_steps": 3, "per_device_train_batch_size": 2}, 1),
        ({"max_steps": 3, "save_steps": 2, "save_total_limit": 1, "save_only_model": True}, 3),
        ({"max_steps": 3, "load_best_model_at_end": True, "eval_strategy": "steps", "save_steps": 1}, 3),
    ],
    ids=str,
)
def test_a_finished_run_trains_no_further_step_wherever_its_epoch_ends(table, settings, steps):
    settings = {"save_strategy": "steps", "save_steps": 100, **settings}
    out = dna_runs.train(table, **settings)
    weights, before = (out / "model.safetensors").read_bytes(), figures(out)
    assert before["train_steps"] == steps
    for _ in range(2):
        dna_runs.train(table, **settings)
        assert (out / "model.safetensors").read_bytes() == weights
        assert figures(out) == before
        assert max(int(path.name[11:]) for path in out.glob("checkpoint-*")) == steps


def test_a_finished_run_of_a_language_model_trains_no_further_step(tmp_path):
    table = sft_runs.write_table(tmp_path)
    settings = {"max_steps": 3, "save_strategy": "steps", "use_peft": True}
    out = sft_runs.train(table, **settings)
    weights, before = (out / "adapter_model.safetensors").read_bytes(), figures(out)
    sft_runs.train(table, **settings)
    assert (out / "adapter_model.safetensors").read_bytes() == weights
    assert figures(out) == before and before["train_steps"] == 3


@pytest.mark.parametrize("where", ["before the model", "before the processor", "before the figures"])
def test_a_run_that_is_killed_behind_its_last_checkpoint_ends_as_another(table, monkeypatch, where):
    settings = {"max_steps": 3, "save_strategy": "steps", "logging_steps": 2}
    whole = dna_runs.train(table, output_dir=table / "whole", **settings)
    out, save_model, save_processor = table / "out", Trainer.save_model, dna.TextGenomeDNAProcessor.save_pretrained

    def save_checkpoints_only(save):
        def saved(self, folder=None, *args, **kwargs):
            if folder in (None, str(out)):
                raise Killed
            return save(self, folder, *args, **kwargs)

        return saved

    def save_figures(*_, **__):
        raise Killed

    if where == "before the model":
        monkeypatch.setattr(Trainer, "save_model", save_checkpoints_only(save_model))
    elif where == "before the processor":
        monkeypatch.setattr(dna.TextGenomeDNAProcessor, "save_pretrained", save_checkpoints_only(save_processor))
    else:
        monkeypatch.setattr(dna, "save_figures", save_figures)
    with pytest.raises(Killed):
        dna_runs.train(table, **settings)
    monkeypatch.undo()
    dna_runs.train(table, **settings)
    assert {path.name for path in whole.iterdir()} == {path.name for path in out.iterdir()}
    assert (whole / "model.safetensors").read_bytes() == (out / "model.safetensors").read_bytes()
    assert figures(out)["train_loss"] == pytest.approx(figures(whole)["train_loss"])
    assert figures(out)["train_steps"] == 3 and figures(out)["train_runtime"] > 0


def test_time_and_loss_are_those_of_all_starts(table, monkeypatch):
    settings = {"max_steps": 9, "save_strategy": "steps", "save_steps": 3, "logging_steps": 2}
    whole = dna_runs.train(table, output_dir=table / "whole", **settings)
    now, training_step = 0.0, dna.DNATrainer.training_step

    def take_ten_seconds(*args, **kwargs):
        nonlocal now
        now += 10
        return training_step(*args, **kwargs)

    monkeypatch.setattr("time.time", lambda: now)
    monkeypatch.setattr(dna.DNATrainer, "training_step", take_ten_seconds)
    for step in (3, 6):
        with monkeypatch.context() as patched, pytest.raises(Killed):
            add_callback(patched, KillAt(step))
            dna_runs.train(table, **settings)
    out = dna_runs.train(table, **settings)
    assert figures(out)["train_runtime"] == pytest.approx(90)
    assert figures(out)["train_steps_per_second"] == pytest.approx(0.1)
    assert figures(out)["train_loss"] == pytest.approx(figures(whole)["train_loss"])
    weights = [load_file(run / "model.safetensors") for run in (whole, out)]
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])


def test_a_run_without_states_of_the_optimizer_is_not_gone_on_with(table, monkeypatch):
    settings = {"max_steps": 3, "save_strategy": "steps", "save_steps": 1, "save_only_model": True}
    with monkeypatch.context() as patched, pytest.raises(Killed):
        add_callback(patched, KillAt(1))
        dna_runs.train(table, **settings)
    with pytest.raises(ValueError, match="out holds a run that was stopped, and with save_only_model no state"):
        dna_runs.train(table, **settings)


@pytest.mark.parametrize(
    "name", ["checkpoint-best", "checkpoint-", "checkpoint-1-old", "checkpoint-٣", "a-checkpoint-9"]
)
def test_folders_that_only_look_like_checkpoints_are_left_alone(table, name):
    settings = {"save_strategy": "steps", "save_total_limit": 1, "save_steps": 1}
    out = dna_runs.train(table, **settings)
    shutil.copytree(out / "checkpoint-2", out / name)
    dna_runs.train(table, **settings)
    assert last_checkpoint(out) == str(out / "checkpoint-2")
    assert (out / name / "trainer_state.json").exists()


@pytest.mark.parametrize("step", [1, 3])
def test_an_output_folder_that_is_removed_ends_the_run(table, monkeypatch, step):
    add_callback(monkeypatch, RemoveAt(step))
    with pytest.raises(OSError, match="out was removed while this process wrote to it"):
        dna_runs.train(table, max_steps=3, save_strategy="steps", save_steps=2)
    assert not (table / "out").exists()


@pytest.mark.parametrize("runs", [dna_runs, sft_runs], ids=["dna", "sft"])
def test_two_runs_into_one_folder_do_not_mix(tmp_path, runs):
    table = runs.write_table(tmp_path)
    with locked(table / "out"):
        with pytest.raises(OSError, match=r"out: process .* writes to it. Wait for it, or name another place"):
            runs.train(table)
        assert [path.name for path in (table / "out").iterdir()] == [".lock"]
    runs.train(table)
    assert not (table / "out" / ".lock").exists()


NO_MODEL = {"dna_model": "./nope", "dna_config": None, "model_name_or_path": None, "text_model": "./nope"}


@pytest.mark.parametrize("script, runs", [("train_dna.py", dna_runs), ("train_sft.py", sft_runs)], ids=["dna", "sft"])
@pytest.mark.parametrize(
    "settings, message",
    [
        ({}, "1 of 9 rows are bad"),
        (NO_MODEL, "Error: ./nope: there is no such folder."),
        ({"dataset_name": "./nope"}, "Error: ./nope: there is no such file or folder"),
    ],
    ids=["bad row", "no model", "no rows"],
)
def test_what_goes_wrong_is_told_without_a_traceback(tmp_path, capsys, monkeypatch, script, runs, settings, message):
    table = runs.write_table(tmp_path)
    with open(table / "rows" / "train.jsonl", "a") as file:
        file.write(json.dumps(variant_row(answer="")) + "\n")
    flags = runs.flags(table, **settings)
    if script == "train_dna.py" and "--text_model" in flags:
        flags = flags[: flags.index("--text_model")]
    monkeypatch.setattr(sys, "argv", [script, *flags])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    assert end.value.code == 1
    told = capsys.readouterr().err
    assert message in told and "Traceback" not in told
    assert not (table / "out").exists()
