import ast
import json
import re
import shutil
import sys
import types

import pytest
import torch
from conftest import ROOT, TINY_CHECKPOINT, conversation, save_adapter, variant_row
from peft import PeftModel
from safetensors.torch import load_file
from strangers import ENCODERS, LOAD_ALL, build, stranger
from transformers import AutoConfig, AutoModelForMultimodalLM, AutoProcessor
from typer.testing import CliRunner

from textgenome import TextGenomeDNAConfig, TextGenomeDNAForSequenceClassification, TextGenomeDNAProcessor
from textgenome.commands import app
from textgenome.configuration.configuration_remote_code import remote_sources
from textgenome.hub_card import export, export_checkpoint
from textgenome.hub_card.export import remote_files
from textgenome.hub_card.probe import answer
from textgenome.inference import generate
from textgenome.inference.checkpoints import load_checkpoint
from textgenome.processing import build_dna_tokenizer


ALLOWED = {"torch", "transformers", "huggingface_hub", "tokenizers"} | set(sys.stdlib_module_names)
MESSAGES = conversation("ACGTACGTAA", "GATTACA")
CLASSIFY = """
import json
from transformers import AutoModel, AutoModelForSequenceClassification, AutoProcessor

options = {"revision": (*sys.argv, "main")[3], "trust_remote_code": True}
model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1], **options)
processor = AutoProcessor.from_pretrained(sys.argv[1], **options)
row = json.loads(sys.argv[2])
inputs = processor(row["reference_sequence"], row["variant_sequence"], return_tensors="pt")
encoded = AutoModel.from_pretrained(sys.argv[1], **options)(**inputs).last_hidden_state
print(json.dumps([model(**inputs).logits[0].tolist(), encoded.shape]))
"""


def remote_imports(folder) -> dict[str, set[str]]:
    """What each Python file of a folder imports; neighbours begin with a dot."""
    found = {}
    for path in folder.glob("*.py"):
        found[path.stem] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found[path.stem] |= {alias.name.split(".")[0] for alias in node.names}
            if isinstance(node, ast.ImportFrom):
                found[path.stem].add("." * node.level + (node.module if node.level else node.module.split(".")[0]))
    return found


@pytest.fixture
def adapter(tmp_path):
    return save_adapter(tmp_path / "adapter")


@pytest.mark.slow
def test_strangers_load_a_folder_by_every_auto_class_whatever_the_encoder(tmp_path):
    folders = {encoder: export(*build(encoder), tmp_path / encoder) for encoder in ENCODERS}
    result = stranger(LOAD_ALL, json.dumps([str(f) for f in folders.values()]), json.dumps(MESSAGES), folder=tmp_path)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    for folder in folders.values():
        assert_same_as_local(found[str(folder)], folder)


@pytest.mark.slow
def test_a_stranger_classifies_alike(tmp_path):
    dna_config = {"d_model": 16, "d_inner": 16, "n_layer": 1, "max_seq_len": 64, "initializer_range": 0.3}
    config = TextGenomeDNAConfig(dna_config=dna_config, id2label={0: "x", 1: "y"})
    model = TextGenomeDNAForSequenceClassification(config).eval()
    processor = TextGenomeDNAProcessor(build_dna_tokenizer("hyenadna", model_max_length=64), dna_window=32)
    folder = export(model, processor, tmp_path / "exported")
    assert {path.stem for path in folder.glob("*.py")} == {
        *("configuration_hyenadna", "configuration_remote_code"),
        *("configuration_textgenome", "configuration_textgenome_dna"),
        *(
            "modeling_convolution",
            "modeling_dna_encoder",
            "modeling_heads",
            "modeling_hyenadna",
            "modeling_textgenome_dna",
        ),
        *("processing_dna", "processing_textgenome_dna"),
    }
    row = variant_row(60)
    result = stranger(CLASSIFY, folder, json.dumps(row), folder=tmp_path)
    assert result.returncode == 0, result.stderr
    inputs = processor(row["reference_sequence"], row["variant_sequence"], return_tensors="pt")
    logits, shape = json.loads(result.stdout)
    torch.testing.assert_close(torch.tensor(logits), model(**inputs).logits[0])
    assert shape == [1, 2, 32, 16]


