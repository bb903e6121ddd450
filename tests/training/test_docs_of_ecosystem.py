"""The examples of docs/ecosystem.md run, with the tiny checkpoint in place of the starter model."""

import re

from conftest import ROOT, TINY_CHECKPOINT


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "ecosystem.md").read_text(encoding="utf-8")
    names = {}
    for code in re.findall(r"```python\n(.*?)```", text.replace("outputs/starter", str(TINY_CHECKPOINT)), re.DOTALL):
        exec(code, names)
    assert {path.name for path in (tmp_path / "outputs").iterdir()} == {"by_trl", "by_hand"}
    assert "trainable params" in capsys.readouterr().out
    trained = {name for name, parameter in names["adapted"].named_parameters() if parameter.requires_grad}
    assert any("projector" in name for name in trained) and not any("dna_encoder" in name for name in trained)
