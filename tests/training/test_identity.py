"""Starts of a run with other settings than before: what makes another model is refused by its name."""

import json
import shutil

import pytest
import sft_runs
from conftest import variant_row
from dna_runs import HYENA, train, write_table
from safetensors.torch import load_file


CHECKPOINTS = {"save_strategy": "steps", "save_steps": 1}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A table, and beside it in `out` a run over two steps with both checkpoints."""
    folder = write_table(tmp_path_factory.mktemp("run"))
    train(folder, **CHECKPOINTS)
    return folder


@pytest.fixture
def table(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "copy")


def add_row(table, **columns) -> None:
    with open(table / "rows" / "train.jsonl", "a") as file:
        file.write(json.dumps(variant_row(seed=9, **columns)) + "\n")


@pytest.mark.parametrize(
    "settings, names",
    [
        ({"learning_rate": 1e-6, "seed": 77}, "learning_rate, seed"),
        ({"weight_decay": 0.5}, "weight_decay"),
        ({"per_device_train_batch_size": 2}, "per_device_train_batch_size"),
        ({"gradient_accumulation_steps": 2}, "gradient_accumulation_steps"),
        ({"max_steps": 4}, "max_steps"),
        ({"lr_scheduler_type": "constant"}, "lr_scheduler_type"),
        ({"warmup_steps": 1}, "warmup_steps"),
        ({"max_grad_norm": 0.1}, "max_grad_norm"),
        ({"optim": "sgd"}, "optim"),
        ({"adam_beta2": 0.9}, "adam_beta2"),
        ({"data_seed": 5}, "data_seed"),
        ({"train_sampling_strategy": "sequential"}, "train_sampling_strategy"),
        ({"bf16": True}, "bf16"),
        ({"dna_window": 32}, "dna_window"),
        ({"freeze_dna_encoder": False}, "freeze_dna_encoder"),
        ({"dna_config": {**HYENA, "n_layer": 3}}, "dna_config"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_that_make_another_model_are_refused(table, settings, names):
    before = {path.name: path.read_bytes() for path in (table / "out").iterdir() if path.is_file()}
    with pytest.raises(ValueError, match=rf"out holds a run with other settings \({names}\).*--allow_change"):
        train(table, **CHECKPOINTS, **settings)
    assert before == {path.name: path.read_bytes() for path in (table / "out").iterdir() if path.is_file()}


def test_settings_of_the_output_may_change(table):
    settings = {"logging_steps": 2, "save_steps": 2, "save_total_limit": 1, "per_device_eval_batch_size": 1}
    train(table, save_strategy="steps", dataloader_num_workers=0, run_name="other", log_level="info", **settings)
    train(table, **CHECKPOINTS, do_eval=False, dataset_test_split="train", attn_implementation="eager")


@pytest.mark.parametrize(
    "settings",
    [
        {"save_strategy": "steps", "save_steps": 1},
        {"logging_steps": 3, "per_device_eval_batch_size": 1},
        {"dataloader_num_workers": 1, "activation_checkpointing": True},
    ],
    ids=str,
)
def test_settings_that_may_change_do_not_change_the_weights(tmp_path, settings):
    table = write_table(tmp_path)
    options = {"max_steps": 3, "freeze_dna_encoder": False, "dna_config": {**HYENA, "embed_dropout": 0.3}}
    runs = [train(table, output_dir=table / name, **options, **more) for name, more in (("a", {}), ("b", settings))]
    first, second = (load_file(run / "model.safetensors") for run in runs)
    assert all((first[name] == second[name]).all() for name in first)


def test_other_rows_are_refused_and_the_same_rows_in_another_place_are_not(table):
    shutil.copytree(table / "rows", table / "moved")
    train(table, **CHECKPOINTS, dataset_name=table / "moved")
    add_row(table, answer="A")
    with pytest.raises(ValueError, match=r"other settings \(data_fingerprint\)"):
        train(table, **CHECKPOINTS)


def test_rows_that_are_left_out_count_as_those_that_are_not_there(table):
    add_row(table, answer="")
    train(table, **CHECKPOINTS, on_bad_row="skip")


def test_a_model_in_a_folder_that_was_trained_again_is_refused(tmp_path):
    table = sft_runs.write_table(tmp_path)
    base = shutil.copytree(sft_runs.TINY_CHECKPOINT, table / "base")
    options = {"model_name_or_path": base, "max_steps": 1}
    sft_runs.train(table, **options)
    weights = bytearray((base / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (base / "model.safetensors").write_bytes(weights)
    with pytest.raises(ValueError, match=r"other settings \(weights\)"):
        sft_runs.train(table, **options)


def test_what_is_allowed_to_change_is_trained_with_and_remembered(table):
    settings = {"max_steps": 4, "gradient_accumulation_steps": 2}
    with pytest.raises(ValueError, match=r"other settings \(gradient_accumulation_steps\)"):
        train(table, **CHECKPOINTS, **settings, allow_change=["max_steps"])
    before = load_file(table / "out" / "model.safetensors")
    train(table, **CHECKPOINTS, **settings, allow_change=[*settings])
    after = load_file(table / "out" / "model.safetensors")
    assert any((before[name] != after[name]).any() for name in before)
    assert json.loads((table / "out" / "train_results.json").read_text())["train_steps"] == 4
    kept = json.loads((table / "out" / "settings.json").read_text())
    assert (kept["max_steps"], kept["gradient_accumulation_steps"]) == (4, 2)
    assert kept["changes"] == [{"step": 2, "before": {"max_steps": 2, "gradient_accumulation_steps": 1}}]
    # Now it is this run: the next start needs no permission.
    train(table, **CHECKPOINTS, **settings)


@pytest.mark.parametrize(
    "name, message", [("learning_rate", "the optimizer goes on with"), ("lr", "there are no such settings")]
)
def test_what_cannot_change_is_not_allowed_to(table, name, message):
    with pytest.raises(ValueError, match=f"allow_change {name}: {message}"):
        train(table, **CHECKPOINTS, learning_rate=1, allow_change=[name])


def test_before_the_first_checkpoint_all_may_change(table):
    for step in (1, 2):
        shutil.rmtree(table / "out" / f"checkpoint-{step}")
    train(table, **CHECKPOINTS, learning_rate=1e-6, allow_change=["learning_rate"])
    assert json.loads((table / "out" / "training_arguments.json").read_text())["learning_rate"] == 1e-6


@pytest.mark.parametrize("content", [None, "", '{"job": "training", "seed'])
def test_checkpoints_of_an_unknown_run_are_not_gone_on_with(table, content):
    path = table / "out" / "settings.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=r"settings\.json.* Name another output_dir, or remove this one"):
        train(table, **CHECKPOINTS)


def test_a_checkpoint_of_another_folder_is_not_gone_on_with(table):
    with pytest.raises(ValueError, match=r"resume_from_checkpoint: .* is not a checkpoint in .*new"):
        train(table, output_dir=table / "new", resume_from_checkpoint=table / "out" / "checkpoint-1")
    train(table, **CHECKPOINTS, resume_from_checkpoint=table / "out" / "checkpoint-1")