@pytest.mark.parametrize(
    "head, words",
    [
        ({}, "A classifier of DNA variants"),
        ({"num_sequences": 1}, "reads a sequence, and a head on its pooled states tells 2 classes apart"),
        (
            {"num_sequences": 1, "problem_type": "regression", "id2label": {0: "value"}},
            "A predictor of a value of DNA",
        ),
    ],
)
def test_a_classifier_is_exported_with_a_card(tmp_path, head, words):
    dna_config = {"d_model": 16, "d_inner": 16, "n_layer": 1, "max_seq_len": 64}
    config = TextGenomeDNAConfig(**{"dna_config": dna_config, "id2label": {0: "x", 1: "y"}, **head})
    TextGenomeDNAForSequenceClassification(config).save_pretrained(tmp_path / "run")
    tokenizer = build_dna_tokenizer("hyenadna", model_max_length=64)
    TextGenomeDNAProcessor(tokenizer, dna_window=32).save_pretrained(tmp_path / "run")
    folder = export_checkpoint(tmp_path / "run", tmp_path / "exported")
    card = (folder / "README.md").read_text()
    assert "AutoModelForSequenceClassification" in card and "not for diagnosis" in card and words in card
    torch.testing.assert_close(
        answer(*load_checkpoint(folder))["logits"], answer(*load_checkpoint(tmp_path / "run"))["logits"]
    )


def test_a_model_carries_the_code_of_its_own_encoder(tmp_path):
    code = {encoder: remote_imports(export(*build(encoder), tmp_path / encoder)) for encoder in ("hyenadna", "esm")}
    assert ".modeling_hyenadna" in code["hyenadna"]["modeling_textgenome"]
    assert ".configuration_hyenadna" in code["hyenadna"]["configuration_textgenome"]
    assert code["hyenadna"].keys() - code["esm"].keys() == {
        *("configuration_hyenadna", "modeling_convolution", "modeling_hyenadna"),
    }


def test_two_modules_of_one_name_do_not_fit_into_a_flat_folder(tmp_path, monkeypatch):
    twin = types.ModuleType("textgenome.processing.modeling_projector")
    twin.__file__ = str(tmp_path / "modeling_projector.py")
    (tmp_path / "modeling_projector.py").write_text("NAME = 1\n")
    monkeypatch.setitem(sys.modules, twin.__name__, twin)
    kinds = [type("A", (), {"__module__": f"textgenome.{each}modeling_projector"}) for each in ("", "processing.")]
    with pytest.raises(ValueError, match=r"would both be modeling_projector.py in a flat folder: rename one"):
        remote_sources(*kinds)


