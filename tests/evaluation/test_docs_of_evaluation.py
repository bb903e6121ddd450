"""The examples of docs/evaluation.md that need no trained model run."""

import json
import re
import shlex

from conftest import ROOT
from typer.testing import CliRunner

from textgenome.commands import app
from textgenome.evaluation import small_cnn


def test_the_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(small_cnn, "EPOCHS", 1)
    names, page = {}, (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(code, names)
    assert names["metrics"]["verdict"].startswith("The model uses the DNA: Pearson r 0.317")
    (line,) = re.findall(r"^textgenome baselines --dataset_name outputs/motifs .*$", page, re.MULTILINE)
    result = CliRunner().invoke(app, shlex.split(line)[1:])
    assert result.exit_code == 0, result.output
    metrics = json.loads((tmp_path / "outputs" / "motifs_baselines" / "metrics.json").read_text())
    assert metrics["conditions"]["kmers"]["mcc"] > 0.7
    assert "Best baseline: 3-5-mers" in result.output
