"""What `--task classification` learns from tables of one sequence a row, of several labels and of values."""

import json
from pathlib import Path

import pytest
from conftest import random_dna, variant_row
from dna_runs import HYENA
from dna_runs import train as run
from runs import log_of, write_rows
from transformers import AutoModelForSequenceClassification, AutoProcessor

from textgenome import HyenaDNAConfig, HyenaDNAModel, TextGenomeDNAModel
from textgenome.inference import classify
from textgenome.inference.checkpoints import open_checkpoint
from textgenome.training import dna


def rows_of(label, count: int = 8) -> list[dict]:
    return [{"sequence": random_dna(30, i), "label": label(i)} for i in range(count)]


def train(folder: Path, rows: list[dict], **settings) -> Path:
    write_rows(folder / "rows", train=rows, val=rows[:4], test=rows[4:])
    return run(folder, dna_window=None, **settings)


def config_of(out: Path) -> dict:
    return json.loads((out / "config.json").read_text())


LEARNS = {"freeze_dna_encoder": False, "learning_rate": 3e-3, "max_steps": 60, "per_device_train_batch_size": 8}


def test_a_table_of_one_sequence_a_row_is_learnt(tmp_path, caplog):
    options = {"pooling": "max", "classifier_dropout": 0, "saved_examples": 5}
    out = train(tmp_path, rows_of(lambda i: i % 2), **LEARNS, **options)
    assert "8 sequences to train on, single_label_classification: 0 (4), 1 (4)." in caplog.text
    config = config_of(out)
    assert (config["num_sequences"], config["pooling"], config["classifier_dropout"]) == (1, "max", 0)
    model, processor = AutoModelForSequenceClassification.from_pretrained(out), AutoProcessor.from_pretrained(out)
    assert [(each["answer"], len(each["reference"])) for each in processor.examples] == [("0", 30), ("1", 30)]
    answers = classify(model, processor, rows_of(int))
    assert [max(each, key=each.get) for each in answers] == list("01" * 4)
    assert json.loads((out / "eval_results.json").read_text())["eval_accuracy"] == 1


def test_a_run_ends_with_the_table_of_results(tmp_path, capsys):
    rows = rows_of(lambda i: i % 2, 16)
    write_rows(tmp_path / "rows", train=rows[:8], val=rows[6:])
    out = run(tmp_path, dna_window=None, max_steps=1, baselines=True)
    metrics = json.loads((out / "evaluation" / "metrics.json").read_text())
    assert {"as_is", "dna_exchanged", "reverse_complement", "kmers", "small_cnn"} < set(metrics["conditions"])
    assert (metrics["duplicates"]["exact"], metrics["conditions"]["as_is"]["units"]) == (2, 8)
    assert metrics["verdict"] in capsys.readouterr().out
    assert (out / "evaluation" / "report.html").exists()
    # Weights that were trained on are evaluated anew.
    run(tmp_path, dna_window=None, max_steps=2, allow_change=["max_steps"])
    again = json.loads((out / "evaluation" / "metrics.json").read_text())
    assert again["weights"] != metrics["weights"] and "kmers" not in again["conditions"]


def test_values_are_learnt_in_their_unit(tmp_path, caplog):
    out = train(tmp_path, rows_of(lambda i: 1000 + i + 0.5), **LEARNS, pooling="mean", classifier_dropout=0)
    assert "regression: labels from 1000.5 to 1007.5" in caplog.text
    config = config_of(out)
    assert config["problem_type"] == "regression" and config["id2label"] == {"0": "value"}
    assert config["label_mean"] == 1004 and config["label_scale"] == pytest.approx(2.2913, abs=1e-4)
    model, processor = AutoModelForSequenceClassification.from_pretrained(out), AutoProcessor.from_pretrained(out)
    answers = [each["value"] for each in classify(model, processor, rows_of(float))]
    assert answers == pytest.approx([1000.5 + i for i in range(8)], abs=1)


