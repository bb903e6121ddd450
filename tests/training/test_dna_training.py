"""The script that trains models of DNA alone, from the outside: `slow` are those that start processes of their own."""

import json
import signal

import pytest
import torch
from conftest import variant_row
from dna_runs import HYENA, flags, train, write_table
from runs import LONG, assert_resumes_to_the_same_weights, log_of, start
from safetensors.torch import load_file
from tiny_encoders import ENCODERS, TOKENIZERS
from transformers import AutoModelForSequenceClassification, AutoProcessor

from textgenome import HyenaDNAConfig, HyenaDNAModel
from textgenome.configuration.dna_arguments import DNAArguments
from textgenome.inference import classify
from textgenome.training.classification import load_split


@pytest.fixture
def table(tmp_path):
    return write_table(tmp_path)


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


QUICKLY = ("enformer", "evo2")


@pytest.mark.parametrize(
    "encoder", [name if name in QUICKLY else pytest.param(name, marks=pytest.mark.slow) for name in ENCODERS]
)
def test_every_kind_of_encoder_takes_a_step(table, encoder):
    settings = {"dna_config": ENCODERS[encoder], "dna_tokenizer": TOKENIZERS.get(encoder), "freeze_dna_encoder": False}
    out = train(table, **settings, max_steps=1, learning_rate=1e-2)
    model, processor = AutoModelForSequenceClassification.from_pretrained(out), AutoProcessor.from_pretrained(out)
    rows = [variant_row(seed=i) for i in range(2)]
    scores = classify(model, processor, rows)
    assert abs(scores[0]["A"] - scores[1]["A"]) > 1e-4, "the class does not depend on the DNA"


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"both_strands": "concat"}, None),
        ({"dna_feature_module": "layers.0.mixer"}, None),
        ({"dna_feature_module": "layers.0.mixr"}, r"no such module. Near are layers.0.mixer"),
        ({"both_strands": "average", "dna_config": ENCODERS["ntv2"]}, "a token for each base"),
        ({"train_dna_layers": 2, "dna_feature_module": "layers.0.mixer"}, "train_dna_layers is 2, but 1 are used"),
    ],
)
def test_features_are_chosen_by_flags(table, settings, message):
    if message:
        with pytest.raises(ValueError, match=message):
            train(table, max_steps=1, **settings)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(train(table, max_steps=1, **settings))
        assert {name: getattr(model.config, name) for name in settings} == settings


def test_the_starter_rows_without_dna_are_left_out():
    rows = load_split(DNAArguments(dataset_name="starter"), "train", None)
    assert 25_000 < len(rows) < 27_000
    assert None not in rows["reference_sequence"] and None not in rows["answer"]


def test_checkpoints_are_whole(table):
    checkpoint = train(table, save_strategy="steps", save_steps=2) / "checkpoint-2"
    assert AutoProcessor.from_pretrained(checkpoint).dna_window == 64
    assert {"modeling_textgenome_dna.py", "processing_textgenome_dna.py"} <= {
        path.name for path in checkpoint.iterdir()
    }


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
    with pytest.raises(ValueError, match=r"run with other settings \(data_fingerprint, labels\)"):
        train(table)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=lambda how: how.name)
def test_a_run_that_was_ended_resumes_to_the_same_weights(table, how):
    settings = {**LONG, "freeze_dna_encoder": False}
    assert_resumes_to_the_same_weights(
        lambda out: start("train_dna.py", flags(table, output_dir=out, **settings), table), table, how
    )
