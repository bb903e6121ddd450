import pytest

from textgenome.evaluation.conditions import CONDITIONS
from textgenome.evaluation.metrics import Metric
from textgenome.evaluation.units import summarize_units
from textgenome.evaluation.verdict import judge


UNITS = 20


MCC = Metric("MCC", chance=0.0)


def verdict(metric=MCC, only_answer=None, **means):
    """Of conditions whose units scatter a little around these means, all in the same way."""
    scatter = [0.01 * (-1) ** i for i in range(UNITS)]
    values = {
        name: {"it": [mean + each * (i + 1) for each in scatter]} for i, (name, mean) in enumerate(means.items())
    }
    summaries = summarize_units(values)
    conditions = {name: {**CONDITIONS[name]._asdict(), **summary} for name, summary in summaries.items()}
    if only_answer:
        conditions["as_is"]["only_answer"] = only_answer
    return judge({"metric": "it", "metrics": {"it": metric._asdict()}, "conditions": conditions})


def test_what_is_good():
    said = verdict(as_is=0.8, dna_exchanged=0.0, majority=0.1, reference_6mers=0.5)
    assert said.startswith(
        "The model beats the baseline reference 6-mers (the best of 2) and uses the DNA: MCC 0.800 (0.79"
    )
    assert said.endswith("with DNA exchanged.") and "0.500 (" in said


def test_what_is_not():
    assert verdict(as_is=0.5, dna_exchanged=0.0, majority=0.6).startswith(
        "The model does not beat the baseline majority, but uses the DNA: "
    )
    assert verdict(as_is=0.5, dna_exchanged=0.5, majority=0.1).startswith(
        "The model does not use the DNA, but beats the baseline majority: "
    )
    # Not shown is not beaten: the interval of the difference holds 0.
    assert "does not beat the baseline majority" in verdict(as_is=0.5, majority=0.499)
    assert verdict(as_is=0.001, dna_exchanged=0.0).startswith(
        "The model is not distinguishable from chance and does not use the DNA: "
    )
    assert verdict(as_is=-0.5).startswith("The model is worse than chance: ")
    assert verdict(Metric("accuracy"), as_is=0.5).startswith("The model was compared with nothing: accuracy 0.500")


def test_one_class_only_comes_first():
    said = verdict(Metric("accuracy"), "Benign", as_is=0.703, majority=0.703)
    assert said.startswith("The model answers one class only ('Benign') and does not beat the baseline majority: ")


def test_errors_are_beaten_from_above():
    deviance = Metric("deviance", higher_is_better=False)
    assert "beats the baseline majority and uses the DNA" in verdict(
        deviance, as_is=1.0, dna_exchanged=2.0, majority=1.5
    )
    assert "does not beat the baseline reference 6-mers" in verdict(
        deviance, as_is=1.0, majority=1.5, reference_6mers=0.5
    )
    assert "worse than chance" in verdict(Metric("error", 0.5, higher_is_better=False), as_is=0.7)


def test_baselines_alone():
    said = verdict(majority=0.1, reference_6mers=0.5)
    assert said.startswith("Best baseline: reference 6-mers, MCC 0.500 (") and said.endswith("No model was evaluated.")


def test_too_few_units_show_nothing():
    summary = {"kind": "model", "title": "unchanged", "it": 0.9, "it_interval": None}
    baseline = {"kind": "baseline", "title": "mean", "it": 0.1, "it_interval": None, "it_difference_interval": None}
    metrics = {"metric": "it", "metrics": {"it": Metric("r", 0.0)._asdict()}}
    assert judge({**metrics, "conditions": {"as_is": summary, "mean": baseline}}) == (
        "The model does not beat the baseline mean: r 0.900, 0.100 with mean."
    )
    summary["it"] = None
    assert "undefined" in judge({**metrics, "conditions": {"as_is": summary}})


@pytest.mark.parametrize("name", ["as_is", "dna_exchanged"])
def test_a_condition_that_is_undefined_is_said(name):
    conditions = {
        "as_is": {"kind": "model", "title": "unchanged", "it": 0.9, "it_interval": None},
        "dna_exchanged": {"kind": "control", "title": "DNA exchanged", "it": None, "it_interval": None},
    }
    conditions[name]["it"] = None
    metrics = {"metric": "it", "metrics": {"it": Metric("r", 0.0)._asdict()}, "conditions": conditions}
    assert "undefined" in judge(metrics)
