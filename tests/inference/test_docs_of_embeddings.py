"""The examples of docs/embeddings.md run, with the tiny checkpoint in place of the starter model."""

import re
import shlex

from conftest import ROOT, TINY_CHECKPOINT
from typer.testing import CliRunner

from textgenome.commands import app


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (
        (ROOT / "docs" / "embeddings.md").read_text(encoding="utf-8").replace("outputs/starter", str(TINY_CHECKPOINT))
    )
    commands, *_ = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    for line in commands.replace("\\\n", " ").splitlines():
        result = CliRunner().invoke(app, shlex.split(line)[1:])
        assert result.exit_code == 0, result.output
    names = {}
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(code, names)
    assert names["vectors"].shape == (2, 16) and names["states"].shape == (8, 16)
    assert "torch.Size([2, 16])" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "outputs").iterdir()) == ["genes.parquet", "genome", "variants"]
