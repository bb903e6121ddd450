import json
import os
import subprocess
import sys

import pandas
import pytest
from conftest import ROOT, TINY_CHECKPOINT, variant_row

from textgenome import TextGenomeDNAConfig, TextGenomeDNAProcessor, TextGenomeForSequenceClassification
from textgenome.evaluation import CONTROLS, compare_controls, evaluate_baselines, evaluate_model, evaluating
from textgenome.evaluation.predictions import Predictions
from textgenome.evaluation.results import compare, summarize
from textgenome.processing import build_dna_tokenizer


ROWS = 7
ANSWERS = ["glioma", "melanoma"]


@pytest.fixture
def table(tmp_path):
    folder = tmp_path / "rows"
    folder.mkdir()
    for split, first in (("train", 100), ("val", 0)):
        rows = [variant_row(40, first + i, answer=ANSWERS[i % 2], reasoning="Step 1") for i in range(ROWS)]
        pandas.DataFrame(rows).to_csv(folder / f"{split}.csv", index=False)
    return str(folder)


def run(table, folder, controls=(), **options):
    options = {"batch_size": 2, "max_new_tokens": 3, **options}
    return evaluate_model(str(TINY_CHECKPOINT), table, "val", folder, list(controls), **options)


def predictions(folder):
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]


def test_all_that_is_written(table, tmp_path):
    metrics = run(table, tmp_path / "out", CONTROLS, baselines=True, mode="both", text_only_model=str(TINY_CHECKPOINT))
    assert json.loads(json.dumps(metrics)) == json.loads((tmp_path / "out" / "metrics.json").read_text())
    kinds = [each["kind"] for each in metrics["conditions"].values()]
    # These rows name no gene: that control is left out.
    assert kinds == ["model", *["control"] * (len(CONTROLS) - 1), "text only", *["baseline"] * 5]
    assert "genes masked" not in metrics["conditions"]
    for name, scores in metrics["conditions"].items():
        assert scores["rows"] == ROWS
        assert ("p_value" in scores) == (name != "as is")
        assert ("scored_accuracy" in scores) == ("tokens_per_answer" in scores) == (scores["kind"] != "baseline")
    assert metrics["versions"]["textgenome"] and metrics["dataset_name"] == table
    written = predictions(tmp_path / "out")
    assert len(written) == ROWS * (kinds.count("control") + 2)
    assert all(set(record["scores"]) == set(ANSWERS) for record in written)
    assert (tmp_path / "out" / "report.html").exists()


def test_nothing_that_is_written_holds_a_sequence(table, tmp_path):
    run(table, tmp_path / "out", CONTROLS, mode="both")
    windows = [pandas.read_csv(f"{table}/val.csv")[name][0] for name in ("reference_sequence", "variant_sequence")]
    for path in (tmp_path / "out").iterdir():
        assert not any(window[:12] in path.read_text() for window in windows)


class Killed(BaseException):
    pass


def test_a_killed_run_loses_and_repeats_nothing(table, tmp_path, monkeypatch):
    asked = []
    real = Predictions.write

    def write(self, records):
        asked.extend((record["condition"], record["row"]) for record in records)
        real(self, records)
        if len(asked) in kills:
            with self.part.open("a") as file:
                file.write('\n{"condition": "as is", "row": 6, "out')
            raise Killed

    monkeypatch.setattr(Predictions, "write", write)
    kills = {4, 9}
    for _ in kills:
        with pytest.raises(Killed):
            run(table, tmp_path / "out", ["DNA exchanged"])
    metrics = run(table, tmp_path / "out", ["DNA exchanged"])
    assert len(asked) == len(set(asked)) == 2 * ROWS
    kills = set()
    again = run(table, tmp_path / "whole", ["DNA exchanged"])
    assert again["conditions"] == metrics["conditions"]
    assert predictions(tmp_path / "out") == predictions(tmp_path / "whole")
    # Nothing is left to ask, but what a new control asks.
    asked.clear()
    run(table, tmp_path / "out", ["DNA exchanged", "pair swapped"])
    assert {condition for condition, _ in asked} == {"pair swapped"}
    asked.clear()
    run(table, tmp_path / "out", text_only_model=str(TINY_CHECKPOINT))
    assert {condition for condition, _ in asked} == {"text-only model"}


def test_another_evaluation_is_refused(table, tmp_path):
    run(table, tmp_path / "out")
    with pytest.raises(ValueError, match=r"another evaluation \(it differs in generation\)"):
        run(table, tmp_path / "out", max_new_tokens=4)
    with pytest.raises(ValueError, match=r"differs in seed"):
        run(table, tmp_path / "out", seed=1)


def test_sampling_is_seeded(table, tmp_path):
    options = {"do_sample": True, "temperature": 3.0}
    for name in "ab":
        run(table, tmp_path / name, **options)
    assert predictions(tmp_path / "a") == predictions(tmp_path / "b")
    run(table, tmp_path / "c", seed=1, **options)
    assert predictions(tmp_path / "a") != predictions(tmp_path / "c")


