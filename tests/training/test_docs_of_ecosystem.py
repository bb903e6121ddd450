"""The examples and the plug-in of docs/ecosystem.md run, with the tiny checkpoint in place of the starter model."""

import importlib
import re
import sys
from types import ModuleType, SimpleNamespace

import pytest
from conftest import ROOT, TINY_CHECKPOINT, variant_row

from textgenome.inference.scoring import score_labels


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "ecosystem.md").read_text(encoding="utf-8")
    names = {}
    for code in re.findall(r"```python\n(.*?)```", text.replace("outputs/starter", str(TINY_CHECKPOINT)), re.DOTALL):
        exec(code, names)
    assert {path.name for path in (tmp_path / "outputs").iterdir()} == {"by_trl", "by_hand", "streamed"}
    assert "trainable params" in capsys.readouterr().out
    trained = {name for name, parameter in names["adapted"].named_parameters() if parameter.requires_grad}
    assert any("projector" in name for name in trained) and not any("dna_encoder" in name for name in trained)


@pytest.fixture
def plug_in(monkeypatch):
    """docs/lm_eval_textgenome.py, with the base class of the harness or, where it is not installed, one like it."""
    if importlib.util.find_spec("lm_eval") is None:
        parts = {name: ModuleType(name) for name in ("lm_eval", "lm_eval.api.model", "lm_eval.api.registry")}
        parts["lm_eval.api.model"].LM = type("LM", (), {})
        parts["lm_eval.api.registry"].register_model = lambda name: lambda cls: cls
        for name, module in {**parts, "lm_eval.api": ModuleType("lm_eval.api")}.items():
            monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.syspath_prepend(ROOT / "docs")
    yield importlib.import_module("lm_eval_textgenome")
    sys.modules.pop("lm_eval_textgenome")


def test_the_plug_in_of_lm_evaluation_harness_asks_and_ranks(plug_in):
    model = plug_in.TextGenomeLM(str(TINY_CHECKPOINT), batch_size="2")
    row = variant_row(20)
    pair = {"reference": row["reference_sequence"], "variant": row["variant_sequence"]}
    prompt = f"First: <variant>{pair['reference']}>{pair['variant']}</variant> What is lost?"
    asked = plug_in.as_conversation(prompt)
    first, last = ({"type": "text", "text": text} for text in ("First:", "What is lost?"))
    assert asked[0]["content"] == [first, {"type": "variant", **pair}, last]
    assert plug_in.as_conversation("<dna> ACGT </dna>")[0]["content"] == [{"type": "dna", "dna": "ACGT"}]
    requests = [SimpleNamespace(args=(prompt, {"max_gen_toks": 3, "until": []})) for _ in range(3)]
    answers = model.generate_until(requests)
    assert len(answers) == 3 and len(set(answers)) == 1
    choices = [SimpleNamespace(args=(prompt, f" {choice}")) for choice in ("a loss", "a gain")]
    ((_, expected),) = next(score_labels(model.model, model.processor, [asked], ["a loss", "a gain"]))
    found = model.loglikelihood(choices)
    assert [score for score, _ in found] == pytest.approx([expected["a loss"], expected["a gain"]])
    assert [best for _, best in found] == [score == max(expected.values()) for score in expected.values()]
