import json

import numpy as np
import pytest
from conftest import variant_row
from typer.testing import CliRunner

from textgenome.commands import app
from textgenome.evaluation.comparing import compare_runs
from textgenome.evaluation.reporting import write_results
from textgenome.evaluation.subgroups import kind_of_change, subgroup_table
from textgenome.evaluation.training_curves import read_log, training_curves


NUMBER = 200
FACTS = {"dataset_name": "rows.csv", "split": "test", "data_fingerprint": "ab", "seed": 0}


def write_run(folder, right, seed=0, **facts):
    facts = {**FACTS, "recipe": {"pooling": folder.name, "trainer": {"learning_rate": 0.1}}, **facts}
    measured = {"as_is": {"accuracy": np.asarray(right, dtype=float)}}
    write_results(folder / "evaluation", "classification", measured, "row", facts=facts, right=right, seed=seed)
    (folder / "checkpoint-20").mkdir()
    log = [{"step": step, "loss": 1 / step, "learning_rate": 0.1} for step in (10, 20)]
    (folder / "checkpoint-20" / "trainer_state.json").write_text(json.dumps({"log_history": log}))
    return folder


@pytest.fixture
def runs(tmp_path):
    right = np.arange(NUMBER) % 4 > 0
    better = right | (np.arange(NUMBER) % 8 == 0)
    return [write_run(tmp_path / name, each) for name, each in (("mean", right), ("attention", better))]


def test_a_better_run_is_told_by_a_paired_test(runs, tmp_path):
    metrics = compare_runs(runs, tmp_path / "out")
    first, second = metrics["conditions"].values()
    assert (first["title"], second["title"]) == ("mean", "attention")
    assert second["accuracy_difference"] == pytest.approx(0.125)
    low, high = second["accuracy_difference_interval"]
    assert 0.07 < low < 0.125 < high < 0.18  # of pairs: by itself each accuracy is known to 0.06 only
    assert (second["only_first"], second["only_second"]) == (25, 0) and second["p_value"] == 2 / 2**25
    assert metrics["verdict"].startswith("attention is better than mean (accuracy +0.125, ")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Settings that differ" in page and "pooling" in page and '<th scope="row">learning_rate' not in page
    assert "Training loss" in page and page.count('class="curve curve-1"') > 0


def test_what_cannot_be_told_apart(runs, tmp_path):
    right = np.roll(np.arange(NUMBER) % 4 > 0, 1)
    metrics = compare_runs([runs[0], write_run(tmp_path / "other", right)], tmp_path / "out")
    assert "other cannot be told apart from mean" in metrics["verdict"]


def test_the_command_and_what_it_refuses(runs, tmp_path):
    result = CliRunner().invoke(app, ["compare", *map(str, runs), "--output_dir", str(tmp_path / "out")])
    assert result.exit_code == 0 and "attention is better than mean" in result.output
    other = write_run(tmp_path / "other", np.ones(NUMBER), data_fingerprint="cd")
    with pytest.raises(ValueError, match="differ in the rows they were evaluated on"):
        compare_runs([runs[0], other], tmp_path / "no")
    with pytest.raises(ValueError, match="other seeds"):
        compare_runs([runs[0], write_run(tmp_path / "seed", np.ones(NUMBER), seed=1)], tmp_path / "no")
    with pytest.raises(FileNotFoundError, match=r"has no metrics\.json"):
        compare_runs([runs[0], tmp_path], tmp_path / "no")
    (runs[1] / "evaluation" / "samples.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="evaluate the model again"):
        compare_runs(runs, tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_groups_of_rows():
    rows = [variant_row(20 + 20 * (i % 2), seed=i) for i in range(20)]
    rows += [
        {**row, "variant_sequence": row["reference_sequence"][:9] + row["reference_sequence"][10:]} for row in rows
    ]
    table = subgroup_table(rows, [i < 20 for i in range(40)], ["a" if i % 2 else "b" for i in range(40)])
    found = {row[0]: row[1:] for row in table.rows}
    assert found["change: substitution of 1 base"][:2] == [20, 1.0]
    assert found["change: deletion of 1 base"][:2] == [20, 0.0]
    assert found["locus: a"][0] == 20 and sum(row[0] for name, row in found.items() if "length" in name) == 40
    assert not subgroup_table(rows[:1], [True]).rows


@pytest.mark.parametrize(
    "reference, variant, kind",
    [
        ("ACGT", "ACCT", "substitution of 1 base"),
        ("ACGTT", "ATATT", "substitution of several bases"),
        ("ACGT", "ACAAGT", "insertion of 2 to 10 bases"),
        ("ACGT" * 9, "ACGT", "deletion of more than 10 bases"),
        ("ACGTA", "ATTTGGA", "complex"),
    ],
)
def test_kinds_of_change(reference, variant, kind):
    assert kind_of_change(reference, variant) == kind


def test_curves_come_from_the_last_checkpoint(runs):
    log = read_log(runs[0])
    assert [figure.title for figure in training_curves({"run": log})] == ["Training loss", "Learning rate"]
    assert read_log("no/such/folder") == [] and training_curves({"run": []}) == []
