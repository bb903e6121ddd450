"""Models that label bases or predict signals, with every kind of encoder, from a step of training to a stranger."""

import json

import pytest
import torch
from conftest import random_dna
from strangers import ENCODERS, stranger
from transformers import set_seed

from textgenome import (
    TextGenomeDNAConfig,
    TextGenomeDNAForTokenClassification,
    TextGenomeDNAForTrackPrediction,
    TextGenomeDNAProcessor,
)
from textgenome.configuration.configuration_textgenome import bases_per_state, build_dna_config
from textgenome.hub_card import export_checkpoint
from textgenome.hub_card.probe import answer
from textgenome.inference.checkpoints import load_checkpoint
from textgenome.processing import build_dna_tokenizer
from textgenome.processing.processing_dna import longest_token


LOAD = """
import json
from transformers import AutoModel, AutoModelForTokenClassification, AutoProcessor

found = {}
for folder in json.loads(sys.argv[1]):
    auto_class = AutoModel if folder.endswith("tracks") else AutoModelForTokenClassification
    model = auto_class.from_pretrained(folder, trust_remote_code=True)
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
    found[folder] = model(**processor(json.loads(sys.argv[2]), return_tensors="pt")).logits.tolist()
print(json.dumps(found))
"""
SEQUENCES = [random_dna(61), random_dna(40)]
CARDS = {
    "labels": ("labels each base of a sequence", "AutoModelForTokenClassification"),
    "tracks": ("predicts 2 tracks in bins of 4 bases: CDS, exon", "import AutoModel,"),
}


def build(head, encoder, tokenizer, dna_config):
    shared = {"dna_config": dna_config, "id2label": {0: "CDS", 1: "exon"}, "pooling": "mean"}
    convolves = encoder in ("hyenadna", "ntv2", "borzoi")
    if head == "tracks":
        fields = {"track_head": "genos" if convolves else "dilated", "track_width": 8, "track_layers": 2}
        fields |= {"track_resolution": 4, "track_means": [3.0, 50.0], "num_sequences": 1}
        return TextGenomeDNAForTrackPrediction(TextGenomeDNAConfig(**shared, **fields)), torch.rand(2, 16, 2)
    fields = {"base_head": "cnn" if convolves else "linear", "cnn_channels": 8}
    fields["state_bases"] = longest_token(tokenizer) * bases_per_state(dna_config)
    labels = torch.randint(0, 2, (2, 61, 2))
    labels[1, 40:] = -100
    return TextGenomeDNAForTokenClassification(TextGenomeDNAConfig(**shared, **fields)), labels


def train_one_step(head, encoder, folder):
    set_seed(0)
    vocabulary, sizes = ENCODERS[encoder]
    dna_config = build_dna_config({"model_type": "esm" if encoder == "ntv2" else encoder, **sizes})
    tokenizer = build_dna_tokenizer(vocabulary, model_max_length=256)
    processor = TextGenomeDNAProcessor(tokenizer)
    model, labels = build(head, encoder, tokenizer, dna_config)
    weights = next(part for name, part in model.train().named_parameters() if not name.startswith("model."))
    before = weights.detach().clone()
    model(**processor(SEQUENCES, return_tensors="pt"), labels=labels).loss.backward()
    torch.optim.SGD(model.parameters(), 0.1).step()
    assert not torch.equal(before, weights)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model.eval()


@pytest.mark.slow
def test_strangers_predict_along_dna_alike_whatever_the_encoder(tmp_path):
    models = {}
    for head in CARDS:
        for encoder in ENCODERS:
            model = train_one_step(head, encoder, tmp_path / "run" / encoder / head)
            folder = export_checkpoint(tmp_path / "run" / encoder / head, tmp_path / f"{encoder}_{head}")
            models[folder] = (head, encoder, model)
    result = stranger(LOAD, json.dumps([*map(str, models)]), json.dumps(SEQUENCES), folder=tmp_path)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    for folder, (head, encoder, model) in models.items():
        loaded, processor = load_checkpoint(folder)
        inputs = processor(SEQUENCES, return_tensors="pt")
        expected = model(**inputs).logits
        assert expected.std() > 0
        for logits in (torch.tensor(found[str(folder)]), loaded(**inputs).logits):
            torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5, msg=f"{head} {encoder}")
        assert answer(loaded, processor)["logits"].shape == (1, 24 if head == "labels" else 6, 2)
        card = (folder / "README.md").read_text()
        assert all(words in card for words in CARDS[head])
