"""The examples of docs/classifier.md run, with few steps of training."""

import re
import shlex
import subprocess

import pandas
from conftest import ROOT
from typer.testing import CliRunner

from textgenome.commands import app


FEW_STEPS = "--num_train_epochs 1 --use_cpu --disable_tqdm true --baselines false"


def run(line: str) -> None:
    line = line.replace("--config gue", f"--config gue {FEW_STEPS}")
    if line.startswith("textgenome"):
        result = CliRunner().invoke(app, shlex.split(line)[1:])
        assert result.exit_code == 0, result.output
    else:
        subprocess.run(line, shell=True, check=True)


def test_the_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    page = (ROOT / "docs" / "classifier.md").read_text(encoding="utf-8")
    for language, code in re.findall(r"```(python|bash)\n(.*?)```", page, re.DOTALL):
        if language == "python":
            exec(code, names)
        else:
            for line in code.replace("\\\n", " ").splitlines():
                run(line)
    assert names["logits"].shape == (2, 2) and set(names["scores"][0]) == {"0", "1"}
    answers = pandas.read_csv("outputs/answers.csv")
    assert list(answers.columns) == ["name", "answer", "probability_0", "probability_1"] and len(answers) == 64
    assert len(pandas.read_parquet("outputs/starts.parquet")) > 3
    assert (tmp_path / "outputs" / "tata" / "evaluation" / "report.html").exists()
