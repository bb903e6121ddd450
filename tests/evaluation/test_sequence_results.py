import json

import numpy as np
import pytest
from conftest import random_dna, variant_row
from test_report import Page

from textgenome.data.sequences import reverse_complement
from textgenome.evaluation import metrics as metrics_module
from textgenome.evaluation import small_cnn
from textgenome.evaluation.sequence_results import SequenceTable, cut_sequences, write_sequence_results


SINGLE, SEVERAL, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
FACTS = {"model": "outputs/mine", "dataset_name": "rows.csv", "split": "test"}


@pytest.fixture(autouse=True)
def one_epoch(monkeypatch):
    monkeypatch.setattr(small_cnn, "EPOCHS", 1)


def single_rows(number, start=0, label=lambda i: i % 2):
    return [{"sequence": random_dna(30, seed=start + i), "label": label(i)} for i in range(number)]


def certain(table, answers):
    """Records of a model that is nearly certain of these classes."""
    share = {True: np.log(0.9), False: np.log(0.1 / (len(table.names) - 1))}
    return [{"scores": {name: share[name == answer] for name in table.names}} for answer in answers]


def page_of(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


def test_rows_that_repeat_a_train_row_are_counted_and_left_out(tmp_path):
    train, rows = single_rows(20), single_rows(10, start=100)
    rows[0]["sequence"] = train[3]["sequence"].lower()
    rows[1]["sequence"] = reverse_complement(train[4]["sequence"])
    table = SequenceTable(cut_sequences(train), cut_sequences(rows), ["0", "1"], SINGLE)
    answers = [str(row["label"]) for row in rows]
    answers[0] = "1"  # wrong, but not counted
    answers[9] = "0"
    scores = {"as_is": table.as_scores(certain(table, answers)), **table.predict_baselines(0)}
    results = write_sequence_results(tmp_path, table, scores, FACTS)
    assert results["duplicates"] == {"exact": 1, "other_strand": 1}
    model = results["conditions"]["as_is"]
    assert (model["units"], model["accuracy"], results["unit"]) == (8, 7 / 8, "row")
    assert results["with_duplicates"]["as_is"]["accuracy"] == 0.8
    assert set(results["with_duplicates"]) == set(results["conditions"]) > {"kmers", "small_cnn", "labels_shuffled"}
    assert results["metric"] == "mcc" and "mcc_difference" in results["conditions"]["kmers"]
    assert "1 of 10 rows repeat the sequences of a train row, and 1 more" in results["notes"][0]
    assert json.loads((tmp_path / "metrics.json").read_text())["verdict"] == results["verdict"]


def test_the_page_of_classes(tmp_path):
    rows = cut_sequences(single_rows(12, label=lambda i: "ABC"[i % 3]))
    table = SequenceTable([], rows, ["A", "B"], SINGLE)
    scores = {"as_is": table.as_scores(certain(table, "AB" * 6))}
    results = write_sequence_results(tmp_path, table, scores, FACTS)
    assert results["conditions"]["as_is"]["accuracy"] == pytest.approx(4 / 12)
    assert results["notes"] == ["4 rows have a class that was not trained: they are wrong."]
    html = page_of(tmp_path)
    page = Page(html)
    assert page.tables["confusion"][1:] == [["A", "2", "2", ""], ["B", "2", "2", ""], ["not trained", "2", "2", ""]]
    assert "8 of 8 wrong rows" in html and "confidence 0.900" in " ".join(html.split())
    assert all(f"<h3>{title}</h3>" in html for title in ("ROC", "Precision and recall", "Calibration"))
    assert "Question" not in html and rows[0]["sequence"] not in html


def test_one_class_only_is_told_first(tmp_path):
    table = SequenceTable([], cut_sequences(single_rows(12)), ["0", "1"], None)
    scores = {"as_is": table.as_scores(certain(table, "1" * 12))}
    results = write_sequence_results(tmp_path, table, scores, FACTS)
    assert results["verdict"].startswith("The model answers one class only ('1') and is not distinguishable from")
    # Not so where the truth is of one class.
    table = SequenceTable([], cut_sequences(single_rows(12, label=lambda i: 1)), ["0", "1"], None)
    assert "one class only" not in write_sequence_results(tmp_path, table, scores, FACTS)["verdict"]


def test_several_labels(tmp_path):
    rows = cut_sequences(single_rows(12, label=lambda i: [["x"], ["x", "y"], []][i % 3]))
    table = SequenceTable(rows[:6], rows[6:], ["x", "y"], SEVERAL)
    records = [{"scores": {"x": np.log(0.8), "y": np.log(0.9 if i % 3 == 1 else 0.2)}} for i in range(6)]
    table.duplicates = table.duplicates._replace(exact=np.zeros(6, bool))
    scores = {"as_is": table.as_scores(records), **table.predict_baselines(0)}
    results = write_sequence_results(tmp_path, table, scores, FACTS)
    assert results["conditions"]["as_is"]["accuracy"] == pytest.approx(4 / 6)
    html = page_of(tmp_path)
    row = Page(html).row("classes", "y")
    assert row[1:5] == ["2", "1.000", "1.000", "1.000"]
    assert "Calibration" not in html and "Confusion" not in html


def test_values(tmp_path, monkeypatch):
    monkeypatch.setattr(metrics_module, "BOOTSTRAP_SAMPLES", 10)
    rows = cut_sequences(single_rows(40, label=lambda i: i / 7))
    table = SequenceTable(rows[:20], rows[20:], ["value"], REGRESSION)
    scores = {"as_is": table.as_scores([{"scores": {"value": i / 7 + 5}} for i in range(20)])}
    results = write_sequence_results(tmp_path, table, scores | table.predict_baselines(0), FACTS)
    assert list(results["metrics"]) == ["pearson", "spearman", "r2"]
    assert results["conditions"]["as_is"]["pearson"] == pytest.approx(1)
    assert results["conditions"]["mean"]["pearson"] == 0
    assert page_of(tmp_path).count('class="dot"') == 20


def test_loci_are_resampled_and_pairs_are_cut(tmp_path):
    rows = cut_sequences([variant_row(60, i, answer="xy"[i % 2]) for i in range(12)], dna_window=20)
    assert {len(row["reference_sequence"]) for row in rows} == {20}
    table = SequenceTable(rows[:4], rows[4:], ["x", "y"], SINGLE, loci=list("aabbccdd"))
    scores = table.predict_baselines(0)
    assert "substitution" in scores
    results = write_sequence_results(tmp_path, table, scores, FACTS)
    assert (results["unit"], results["conditions"]["kmers"]["units"]) == ("locus", 4)
    assert results["verdict"].startswith("Best baseline: ")


def test_where_all_rows_were_trained_on_the_verdict_says_so(tmp_path):
    rows = cut_sequences(single_rows(4))
    table = SequenceTable(rows, rows, ["0", "1"], SINGLE)
    scores = {"as_is": table.as_scores(certain(table, "0101"))}
    results = write_sequence_results(tmp_path, table, scores, FACTS)
    assert results["verdict"].startswith("The model was evaluated on rows that it was trained on")
    assert "what was remembered" in results["notes"][0] and "with_duplicates" not in results
