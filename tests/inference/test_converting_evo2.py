import io
import os
import pickle
import sys
import types
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging
from typer.testing import CliRunner

from textgenome import Evo2Config
from textgenome.commands import app
from textgenome.inference import converting_evo2
from textgenome.inference.converting_evo2 import config_by_name, convert_evo2
from textgenome.modeling_dna_encoder import load_dna_encoder
from textgenome.processing.dna_tokenizers import find_dna_tokenizer


sys.path.append(str(ROOT / "tests" / "modeling_textgenome"))
from golden import read_golden
from tiny_evo2 import BASES, CONVERTED, seeded_ids, seeded_weights


FP8 = {"projection_quantization": "fp8_e4m3"}


def fresh_config(**kwargs) -> Evo2Config:
    return Evo2Config(**{**CONVERTED.to_dict(), **kwargs})


def as_file_of(content: dict | None) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(content, file)
    return file


def published_file(path: Path, changes: dict | None = None) -> Path:
    """The tensors of a golden model in the published layout, with all that is beside them there."""
    weights = seeded_weights(CONVERTED, 2)
    extra = {"unembed.weight": weights["embedding_layer.weight"], "blocks.2.mixer.mixer.filter.t": torch.arange(9)}
    extra |= {f"blocks.{i}.inner_mha_cls.rotary_emb.inv_freq": torch.ones(4) for i in (3, 4)}
    extra |= {"blocks.0.mixer.dense._extra_state": None, "blocks.3.mixer.attn._extra_state": as_file_of(None)}
    for block in range(3):
        scales = torch.tensor([2.0 + block, 32.0, 1.0])
        extra[f"blocks.{block}.projections._extra_state"] = as_file_of({"scale_fwd": scales, "extra": {"a": (1, "b")}})
    weights = {name: value.bfloat16() if value.is_floating_point() else value for name, value in weights.items()}
    exact = {
        name: value for name, value in seeded_weights(CONVERTED, 2).items() if name.endswith(("poles", "residues"))
    }
    values = {**weights, **exact, **extra, **(changes or {})}
    torch.save({name: value for name, value in values.items() if value is not ...}, path)
    return path


def test_a_converted_file_gives_the_logits_of_the_reference_implementation(tmp_path):
    folder = convert_evo2(published_file(tmp_path / "evo2.pt"), tmp_path / "evo2", fresh_config())
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    logits = model(seeded_ids(2, 2, 200)).logits[:, ::5, BASES]
    torch.testing.assert_close(logits, torch.tensor(read_golden("evo2")["converted"]), atol=1e-4, rtol=0)
    state = load_file(folder / "model.safetensors")
    kinds = {name for name, value in state.items() if value.dtype == torch.float32}
    assert kinds == {"model.blocks.2.filter.log_poles", "model.blocks.2.filter.residues"}
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer("acgtuN")["input_ids"] == [*b"ACGTTN"]
    assert tokenizer.pad_token_id == model.config.pad_token_id == 1
    assert tokenizer.model_max_length == 8192


def test_rows_go_to_where_they_belong_and_back(tmp_path):
    folder = convert_evo2(published_file(tmp_path / "evo2.pt"), tmp_path / "evo2", fresh_config())
    for block in (3, 4):
        stored = seeded_weights(CONVERTED, 2)[f"blocks.{block}.inner_mha_cls.Wqkv.weight"]
        rows = load_file(folder / "model.safetensors")[f"model.blocks.{block}.inner_mha_cls.Wqkv.weight"].float()
        for head in range(3):
            for kind in range(3):
                ours = rows[(kind * 3 + head) * 8 :][:8]
                assert torch.equal(ours, stored[(head * 3 + kind) * 8 :][:8])


def test_stored_scales_become_part_of_the_configuration(tmp_path):
    folder = convert_evo2(published_file(tmp_path / "evo2.pt"), tmp_path / "evo2", fresh_config(**FP8))
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.config.projection_scales == [[2.0, 32.0], [3.0, 32.0], [4.0, 32.0], None, None]
    assert model.model.blocks[1].projections.scales == [3.0, 32.0]
    plain = convert_evo2(tmp_path / "evo2.pt", tmp_path / "plain", fresh_config())
    assert AutoModelForCausalLM.from_pretrained(plain).config.projection_scales is None


def test_settings_beside_the_scales_are_passed_over(tmp_path, monkeypatch):
    recipe = types.ModuleType("transformer_engine.common.recipe")
    kind = type("DelayedScaling", (), {"__module__": recipe.__name__})
    recipe.DelayedScaling = kind
    for name in ("transformer_engine", "transformer_engine.common"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, recipe.__name__, recipe)
    settings = kind()
    settings.margin = 0
    changes = {
        "blocks.0.projections._extra_state": as_file_of(
            {"recipe": settings, "scale_fwd": torch.tensor([9.0, 8.0, 1.0])}
        )
    }
    file = published_file(tmp_path / "evo2.pt", changes)
    monkeypatch.delitem(sys.modules, recipe.__name__)
    folder = convert_evo2(file, tmp_path / "evo2", fresh_config(**FP8))
    assert AutoModelForCausalLM.from_pretrained(folder).config.projection_scales[0] == [9.0, 8.0]


