import json
import shutil

import pytest
from conftest import TINY_CHECKPOINT, save_adapter

from textgenome import TextGenomeProcessor
from textgenome.data.settings import remember_settings
from textgenome.inference.asking import open_fused
from textgenome.inference.checkpoints import KINDS, load_checkpoint, open_checkpoint, training_settings


def test_a_model_and_an_adapter_of_it_are_of_one_kind(tmp_path):
    model, adapter = open_checkpoint(TINY_CHECKPOINT), open_checkpoint(save_adapter(tmp_path / "adapter"))
    assert model.kind is adapter.kind and model.kind.writes_text
    assert (model.is_adapter, adapter.is_adapter) == (False, True)
    loaded, processor = load_checkpoint(tmp_path / "adapter")
    assert any("lora" in name for name, _ in loaded.named_parameters()) and not loaded.training
    assert isinstance(processor, TextGenomeProcessor)


def test_a_processor_is_read_once(monkeypatch):
    checkpoint = open_checkpoint(TINY_CHECKPOINT)
    assert checkpoint.processor is checkpoint.processor


def test_a_model_of_another_package_is_named(tmp_path):
    shutil.copytree(TINY_CHECKPOINT, tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text(json.dumps({"model_type": "qwen3"}))
    with pytest.raises(ValueError, match="model: A qwen3 model is not a model of textgenome"):
        open_checkpoint(tmp_path / "model")


def test_the_base_of_an_adapter_that_is_gone_is_named(tmp_path):
    save_adapter(tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": str(tmp_path / "gone")}))
    with pytest.raises(FileNotFoundError, match=r"adapter is an adapter of .*gone, which is not there"):
        open_checkpoint(tmp_path / "adapter")


def test_what_is_known_of_the_training_of_a_checkpoint(tmp_path, monkeypatch):
    remember_settings({"dna": "none"}, tmp_path, "training")
    (tmp_path / "checkpoint-3").mkdir()
    (tmp_path / "other").mkdir()
    for name in ("", "checkpoint-3"):
        assert training_settings(str(tmp_path / name))["dna"] == "none"
    assert training_settings(str(tmp_path / "other")) == {}
    monkeypatch.chdir(tmp_path / "checkpoint-3")
    assert training_settings(".")["dna"] == "none"


def test_each_kind_has_one_class_that_nothing_else_loads():
    assert len({kind.model_class for kind in KINDS}) == len({kind.auto_class for kind in KINDS}) == len(KINDS)


def test_a_model_without_a_language_model_cannot_be_asked(monkeypatch):
    checkpoint = open_checkpoint(TINY_CHECKPOINT)
    classifier = next(kind for kind in KINDS if not kind.writes_text)
    object.__setattr__(checkpoint, "kind", classifier)
    monkeypatch.setattr("textgenome.inference.asking.open_checkpoint", lambda *_: checkpoint)
    with pytest.raises(ValueError, match="it has no language model to ask"):
        open_fused(str(TINY_CHECKPOINT))