def test_several_labels_a_row_are_learnt(tmp_path):
    rows = rows_of(lambda i: [name for name, bit in (("a", 1), ("b", 2)) if i & bit])
    out = train(tmp_path, rows, **LEARNS, class_weights="balanced")
    config = config_of(out)
    assert config["problem_type"] == "multi_label_classification" and config["class_weights"] == [1, 1]
    model, processor = AutoModelForSequenceClassification.from_pretrained(out), AutoProcessor.from_pretrained(out)
    answers = classify(model, processor, rows)
    assert [[name for name in "ab" if each[name] > -0.69] for each in answers] == [row["label"] for row in rows]


def test_rare_classes_may_count_more(tmp_path):
    out = train(tmp_path, rows_of(lambda i: "rare" if i == 3 else "usual"), class_weights="balanced", max_steps=1)
    assert config_of(out)["class_weights"] == [4, pytest.approx(4 / 7)]


@pytest.mark.parametrize("recipe", ["starter", "gue"])
def test_a_task_of_gue_is_trained_by_a_recipe(tmp_path, monkeypatch, recipe):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "task").mkdir()
    for split in ("train", "dev", "test"):
        rows = "".join(f"{random_dna(70, i)},{i % 3}\n" for i in range(6))
        (tmp_path / "task" / f"{split}.csv").write_text(f"sequence,label\n{rows}")
    few = ["--max_steps", "1", "--use_cpu", "--disable_tqdm", "true", "--baselines", "false"]
    dna.main(["--config", recipe, "--dataset_name", "task", *few])
    config = config_of(tmp_path / "outputs" / "task")
    assert config["num_sequences"] == 1 and list(config["label2id"]) == ["0", "1", "2"]


def test_an_encoder_from_random_weights_is_made_for_the_longest_sequence(tmp_path, caplog):
    rows = rows_of(lambda i: i % 2)
    rows[5]["sequence"] = random_dna(90)
    out = train(tmp_path, rows, dna_config={**HYENA, "max_seq_len": 20}, max_steps=1)
    assert "The longest sequence has 90 bases: max_seq_len of the new encoder is 90" in caplog.text
    assert (
        config_of(out)["dna_config"]["max_seq_len"]
        == AutoProcessor.from_pretrained(out).dna_tokenizer.model_max_length
        == 90
    )


def test_a_pretrained_encoder_reads_what_it_reads(tmp_path):
    HyenaDNAModel(HyenaDNAConfig(**{**HYENA, "max_seq_len": 20})).save_pretrained(tmp_path / "encoder")
    with pytest.raises(ValueError, match=r"row 0, column 'sequence': .* 30 tokens, but the encoder reads at most 20"):
        train(tmp_path, rows_of(lambda i: i % 2), dna_config=None, dna_model=tmp_path / "encoder")


def test_the_difference_at_the_site_is_learnt(tmp_path):
    rows = [variant_row(seed=i, answer="DCBA"[i % 4]) for i in range(8)]
    out = train(tmp_path, rows, **LEARNS, pooling="site_difference", save_strategy="steps", save_steps=60)
    assert config_of(out)["pooling"] == "site_difference"
    losses = [entry["loss"] for entry in log_of(out / "checkpoint-60") if "loss" in entry]
    assert losses[-1] < losses[0] / 3


@pytest.mark.parametrize("pooling", ["mean", "site_difference"])
def test_a_frozen_encoder_reads_each_row_once(tmp_path, monkeypatch, pooling):
    rows, seen = [variant_row(seed=i, answer="DCBA"[i % 4]) for i in range(8)], []
    HyenaDNAModel(HyenaDNAConfig(**HYENA)).save_pretrained(tmp_path / "encoder")
    encode = TextGenomeDNAModel.encode_dna
    monkeypatch.setattr(TextGenomeDNAModel, "encode_dna", lambda *args: seen.append(1) or encode(*args))
    settings = {**LEARNS, "freeze_dna_encoder": True, "dna_config": None, "dna_model": tmp_path / "encoder"}
    train_or_resume = dna.train_or_resume
    monkeypatch.setattr(dna, "train_or_resume", lambda *args: (train_or_resume(*args), seen.append(2))[0])
    out = train(tmp_path, rows, **settings, pooling=pooling, num_train_epochs=5)
    assert seen[:2] == [1, 2], "not once before training, or in training again"
    model, processor = AutoModelForSequenceClassification.from_pretrained(out), AutoProcessor.from_pretrained(out)
    answers = [max(each, key=each.get) for each in classify(model, processor, rows[:4])]
    right = sum(answer == row["answer"] for answer, row in zip(answers, rows))
    assert json.loads((out / "eval_results.json").read_text())["eval_accuracy"] == right / 4 > 0.25


