import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_fscore_support

from textgenome.evaluation.answer_metric import AnswerMetric
from textgenome.evaluation.metrics import accuracy_interval, mcnemar, resample_macro, score_answers


TRUTHS = ["Glioma", "glioma", "melanoma", "breast cancer"]


def test_scores():
    scores = score_answers(TRUTHS, ["glioma", None, "GLIOMA", "breast cancer."])
    assert scores["accuracy"] == 0.5
    assert scores["no_answer"] == 0.25
    # melanoma is never said: its precision is undefined, and counts as 1 as in the original, or as 0.
    assert scores["macro_precision"] == pytest.approx((0.5 + 1 + 1) / 3)
    assert scores["macro_precision_zero_division_0"] == pytest.approx((0.5 + 0 + 1) / 3)
    assert scores["macro_recall"] == pytest.approx((0.5 + 0 + 1) / 3)
    assert [(each["label"], each["rows"], each["recall"]) for each in scores["per_class"]] == [
        ("breast cancer", 1, 1.0),
        ("glioma", 2, 0.5),
        ("melanoma", 1, 0.0),
    ]


def test_no_answer_is_never_the_truth():
    truths = [".", "...", "''", "-"]
    for nothing in (None, "", " ", "\u200b"):
        scores = score_answers(truths, [nothing] * 4, synonyms={"x": "y"})
        assert (scores["accuracy"], scores["accuracy_with_synonyms"], scores["no_answer"]) == (0, 0, 1)
        assert scores["macro_recall"] == 0
    assert score_answers(truths, truths)["accuracy"] == 1


def test_what_tells_answers_apart_is_scored():
    truths = ["<5 %", ">5 %", "5 %", "p.Arg5*", "p.Arg5", "del(5q)"]
    assert score_answers(truths, truths)["accuracy"] == 1
    assert score_answers(truths, [*truths[1:], truths[0]])["accuracy"] == 0
    assert len(score_answers(truths, truths)["per_class"]) == len(truths)


def test_macro_scores_are_over_the_labels_of_the_truth():
    scores = score_answers(["a", "a", "b"], ["a", "c", "b"])
    assert scores["macro_f1"] == f1_score(["a", "a", "b"], ["a", "c", "b"], labels=["a", "b"], average="macro")


def test_intervals():
    truths, answers = ["a", "b"] * 50, ["a", "b", "a", "a", None] * 20
    scores = score_answers(truths, answers)
    for name in ("accuracy", "macro_precision", "macro_recall", "macro_f1"):
        low, high = scores[f"{name}_interval"]
        assert low <= scores[name] <= high and low < high
    assert scores == score_answers(truths, answers)
    # Wilson's interval of 8 of 10, by his formula.
    assert accuracy_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert accuracy_interval(0, 5)[0] == 0 and accuracy_interval(5, 5)[1] == 1


def test_the_bootstrap_scores_as_scikit_learn_does():
    rng = np.random.default_rng(0)
    true, given = rng.integers(5, size=40), rng.integers(-1, 5, size=40)
    drawn = np.random.default_rng(3).multinomial(40, np.full(40, 1 / 40), 1000)
    for sample, scores in list(zip(drawn, resample_macro(true, given, 5, seed=3)))[:20]:
        truth, answers = true.repeat(sample), given.repeat(sample)
        options = {"labels": np.unique(truth), "average": "macro", "zero_division": 1.0}
        assert scores == pytest.approx(precision_recall_fscore_support(truth, answers, **options)[:3])


def test_synonyms_stand_beside_the_strict_figure():
    scores = score_answers(["AD", "glioma"], ["alzheimer's disease", "glioma"], {"ad": "Alzheimer’s disease"})
    assert (scores["accuracy"], scores["accuracy_with_synonyms"]) == (0.5, 1.0)
    assert "accuracy_with_synonyms" not in score_answers(["a"], ["a"])


def test_every_row_needs_an_answer():
    with pytest.raises(ValueError, match="got 1 to 2"):
        score_answers(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="at least one"):
        score_answers([], [])


def test_mcnemar_counts_the_rows_where_two_differ():
    first, second = [True] * 8 + [False] * 2, [True] * 2 + [False] * 8
    result = mcnemar(first, second)
    assert (result["only_first"], result["only_second"]) == (6, 0)
    assert result["p_value"] == pytest.approx(2 / 2**6)  # all six heads, or all six tails
    assert mcnemar(first, first)["p_value"] == 1.0
    with pytest.raises(ValueError, match="same rows"):
        mcnemar(first, second[1:])


def test_as_a_metric_of_evaluate():
    metric = AnswerMetric()
    texts = ["<think>\nAnswer: glioma\n</think>\n\nAnswer: melanoma", "Answer: Glioma", "none"]
    metric.add_batch(predictions=texts[:2], references=["melanoma", "glioma"])
    metric.add_batch(predictions=texts[2:], references=["glioma"])
    scores = metric.compute()
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert scores == AnswerMetric().compute(predictions=texts, references=["melanoma", "glioma", "glioma"])
