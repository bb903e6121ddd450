"""The examples of docs/scores.md and docs/generation.md run, one after the other."""

import gzip
import re
import shlex

import pandas
import pytest
from conftest import ROOT
from typer.testing import CliRunner

from textgenome.commands import app


@pytest.fixture
def run_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs").mkdir()

    def run(page: str) -> tuple[dict, str]:
        names, printed = {}, []
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        for language, code in re.findall(r"```(bash|python)\n(.*?)```", text, re.DOTALL):
            if language == "python":
                exec(code, names)
                continue
            for line in code.splitlines():
                result = CliRunner().invoke(app, shlex.split(line)[1:])
                assert result.exit_code == 0, result.output
                printed.append(result.output)
        return names, "".join(printed)

    return run


@pytest.mark.slow
def test_examples_of_scores(run_page, tmp_path):
    names, printed = run_page("scores.md")
    assert len(names["scores"]) == 2 and all(names["scores"])
    lines = gzip.open(tmp_path / "outputs" / "scored.vcf.gz", "rt").read().splitlines()
    assert all(re.search(r"TG_LLR=-?\d", line) for line in lines if not line.startswith("#"))
    assert list(pandas.read_csv(tmp_path / "outputs" / "pairs.tsv", sep="\t")) == [
        "answer",
        "other_score",
        "row",
        "TG_LLR",
    ]
    assert "by locus" in printed and "Positive: Pathogenic (20). Negative: Benign (40)." in printed
    assert "\nother_score " in printed


def test_examples_of_generation(run_page, tmp_path):
    names, printed = run_page("generation.md")
    assert len(names["first"].bases) == 30 and names["first"].bases != names["second"].bases
    assert (tmp_path / "outputs" / "written.fa").read_text().count(">") == 6
    assert "6 sequences in" in printed and "by a Markov model of order 5" in printed and "Nearest 48 bases" in printed
