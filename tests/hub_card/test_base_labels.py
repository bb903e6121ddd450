"""Models that label bases, with every kind of encoder, from one step of training to a stranger."""

import json

import pytest
import torch
from conftest import random_dna
from strangers import ENCODERS, stranger
from transformers import set_seed

from textgenome import TextGenomeDNAConfig, TextGenomeDNAForTokenClassification, TextGenomeDNAProcessor
from textgenome.configuration.configuration_textgenome import bases_per_state, build_dna_config
from textgenome.hub_card import export_checkpoint
from textgenome.hub_card.probe import answer
from textgenome.inference.checkpoints import load_checkpoint
from textgenome.processing import build_dna_tokenizer
from textgenome.processing.processing_dna import longest_token


LABEL = """
import json
from transformers import AutoModelForTokenClassification, AutoProcessor

found = {}
for folder in json.loads(sys.argv[1]):
    model = AutoModelForTokenClassification.from_pretrained(folder, trust_remote_code=True)
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
    found[folder] = model(**processor(json.loads(sys.argv[2]), return_tensors="pt")).logits.tolist()
print(json.dumps(found))
"""
SEQUENCES = [random_dna(61), random_dna(40)]


def train_one_step(encoder, folder):
    set_seed(0)
    vocabulary, sizes = ENCODERS[encoder]
    dna_config = build_dna_config({"model_type": "esm" if encoder == "ntv2" else encoder, **sizes})
    tokenizer = build_dna_tokenizer(vocabulary, model_max_length=256)
    config = TextGenomeDNAConfig(
        dna_config=dna_config,
        id2label={0: "CDS", 1: "exon"},
        base_head="cnn" if encoder in ("hyenadna", "ntv2", "borzoi") else "linear",
        state_bases=longest_token(tokenizer) * bases_per_state(dna_config),
        cnn_channels=8,
        pooling="mean",
    )
    model, processor = TextGenomeDNAForTokenClassification(config), TextGenomeDNAProcessor(tokenizer)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    labels = torch.randint(0, 2, (2, 61, 2))
    labels[1, 40:] = -100
    before = model.base_head.project.weight.detach().clone()
    model(**processor(SEQUENCES, return_tensors="pt"), labels=labels).loss.backward()
    optimizer.step()
    assert not torch.equal(before, model.base_head.project.weight)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model.eval()


@pytest.mark.slow
def test_strangers_label_bases_alike_whatever_the_encoder(tmp_path):
    models = {encoder: train_one_step(encoder, tmp_path / f"{encoder}_run") for encoder in ENCODERS}
    folders = {encoder: export_checkpoint(tmp_path / f"{encoder}_run", tmp_path / encoder) for encoder in ENCODERS}
    result = stranger(LABEL, json.dumps([*map(str, folders.values())]), json.dumps(SEQUENCES), folder=tmp_path)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    for encoder, folder in folders.items():
        loaded, processor = load_checkpoint(folder)
        inputs = processor(SEQUENCES, return_tensors="pt")
        expected = models[encoder](**inputs).logits
        for logits in (torch.tensor(found[str(folder)]), loaded(**inputs).logits):
            torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5, msg=encoder)
        assert answer(loaded, processor)["logits"].shape == (1, 24, 2)
        card = (folder / "README.md").read_text()
        assert "labels each base of a sequence" in card and "AutoModelForTokenClassification" in card
