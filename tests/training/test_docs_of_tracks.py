"""The examples of docs/tracks.md run, one after the other."""

import re
import shlex

import pytest
from conftest import ROOT
from typer.testing import CliRunner

from textgenome.commands import app


# So that they take seconds; what the page says of the result is not checked here.
FEWER = "--max_steps 2 --use_cpu --disable_tqdm true --dna_window 2048"


@pytest.mark.slow
def test_examples_of_tracks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "tracks.md").read_text(encoding="utf-8")
    for language, code in re.findall(r"```(bash|python)\n(.*?)```", text, re.DOTALL):
        if language == "python":
            exec(code, {})
            continue
        for line in code.splitlines():
            line += f" {FEWER}" if line.startswith("textgenome dna ") else ""
            result = CliRunner().invoke(app, shlex.split(line)[1:])
            assert result.exit_code == 0, result.output
    assert (tmp_path / "outputs" / "chr7.png").stat().st_size > 10_000
    assert (tmp_path / "outputs" / "dna_starter_tracks" / "evaluation" / "report.html").exists()