def assert_same_as_local(found: dict, folder) -> None:
    model = AutoModelForMultimodalLM.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder)
    inputs = processor.apply_chat_template(
        MESSAGES, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    logits = model(**inputs).logits
    assert found["logits"].keys() == {"", "ForCausalLM", "ForImageTextToText", "ForMultimodalLM"}
    for values in found["logits"].values():
        torch.testing.assert_close(torch.tensor(values), logits, atol=1e-5, rtol=1e-5)
    answer = generate(model, processor, [MESSAGES], max_new_tokens=10)[0]
    assert found["text"].replace("<|im_end|>", "").strip() == answer.strip()
    # Where it was loaded from, and by which code, is no part of the model.
    local, config = AutoConfig.from_pretrained(folder).to_dict(), found["config"]
    for origin in ("_name_or_path", "auto_map", "transformers_version"):
        local.pop(origin, None), config.pop(origin, None)
    for part in ("text_config", "dna_config"):
        local[part].pop("dtype"), config[part].pop("dtype")  # none before weights were ever loaded
    assert config == json.loads(json.dumps(local, default=str))
    found["processor"].pop("auto_map", None)
    ours = json.loads(json.dumps(processor.to_dict(), default=str))
    assert found["processor"] == {key: value for key, value in ours.items() if key != "auto_map"}
    assert found["vocabulary"] == processor.tokenizer.get_vocab()
    assert found["dna_vocabulary"] == processor.dna_tokenizer.get_vocab()


def test_remote_files_import_only_what_every_user_has(tiny_model, tiny_processor, adapter, tmp_path):
    whole = remote_imports(export(tiny_model, tiny_processor, tmp_path / "whole"))
    assert {"configuration_textgenome", "modeling_textgenome", "processing_textgenome"} <= whole.keys()
    for name, imports in whole.items():
        neighbours = {each for each in imports if each.startswith(".")}
        assert neighbours <= {f".{each}" for each in whole}, name
        assert imports - neighbours <= ALLOWED, name


def test_no_path_of_this_machine_is_exported(tmp_path, adapter):
    folder = export_checkpoint(adapter, tmp_path / "out")
    for path in folder.rglob("*"):
        assert path.is_dir() or str(TINY_CHECKPOINT).encode() not in path.read_bytes(), path


def test_merged_adapter_answers_as_the_unmerged_one(adapter, tmp_path, tiny_processor):
    folder = export_checkpoint(adapter, tmp_path / "out")
    merged = AutoModelForMultimodalLM.from_pretrained(folder).eval()
    base = AutoModelForMultimodalLM.from_pretrained(TINY_CHECKPOINT).eval()
    before = answer(base, tiny_processor)
    unmerged = answer(PeftModel.from_pretrained(base, adapter).eval(), tiny_processor)
    found = answer(merged, tiny_processor)
    torch.testing.assert_close(found["logits"], unmerged["logits"], atol=1e-4, rtol=1e-4)
    assert torch.equal(found["answer"], unmerged["answer"])
    assert (found["logits"] - before["logits"]).abs().max() > 0.1


def test_what_was_exported_is_exported_again_as_it_is_but_for_its_name(tmp_path):
    first = export_checkpoint(TINY_CHECKPOINT, tmp_path / "first")
    readme = first / "README.md"
    readme.write_text(readme.read_text() + "\nA remark by hand.\n")
    others = ("predictions.jsonl", "settings.json", "notes.md", "mine.py")
    for name in others:
        (first / name).write_text("{}")
    second = export_checkpoint(first, tmp_path / "second")
    assert not {path.name for path in second.iterdir()} & set(others)
    for path in first.rglob("*"):
        if path.is_file() and path.name not in ("README.md", *others):
            assert path.read_bytes() == (second / path.relative_to(first)).read_bytes()
    expected = readme.read_text().replace('name, revision = "first", None', 'name, revision = "second", None')
    assert (second / "README.md").read_text() == expected != readme.read_text()


def test_pickled_weights_are_refused(tmp_path, adapter):
    shutil.copytree(TINY_CHECKPOINT, tmp_path / "pickled")
    weights = tmp_path / "pickled" / "model.safetensors"
    torch.save(load_file(weights), tmp_path / "pickled" / "pytorch_model.bin")
    weights.unlink()
    (tmp_path / "pickled" / "golden.safetensors").unlink()
    result = CliRunner().invoke(app, ["export", str(tmp_path / "pickled"), str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "pytorch_model.bin, which would have to be unpickled" in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        (["--adapter"], "is not an adapter: it has no adapter_model.safetensors"),
        (["--base", "owner/name"], "for an adapter that goes alone"),
        (["--metrics", "nowhere.json"], "There is no nowhere.json"),
    ],
)
def test_what_cannot_be_exported_is_refused_and_leaves_nothing(tmp_path, options, message):
    result = CliRunner().invoke(app, ["export", str(TINY_CHECKPOINT), str(tmp_path / "out"), *options])
    assert result.exit_code == 1
    assert message in result.output
    assert list(tmp_path.iterdir()) == []


def test_an_exported_folder_without_a_card_gets_one(tmp_path):
    first = export_checkpoint(TINY_CHECKPOINT, tmp_path / "first")
    card = (first / "README.md").read_text()
    (first / "README.md").unlink()
    second = export_checkpoint(first, tmp_path / "second", name="first")
    assert (second / "README.md").read_text() == card


def test_what_keeps_its_card_takes_no_metrics(tmp_path):
    first = export_checkpoint(TINY_CHECKPOINT, tmp_path / "first")
    (tmp_path / "metrics.json").write_text("{}")
    command = ["export", str(first), str(tmp_path / "out"), "--metrics", str(tmp_path / "metrics.json")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "it takes no --metrics and no --base" in result.output
    assert not (tmp_path / "out").exists()


def test_the_documentation_names_all_code_that_is_executed():
    table = (ROOT / "docs" / "sharing.md").read_text().partition("## What `trust_remote_code=True` executes")[2]
    assert set(re.findall(r"`(\w+\.py)`", table)) >= set(remote_files())


def test_an_existing_folder_is_not_overwritten(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.md").write_text("mine")
    result = CliRunner().invoke(app, ["export", str(TINY_CHECKPOINT), str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "is there already" in result.output
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "notes.md"]


@pytest.mark.parametrize("base", [None, "no/model", TINY_CHECKPOINT])
def test_a_model_or_base_that_is_not_there_is_named(adapter, tmp_path, base):
    words = ["no/model"] if base is None else [adapter, "--adapter", "--base", base]
    result = CliRunner().invoke(app, ["export", str(words.pop(0)), str(tmp_path / "out"), *map(str, words)])
    local = f"is an adapter of {base}, which is on this machine only"
    message = local if base == TINY_CHECKPOINT else "Error: no/model: there is no such folder."
    assert result.exit_code == 1 and message in result.output


def test_an_adapter_of_a_local_base_does_not_go_alone(adapter, tmp_path):
    result = CliRunner().invoke(app, ["export", str(adapter), str(tmp_path / "out"), "--adapter"])
    assert result.exit_code == 1
    assert "which is on this machine only" in result.output
    assert "--base" in result.output


def test_a_model_of_another_package_is_refused(tmp_path, tiny_processor):
    model = AutoModelForMultimodalLM.from_pretrained(TINY_CHECKPOINT).model.language_model
    with pytest.raises(ValueError, match="Qwen3Model is not a model of textgenome"):
        export(model, tiny_processor, tmp_path / "out")


def test_what_save_pretrained_writes_is_loaded_by_strangers(tmp_path):
    model, processor = build("hyenadna")
    model.save_pretrained(tmp_path / "saved")
    processor.save_pretrained(tmp_path / "saved")
    result = stranger(LOAD_ALL, json.dumps([str(tmp_path / "saved")]), json.dumps(MESSAGES), folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert_same_as_local(json.loads(result.stdout)[str(tmp_path / "saved")], tmp_path / "saved")


RESAVE = """
from transformers import AutoModelForMultimodalLM, AutoProcessor

for auto_class in (AutoModelForMultimodalLM, AutoProcessor):
    auto_class.from_pretrained(sys.argv[1], trust_remote_code=True).save_pretrained(sys.argv[2])
"""


@pytest.mark.slow
def test_what_a_stranger_saves_again_is_loaded_by_strangers(tmp_path):
    folder = export(*build("hyenadna"), tmp_path / "first")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    result = stranger(RESAVE, folder, tmp_path / "second", folder=tmp_path / "one")
    assert result.returncode == 0, result.stderr
    result = stranger(LOAD_ALL, json.dumps([str(tmp_path / "second")]), json.dumps(MESSAGES), folder=tmp_path / "two")
    assert result.returncode == 0, result.stderr


def test_other_code_than_ours_is_refused_by_name(tmp_path):
    first = export_checkpoint(TINY_CHECKPOINT, tmp_path / "first")
    code = first / "modeling_textgenome.py"
    code.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n{code.read_text()}")
    (first / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    config = json.loads((first / "processor_config.json").read_text())
    config["auto_map"]["AutoProcessor"] = "evil.TextGenomeProcessor"
    (first / "processor_config.json").write_text(json.dumps(config))
    result = CliRunner().invoke(app, ["export", str(first), str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "code that this version of textgenome does not write: evil.py, modeling_textgenome.py" in result.output
    assert not (tmp_path / "ran").exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["chat_template.jinja", "README.md", "dna_tokenizer/tokenizer_config.json"])
def test_a_link_to_another_place_is_refused(tmp_path, name):
    first = export_checkpoint(TINY_CHECKPOINT, tmp_path / "first")
    (tmp_path / "secret").write_bytes((first / name).read_bytes())
    (first / name).unlink()
    (first / name).symlink_to(tmp_path / "secret")
    result = CliRunner().invoke(app, ["export", str(first), str(tmp_path / "out")])
    assert result.exit_code == 1
    assert f"{first / name} is not a file of this folder" in result.output
    assert not (tmp_path / "out").exists()
