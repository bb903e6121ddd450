import base64
import json

import numpy as np
import pytest
from test_report import Page

from textgenome.evaluation.conditions import CONDITIONS, Condition
from textgenome.evaluation.metrics import Metric
from textgenome.evaluation.reporting import Figure, Table, format_table, write_results
from textgenome.evaluation.units import Pooled


PNG = b"\x89PNG\r\n"


@pytest.fixture
def results(tmp_path):
    by_region = np.random.default_rng(0).normal(0.2, 0.05, (2, 10))
    total = Pooled(10, lambda weights: weights @ np.full(10, 1234.5) / weights.sum(axis=1))
    return write_results(
        tmp_path / "evaluation",
        "tracks",
        {
            "as_is": {"pearson": by_region[0], "deviance": total},
            "dna_exchanged": {"pearson": by_region[0] - 0.2},
            "gc": {"pearson": by_region[1] - 0.1},
            "in_sample": {"pearson": [0.3, 0.4]},
        },
        unit="region",
        metrics={"pearson": Metric("Pearson of log1p", chance=0.0), "deviance": Metric("deviance", None, False)},
        conditions={
            **CONDITIONS,
            "gc": Condition("GC + CpG", "baseline", "A line through GC and CpG."),
            "in_sample": Condition("training regions", "control", "The regions that it was trained on."),
        },
        facts={"model": "outputs/tracks", "dataset_name": "tracks.tsv", "split": "test"},
        unpaired=["in_sample"],
        notes=["2 regions were left out."],
        figures=[
            Figure(
                "Places", '<?xml version="1.0"?><svg viewBox="0 0 1 1"><text>A lane</text></svg>', "Best first.", True
            ),
            Figure("Scatter", PNG),
        ],
        tables=[Table("By track", ["track", "Pearson", "regions"], [["DNase <1>", 0.25, 10], ["CAGE", None, 0]])],
    )


def test_one_form_of_metrics(results, tmp_path):
    assert results == json.loads((tmp_path / "evaluation" / "metrics.json").read_text(), object_hook=pairs)
    assert next(iter(results)) == "verdict"
    assert results["verdict"].startswith(
        "The model beats the baseline GC + CpG and uses the DNA: Pearson of log1p 0.2"
    )
    assert (results["task"], results["unit"], results["metric"]) == ("tracks", "region", "pearson")
    assert results["metrics"]["deviance"] == {"title": "deviance", "chance": None, "higher_is_better": False}
    model, other = results["conditions"]["as_is"], results["conditions"]["in_sample"]
    assert (model["kind"], model["units"], model["deviance"]) == ("model", 10, pytest.approx(1234.5))
    assert (other["units"], "pearson_difference" in other) == (2, False)
    assert results["conditions"]["gc"]["meaning"] == "A line through GC and CpG."
    assert results["versions"]["torch"] and results["date"] and results["split"] == "test"


def pairs(found):
    """Intervals are pairs, which JSON writes as lists."""
    return {name: tuple(each) if name.endswith("_interval") and each else each for name, each in found.items()}


def test_the_table_begins_with_the_verdict(results):
    verdict, empty, header, model, *others = format_table(results).split("\n")
    assert (verdict, empty) == (results["verdict"], "")
    assert header.split("  ")[-1] == "deviance"
    assert model.split()[0] == "unchanged" and model.endswith("1234.5")
    assert any(line.startswith("GC + CpG") and " to -0." in line for line in others)
    assert others[-1] == "2 regions were left out."


def test_the_page_of_a_task(results, tmp_path):
    html = (tmp_path / "evaluation" / "report.html").read_text(encoding="utf-8")
    page = Page(html)
    assert html.index(results["verdict"]) < html.index("Settings of the run")
    assert "Research use only, not for diagnosis" in html and "outputs/tracks" in html
    low, high = results["conditions"]["as_is"]["pearson_interval"]
    assert f"{low:.3f}–{high:.3f}" in html
    row = page.row("results", "GC + CpG")
    assert row[3].startswith("−0.") and row[-1] == "–"
    assert page.row("classes", "DNase <1>") == ["DNase <1>", "0.250", "10"]
    assert page.row("classes", "CAGE") == ["CAGE", "–", "0"]
    assert "<text>A lane</text>" in html and "<?xml" not in html and "Best first." in html
    assert f"data:image/png;base64,{base64.b64encode(PNG).decode()}" in html
    assert "Regions" in html and "2 regions were left out." in html
    assert "Worst mistakes" not in html and "Confusion" not in html


def test_one_class_only_is_kept(tmp_path):
    results = write_results(tmp_path, "classification", {"as_is": {"mcc": [0.0, 0.0]}}, "row", only_answer="Benign")
    assert results["conditions"]["as_is"]["only_answer"] == "Benign"
    assert results["verdict"].startswith("The model answers one class only ('Benign') and is")
