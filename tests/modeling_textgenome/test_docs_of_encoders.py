"""The lines of docs/encoders.md that load an encoder and take its states, run on encoders as published, but small."""

import re

import pytest
import torch
from conftest import ROOT

from textgenome.configuration.base_models import BASE_MODELS
from textgenome.configuration.configuration_textgenome import build_dna_config
from textgenome.modeling_dna_encoder import build_dna_encoder


PAGE = (ROOT / "docs" / "encoders.md").read_text(encoding="utf-8")
FIRST = re.search(r"## Three lines for each.*?```python\n(.*?)```", PAGE, re.DOTALL)[1]
BLOCKS = {
    name: code
    for code, name in re.findall(r'```python\n(encoder = load_dna_encoder\("(\S+)"\)\n.*?)```', PAGE, re.DOTALL)
}
ATTENTION = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
TRACKS = {"dim": 12, "depth": 1, "heads": 2, "attn_dim_key": 4}
SMALL = {
    "borzoi": {
        **TRACKS, "conv_dims": [4] * 6, "hidden_size": 16, "attn_dim_value": 6, "num_rel_pos_features": 8
    },
    "caduceus": {"d_model": 8, "n_layer": 1, "ssm_cfg": {"d_state": 2}},
    "enformer": {**TRACKS, "dim_divisible_by": 2},
    "esm": ATTENTION,
    "evo2": {**ATTENTION, "block_types": ["hcl", "attention"], "hcs_filter_groups": 4, "hcm_filter_groups": 4},
    "hyenadna": {"d_model": 16, "d_inner": 32, "n_layer": 1, "max_seq_len": 2048},
    "mixtral": {**ATTENTION, "num_key_value_heads": 1, "num_local_experts": 2, "head_dim": 8},
}  # fmt: skip


@pytest.mark.parametrize("name", BLOCKS)
def test_the_lines_give_states_of_the_shape_beside_them(name, tmp_path):
    facts = next(facts["config"] for hub_id, facts in BASE_MODELS.items() if hub_id.endswith(name))
    small = build_dna_config({**facts, **SMALL[facts["model_type"]]})
    build_dna_encoder(small).save_pretrained(tmp_path)
    found = {}
    with torch.no_grad():
        exec(FIRST + BLOCKS[name].replace(f'"{name}"', repr(str(tmp_path))), found)
    rows, states, width = map(int, re.search(r"# \((\d+), (\d+), (\d+)\)", BLOCKS[name]).groups())
    assert width == build_dna_config(facts).hidden_size
    assert found["states"].shape == (rows, states, small.hidden_size) and found["states"].isfinite().all()


def test_every_encoder_of_the_table_has_its_lines():
    listed = set(re.findall(r"^\| `(\S+/\S+)`", PAGE, re.MULTILINE))
    assert listed == {hub_id for hub_id in BASE_MODELS if "Qwen" not in hub_id and "tiny" not in hub_id}
    types = {BASE_MODELS[hub_id]["config"]["model_type"] for hub_id in listed}
    shown = [next(facts for hub_id, facts in BASE_MODELS.items() if hub_id.endswith(name)) for name in BLOCKS]
    assert {facts["config"]["model_type"] for facts in shown} == types and len(BLOCKS) == 8