def test_missing_scales_are_told(tmp_path, caplog):
    logging.get_logger("textgenome.inference.converting_evo2").propagate = True
    raw = torch.frombuffer(bytearray(pickle.dumps({"scale_fwd": 1})), dtype=torch.uint8)
    changes = {"blocks.1.projections._extra_state": ..., "blocks.2.projections._extra_state": raw}
    folder = convert_evo2(published_file(tmp_path / "evo2.pt", changes), tmp_path / "evo2", fresh_config(**FP8))
    assert "blocks [1, 2]" in caplog.text
    scales = AutoModelForCausalLM.from_pretrained(folder).config.projection_scales
    assert scales == [[2.0, 32.0], None, None, None, None]


class Code:
    def __reduce__(self):
        return os.system, ("touch executed",)


@pytest.mark.parametrize(
    "name", ["norm.scale", "blocks.0.projections._extra_state", "blocks.0.mixer.dense._extra_state"]
)
def test_code_in_a_file_is_refused_and_not_executed(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"evo2.pt holds posix.system and is not read"):
        convert_evo2(published_file(tmp_path / "evo2.pt", {name: Code()}), tmp_path / "evo2", fresh_config(**FP8))
    assert not (tmp_path / "executed").exists() and not (tmp_path / "evo2").exists()


def test_code_in_the_file_of_the_scales_is_refused_and_not_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hidden = {"blocks.0.projections._extra_state": as_file_of({"scale_fwd": Code()})}
    with pytest.raises(ValueError, match=r"blocks.0.projections._extra_state holds posix.system and is not read"):
        convert_evo2(published_file(tmp_path / "evo2.pt", hidden), tmp_path / "evo2", fresh_config(**FP8))
    assert not (tmp_path / "executed").exists() and not (tmp_path / "evo2").exists()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"norm.scale": "text"}, "holds a str as 'norm.scale', not a tensor"),
        ({"norm.scale": {"a": torch.ones(24)}}, "holds a dict as 'norm.scale'"),
        ({"norm.scale": io.BytesIO(b"1")}, "holds a BytesIO as 'norm.scale'"),
        ({"norm.scale": ...}, "lacks 1 tensors, 'norm.scale' the first"),
        ({"blocks.5.norm": torch.ones(2)}, "has beside the network 1 tensors, 'blocks.5.norm' the first"),
        ({"norm.scale": torch.ones(25)}, r"norm.scale is \(25,\), but should be \(24,\)"),
    ],
)
def test_what_does_not_belong_is_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        convert_evo2(published_file(tmp_path / "evo2.pt", changes), tmp_path / "evo2", fresh_config())
    assert not (tmp_path / "evo2").exists()


def test_files_that_hold_no_names_are_refused(tmp_path):
    torch.save([torch.ones(2)], tmp_path / "evo2.pt")
    with pytest.raises(ValueError, match="holds a list, not tensors by name"):
        convert_evo2(tmp_path / "evo2.pt", tmp_path / "evo2", fresh_config())


def test_files_in_parts_are_to_be_joined(tmp_path):
    for part in range(11):
        (tmp_path / f"evo2_40b.pt.part{part}").touch()
    with pytest.raises(FileNotFoundError, match=r"in 11 parts: join them with `cat evo2_40b.pt.part\{0..10\}`"):
        convert_evo2(tmp_path / "evo2_40b.pt", tmp_path / "evo2", fresh_config())


def test_sizes_follow_from_the_name_of_a_published_file(tmp_path):
    assert config_by_name(Path("x/evo2_1b_base.pt")).projection_quantization == "fp8_e4m3"
    assert config_by_name(Path("evo2_7b_base.pt")).hcm_filter_groups == 256
    with pytest.raises(ValueError, match="the sizes of evo2_1b_base, evo2_7b_base are known here"):
        config_by_name(Path("evo2_9b.pt"))
    (tmp_path / "evo2").mkdir()
    with pytest.raises(FileExistsError, match="is there already"):
        convert_evo2("evo2_1b_base.pt", tmp_path / "evo2")


def test_the_command_converts_and_says_what_it_does_not_know(tmp_path, monkeypatch):
    def convert(file: Path):
        return CliRunner().invoke(app, ["convert", str(file), str(tmp_path / "evo2")])

    file = published_file(tmp_path / "evo2.pt")
    result = convert(file)
    assert result.exit_code == 1 and "Error: evo2.pt: the sizes of evo2_1b_base" in result.output
    monkeypatch.setattr(converting_evo2, "config_by_name", lambda checkpoint: fresh_config())
    result = convert(file)
    assert result.exit_code == 0 and f"--dna_model {tmp_path / 'evo2'}" in result.output
    assert load_dna_encoder(str(tmp_path / "evo2")).config.hidden_size == CONVERTED.hidden_size
    assert find_dna_tokenizer(str(tmp_path / "evo2"))("ACGT")["input_ids"] == [*b"ACGT"]
    assert "is there already" in convert(file).output