def test_a_model_is_asked_as_it_was_trained(table, tmp_path, monkeypatch):
    seen = []
    real = evaluating.cut_windows

    def cut_windows(rows, **options):
        seen.append(options)
        return real(rows, **options)

    monkeypatch.setattr(evaluating, "cut_windows", cut_windows)
    monkeypatch.setattr(evaluating, "training_settings", lambda model: {"dna": "none", "dna_truncation": "per_side"})
    metrics = run(table, tmp_path / "out", CONTROLS)
    assert seen == [{"dna": "none", "dna_truncation": "per_side", "dna_window": 64}]
    # Without DNA there is none to change.
    assert list(metrics["conditions"]) == ["as is", "constant question"]


def test_a_dna_only_model_goes_into_the_same_table(table, tmp_path):
    dna_config = {"d_model": 16, "d_inner": 16, "n_layer": 1, "max_seq_len": 64, "initializer_range": 0.3}
    config = TextGenomeDNAConfig(dna_config=dna_config, id2label=dict(enumerate(ANSWERS)))
    TextGenomeForSequenceClassification(config).save_pretrained(tmp_path / "classifier")
    tokenizer = build_dna_tokenizer("hyenadna", model_max_length=64)
    TextGenomeDNAProcessor(tokenizer, dna_window=32).save_pretrained(tmp_path / "classifier")
    metrics = evaluate_model(str(tmp_path / "classifier"), table, "val", tmp_path / "out", list(CONTROLS))
    # It sees no question, and cannot do without DNA.
    shown = ["as is", "DNA exchanged", "DNA shuffled", "pair swapped", "reference only"]
    assert list(metrics["conditions"]) == shown
    assert {len(record["scores"]) for record in predictions(tmp_path / "out")} == {len(ANSWERS)}
    assert "scored_accuracy" in metrics["conditions"]["as is"]


def test_rows_are_asked_as_they_train(tiny_model, tiny_processor):
    prompts = []
    tiny_model.model.register_forward_pre_hook(
        lambda _, args, kwargs: prompts.extend(kwargs["input_ids"]), with_kwargs=True
    )
    rows = [variant_row(reasoning="Step 1"), variant_row(seed=1)]
    accuracies = compare_controls(tiny_model, tiny_processor, rows, dna="none", max_new_tokens=1)
    asked = [tiny_processor.decode(prompt).split("assistant\n")[1] for prompt in prompts]
    assert asked == ["", "<think>\n\n</think>\n\n"]
    assert not any("dna" in tiny_processor.decode(prompt) for prompt in prompts)
    assert list(accuracies) == ["as is"]


def test_controls_give_the_model_other_dna_and_none(tiny_model, tiny_processor):
    seen = []
    tiny_model.model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs.get("dna_input_ids")), with_kwargs=True
    )
    rows = [variant_row(seed=i, answer="?", reasoning="Step 1") for i in range(4)]
    accuracies = compare_controls(tiny_model, tiny_processor, rows, max_new_tokens=1)
    # No answer is never right.
    assert accuracies == {"as is": 0.0, "DNA exchanged": 0.0, "DNA removed": 0.0}
    as_is, exchanged, removed = seen
    assert as_is.shape == exchanged.shape and not (as_is == exchanged).all()
    assert removed is None


def test_baselines_need_no_model(table, tmp_path):
    metrics = evaluate_baselines(table, "val", tmp_path / "out")
    assert {each["kind"] for each in metrics["conditions"].values()} == {"baseline"}
    assert (tmp_path / "out" / "report.html").exists()


def test_the_figures_of_a_condition():
    texts = ["<think>\nAnswer: glioma\n</think>\n\nAnswer: Melanoma", "it is no glioma"]
    scores = [{"glioma": -0.1, "melanoma": -2.4}, {"glioma": -0.7, "melanoma": -0.7}]
    records = [{"output": text, "tokens": n, "scores": each} for text, n, each in zip(texts, (9, 5), scores)]
    summary = summarize(records, ["melanoma", "glioma"], "model")
    expected = {"accuracy": 0.5, "accuracy_single_entry": 0.0, "truth_anywhere": 1.0, "scored_accuracy": 0.5}
    expected |= {"no_answer": 0.5, "tokens_per_answer": 7.0}
    assert {name: summary[name] for name in expected} == expected
    bins = [(each["low"], each["rows"], each["accuracy"]) for each in summary["reliability"]]
    assert bins == [(0.4, 1, 1), (0.9, 1, 0)]
    scored = [{"scores": record["scores"]} for record in records]
    assert summarize(scored, ["melanoma", "glioma"], "model")["accuracy"] == 0.5
    assert compare(scored, records, ["melanoma", "glioma"]) == {
        "difference": 0.0,
        "only_first": 1,
        "only_second": 1,
        "p_value": 1.0,
    }


@pytest.mark.slow
def test_two_processes_share_the_rows(table, tmp_path):
    run(table, tmp_path / "one", ["DNA exchanged"])
    flags = {"model": TINY_CHECKPOINT, "dataset_name": table, "split": "val", "output_dir": tmp_path / "two"}
    flags |= {"controls": "DNA exchanged", "batch_size": 2, "max_new_tokens": 3}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "textgenome.commands"]
    command += ["evaluate", *(part for name in flags for part in (f"--{name}", str(flags[name])))]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    assert predictions(tmp_path / "two") == predictions(tmp_path / "one")
    assert not list((tmp_path / "two").glob("*.part.jsonl"))
