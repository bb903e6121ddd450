import pytest
from answered_rows import write_answered
from conftest import random_dna

from textgenome.data.forms import TableForm
from textgenome.evaluation import evaluate_baselines, small_cnn


@pytest.fixture(autouse=True)
def one_epoch(monkeypatch):
    """The network that is a baseline has tests of its own."""
    monkeypatch.setattr(small_cnn, "EPOCHS", 1)


@pytest.fixture
def table(tmp_path):
    return write_answered(tmp_path / "rows")


def test_baselines_are_not_fitted_to_what_they_are_evaluated_on(table, tmp_path):
    with pytest.raises(ValueError, match="evaluate on another"):
        evaluate_baselines(table, "train", tmp_path / "out")
    with pytest.raises(ValueError, match="has one split"):
        evaluate_baselines(f"{table}/val.csv", "train", tmp_path / "out")


def test_baselines_need_no_model(table, tmp_path):
    metrics = evaluate_baselines(table, "val", tmp_path / "out")
    assert {each["kind"] for each in metrics["conditions"].values()} == {"baseline"}
    assert (tmp_path / "out" / "report.html").exists()


def test_baselines_read_columns_of_other_names(tmp_path):
    (tmp_path / "rows").mkdir()
    for split, seeds in (("train", range(8)), ("val", range(8, 14))):
        lines = [f"{random_dna(30, i)},{i % 2 + 0.5}\n" for i in seeds]
        (tmp_path / "rows" / f"{split}.csv").write_text("dna,activity\n" + "".join(lines))
    form = TableForm.parse("sequence=dna,label=activity")
    metrics = evaluate_baselines(str(tmp_path / "rows"), "val", tmp_path / "out", form=form)
    assert "mean" in metrics["conditions"]