EARLY = {"dataset_validation_split": "val", "dataset_test_split": "test", "early_stopping_patience": 2}


def test_early_stopping_keeps_the_best_and_a_stopped_run_trains_no_further_step(tmp_path):
    rows = rows_of(lambda i: i % 2)
    write_rows(tmp_path / "rows", train=rows, val=[{**row, "label": 1 - row["label"]} for row in rows[:4]], test=rows)
    # What is learnt is wrong of the validation rows: the first epoch is the best one.
    settings = {
        **LEARNS,
        **EARLY,
        "max_steps": -1,
        "num_train_epochs": 9,
        "save_strategy": "epoch",
        "dna_window": None,
    }
    out = run(tmp_path, **settings)
    state = json.loads((out / "checkpoint-3" / "trainer_state.json").read_text())
    assert state["best_global_step"] == 1 and state["global_step"] == 3
    weights = (out / "model.safetensors").read_bytes()
    assert weights == (out / "checkpoint-1" / "model.safetensors").read_bytes()
    (out / "model.safetensors").unlink()
    run(tmp_path, **settings)
    assert (out / "model.safetensors").read_bytes() == weights
    assert not (out / "checkpoint-4").exists()


def test_lora_on_the_encoder_is_saved_as_an_adapter_that_loads_alone(tmp_path):
    HyenaDNAModel(HyenaDNAConfig(**HYENA)).save_pretrained(tmp_path / "encoder")
    settings = {**LEARNS, "freeze_dna_encoder": None, "lora_dna_encoder": True, "lora_r": 4, "learning_rate": 1e-2}
    out = train(tmp_path, rows_of(lambda i: i % 2), dna_config=None, dna_model=tmp_path / "encoder", **settings)
    assert not (out / "model.safetensors").exists()
    checkpoint = open_checkpoint(out)
    assert checkpoint.is_adapter and checkpoint.kind.task == "text-classification"
    for model in (checkpoint.load(), AutoModelForSequenceClassification.from_pretrained(out)):
        answers = classify(model, checkpoint.processor, rows_of(int))
        assert [max(each, key=each.get) for each in answers] == list("01" * 4)
    adapted = {name for name, _ in model.named_parameters() if "lora_" in name}
    assert adapted and all("dna_encoder" in name for name in adapted)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"early_stopping_patience": 2}, "must not be chosen on the rows that it is evaluated on"),
        ({**EARLY, "dataset_test_split": "val"}, "are both 'val'"),
        ({**EARLY, "early_stopping_patience": 0}, "must be 1 or more"),
        (
            {"problem_type": "regression", "rows": rows_of(lambda i: "ab"[i % 2])},
            "row 0, column 'label': the label is 'a'",
        ),
        ({"pooling": "site_difference"}, "needs pairs"),
        ({"lora_dna_encoder": True, "train_dna_layers": 1}, "Choose one way"),
        ({"rows": [*rows_of(int), variant_row()]}, "1 rows are pairs of a reference and a variant, 12 have one"),
        ({"vcf": "calls.vcf", "dataset_name": None}, "Hold out variants"),
        ({"vcf": "calls.vcf", "test_contigs": "chr1", "dataset_validation_split": "val"}, "is a split of a table"),
    ],
)
def test_what_cannot_start_says_why(tmp_path, settings, message):
    rows = settings.pop("rows", None) or rows_of(lambda i: i % 2)
    with pytest.raises(ValueError, match=message):
        train(tmp_path, rows, **settings)
