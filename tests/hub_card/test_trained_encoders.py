"""Every kind of encoder from random weights to a stranger: joined, trained for two steps, exported and loaded."""

import json
import sys

import pytest
import torch
from conftest import ROOT, conversation
from strangers import LOAD_ALL, stranger

from textgenome.hub_card import export_checkpoint
from textgenome.hub_card.probe import answer
from textgenome.inference.checkpoints import load_checkpoint


sys.path.insert(0, str(ROOT / "tests" / "training"))
from sft_runs import from_random_weights, write_table
from tiny_encoders import ENCODERS, TOKENIZERS


MESSAGES = conversation("ACGTACGTAA", "GATTACA")
CHOICES = {"evo2": {"dna_feature_module": "blocks.0.mlp.l3"}, "hyenadna": {"both_strands": "concat"}}
CHOICES |= {"enformer": {"both_strands": "average"}, "borzoi": {"projector_type": "pooled"}}

pytestmark = pytest.mark.slow


def test_strangers_get_the_logits_of_what_was_trained(tmp_path):
    table, folders = write_table(tmp_path), {}
    for encoder, config in ENCODERS.items():
        out = from_random_weights(
            table,
            output_dir=tmp_path / f"{encoder}_run",
            dna_config=json.dumps(config),
            dna_tokenizer=TOKENIZERS.get(encoder),
            max_steps=2,
            **CHOICES.get(encoder, {}),
        )
        folders[encoder] = export_checkpoint(out, tmp_path / encoder)
    result = stranger(LOAD_ALL, json.dumps([str(f) for f in folders.values()]), json.dumps(MESSAGES), folder=tmp_path)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    for encoder, folder in folders.items():
        model, processor = load_checkpoint(folder)
        inputs = processor.apply_chat_template(
            MESSAGES, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        logits = torch.tensor(found[str(folder)]["logits"]["ForMultimodalLM"])
        torch.testing.assert_close(logits, model(**inputs).logits, atol=1e-5, rtol=1e-5, msg=encoder)
        trained = answer(*load_checkpoint(tmp_path / f"{encoder}_run"))["logits"]
        torch.testing.assert_close(answer(model, processor)["logits"], trained, atol=1e-5, rtol=1e-5)
