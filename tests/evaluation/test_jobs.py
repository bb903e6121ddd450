"""Answers scored by the metric of their job."""

import json

import numpy as np
import pytest

from textgenome.data.answer_types import check_answer, read_intervals, write_intervals, write_value
from textgenome.evaluation.evaluating_baselines import write_results
from textgenome.evaluation.jobs import find_jobs, format_jobs, measure_answers, score_jobs
from textgenome.evaluation.reporting import format_table
from textgenome.evaluation.results import summarize
from textgenome.evaluation.units import resample


def value_of(measured: dict) -> dict:
    return {name: resample(metric, 0)[1] for name, metric in measured.items()}


def test_values_are_written_with_their_decimals_and_read_back():
    assert [write_value(value, 1) for value in (2.26, -0.04, -1.25)] == ["2.3", "0.0", "-1.2"]
    scores = value_of(measure_answers("value", ["1.0", "2.0", "3.0"], ["1", "4.0", "seven"]))
    # The third counts as the mean, 2.
    assert scores["mean_absolute_error"] == pytest.approx((0 + 2 + 1) / 3)
    assert scores["pearson"] == pytest.approx(np.corrcoef([1, 2, 3], [1, 4, 2])[0, 1])
    assert (scores["accuracy"], scores["no_answer"]) == (pytest.approx(1 / 3), pytest.approx(1 / 3))


def test_intervals_are_written_as_in_gff_and_scored_by_base():
    covered = [0, 1, 1, 0, 0, 1]
    assert write_intervals(covered) == "2-3, 6-6" and write_intervals([0, 0]) == "none"
    assert read_intervals("2-3, 6") == read_intervals("6-6,2 - 3") == [(2, 3), (6, 6)]
    assert read_intervals("4-9, 2-5, 10") == [(2, 10)] and read_intervals("none") == []
    assert read_intervals("1-99999999999") == [(1, 99999999999)]  # as many as a model may write, at no cost
    assert [read_intervals(text) for text in ("3-2", "0-4", "2-", "two")] == [None] * 4
    truths = ["1-10", "none", "1-4"]
    scores = value_of(measure_answers("intervals", truths, ["6-12", "none", "all of them"]))
    hits, false_alarms, misses = 5, 2, 5 + 4
    assert scores["base_f1"] == pytest.approx(2 * hits / (2 * hits + false_alarms + misses))
    assert (scores["accuracy"], scores["no_answer"]) == (pytest.approx(1 / 3), pytest.approx(1 / 3))


def test_proteins_are_right_as_a_whole_and_by_residue():
    scores = value_of(measure_answers("protein", ["M K W *", "M A", "M K"], ["m k w *", "mkaa", None]))
    assert scores["accuracy"] == pytest.approx(1 / 3)
    assert scores["identity"] == pytest.approx((1 + 1 / 4 + 0) / 3)


def test_what_is_not_of_its_type_is_refused():
    check_answer(None, "anything")
    for answer_type, answer in (("value", "high"), ("value", "nan"), ("intervals", "5 to 9"), ("number", "1")):
        with pytest.raises(ValueError, match=answer if answer_type != "number" else "must be one of text, value"):
            check_answer(answer_type, answer)


def test_each_job_is_scored_by_its_own_metric(tmp_path):
    rows = [{"answer": "a", "job": "signals"}, {"answer": "b", "job": "signals"}]
    rows += [{"answer": answer, "answer_type": "value", "job": "counts"} for answer in ("1", "2", "3")]
    answers = {"as_is": ["a", "b", "1", "2", "3"], "dna_exchanged": ["b", "b", "3", "2", "1"]}
    known = {name: [{"answer": answer} for answer in given] for name, given in answers.items()}
    jobs = score_jobs(rows, known)
    assert [(name, job["metrics"][0], job["rows"]) for name, job in jobs.items()] == [
        ("signals", "accuracy", 2),
        ("counts", "pearson", 3),
    ]
    exchanged = jobs["counts"]["conditions"]["dna_exchanged"]
    assert exchanged["pearson"] == pytest.approx(-1) and exchanged["pearson_difference"] == pytest.approx(-2)
    assert "signals  unchanged      accuracy 1.000" in format_jobs(jobs)

    truths = [row["answer"] for row in rows]
    conditions = {name: summarize(name, records, truths) for name, records in known.items()}
    metrics = write_results(tmp_path, {"conditions": conditions}, rows, known)
    assert json.loads((tmp_path / "metrics.json").read_text())["jobs"]["counts"]["rows"] == 3
    assert "counts   DNA exchanged  Pearson r -1.000" in format_table(metrics)
    assert "counts: DNA exchanged" in (tmp_path / "report.html").read_text()


def test_rows_without_jobs_have_none_and_a_job_has_one_type():
    assert find_jobs([{"answer": "a"}, {"answer": "b", "answer_type": None}]) == []
    mixed = [{"job": "j", "answer_type": "value"}, {"job": "j"}]
    with pytest.raises(ValueError, match="The job 'j' has answers of the types value and text"):
        find_jobs(mixed)
