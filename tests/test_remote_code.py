"""Loading runs no code of a repository, and does not ask whether to."""

import ast
import json
from pathlib import Path

import pytest
from conftest import ROOT

import textgenome
from textgenome.inference.checkpoints import load_checkpoint
from textgenome.modeling_dna_encoder import load_dna_encoder
from textgenome.processing.dna_tokenizers import find_dna_tokenizer
from textgenome.training import dna, sft
from textgenome.training.planning import plan_run


ROOMS = ("commands", "evaluation", "hub_card", "inference", "modeling_textgenome", "processing", "serving", "training")
CODE = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"


def functions_that_load(path: Path) -> list[str]:
    """The source of functions that call `from_pretrained` of other classes than ours and PEFT's, which run no code."""
    source = path.read_text()
    own = {"PeftConfig", "PeftModel"} | {name for name in dir(textgenome) if not name.startswith("Auto")}
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    return [
        ast.get_source_segment(source, function)
        for function in functions
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "from_pretrained"
        if not (isinstance(call.func.value, ast.Name) and call.func.value.id in own)
    ]


def test_every_load_says_whether_it_runs_code():
    found = [code for room in ROOMS for path in (ROOT / room).rglob("*.py") for code in functions_that_load(path)]
    assert len(found) > 10
    assert not [code for code in found if "trust_remote_code" not in code]


@pytest.fixture
def strangers(tmp_path, monkeypatch):
    """A folder with a model, a tokenizer and a processor of code of their own."""
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked on standard input"))
    auto_map = {name: f"code.{name}" for name in ("AutoConfig", "AutoModel", "AutoModelForCausalLM", "AutoProcessor")}
    auto_map["AutoTokenizer"] = ["code.Tokenizer", None]
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "code.py").write_text(CODE)
    for name in ("config", "tokenizer_config", "processor_config"):
        content = {"model_type": "a_strangers", "auto_map": auto_map, "tokenizer_class": "Tokenizer"}
        (folder / f"{name}.json").write_text(json.dumps(content))
    yield str(folder)
    assert not list(tmp_path.rglob("ran"))


def test_a_strangers_model_is_refused(strangers, tmp_path):
    out = ["--dataset_name", "starter", "--use_cpu", "--output_dir", str(tmp_path / "out")]
    fused = ["--bf16", "false", *out]
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps({"dataset_name": "starter", "text_model": strangers, "dna_model": strangers}))
    for load in (
        lambda: load_checkpoint(strangers),
        lambda: load_dna_encoder(strangers),
        lambda: find_dna_tokenizer(None, {}, strangers),
        lambda: dna.main(["--dna_model", strangers, *out]),
        lambda: sft.main(["--model_name_or_path", strangers, *fused]),
        lambda: sft.main(["--text_model", strangers, "--dna_model", strangers, *fused]),
        lambda: plan_run(recipe),
        lambda: textgenome.TextGenomeForConditionalGeneration.from_text_dna_pretrained(strangers, strangers),
    ):
        with pytest.raises((ValueError, OSError), match=r"contains custom code|need code that is not of|connect to"):
            load()
