"""The examples of docs/annotation.md run, one after the other."""

import re
import shlex
import shutil

import pytest
from conftest import ROOT
from typer.testing import CliRunner

from textgenome.commands import app


# So that they take seconds; what the page says of the result is not checked here.
FEWER = "--max_steps 2 --use_cpu --disable_tqdm true"


@pytest.mark.slow
def test_examples_of_annotation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "annotation.md").read_text(encoding="utf-8")
    for code in re.findall(r"```bash\n(.*?)```", text, re.DOTALL):
        for line in code.splitlines():
            line += f" {FEWER}" if line.startswith("textgenome dna ") else ""
            result = CliRunner().invoke(app, shlex.split(line)[1:])
            assert result.exit_code == 0, result.output
        for file in (tmp_path / "outputs" / "genome").glob("gen*.*"):  # files of one's own
            shutil.copy(file, tmp_path)
    assert (tmp_path / "outputs" / "mine" / "evaluation" / "report.html").exists()
    assert (tmp_path / "genes.gff3").read_text().startswith("##gff-version 3\n")
