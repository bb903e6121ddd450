import numpy as np
import pytest
from conftest import random_dna

from textgenome import TextGenomeDNAConfig, TextGenomeDNAForTokenClassification, TextGenomeDNAProcessor
from textgenome.genome.gtf import read_annotation
from textgenome.inference import label_predictions
from textgenome.inference.checkpoints import Checkpoint
from textgenome.inference.predicting import predict
from textgenome.processing import build_dna_tokenizer


@pytest.fixture
def model(tmp_path):
    sizes = {"d_model": 8, "d_inner": 8, "n_layer": 1, "max_seq_len": 128, "initializer_range": 0.5}
    labels = {0: "CDS", 1: "exon"}
    config = TextGenomeDNAConfig(dna_config=sizes, id2label=labels, pooling="mean", label_thresholds=[0.4, 0.6])
    TextGenomeDNAForTokenClassification(config).save_pretrained(tmp_path / "model")
    TextGenomeDNAProcessor(build_dna_tokenizer("hyenadna", model_max_length=128), 96).save_pretrained(
        tmp_path / "model"
    )
    (tmp_path / "g.fa").write_text(f">c1\n{random_dna(700)}\n>c2\n{'N' * 300 + random_dna(200) + 'N' * 300}\n")
    return tmp_path


def run(folder, name, **settings):
    return predict(str(folder / "model"), folder / name, fasta=folder / "g.fa", **settings)


def test_a_killed_run_goes_on_and_says_the_same(model, monkeypatch):
    whole = run(model, "whole.bed")
    monkeypatch.setattr(label_predictions, "PIECE", 200)
    write = label_predictions.write_labels
    monkeypatch.setattr(label_predictions, "write_labels", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(model, "o.bed")
    kept = sorted((model / "o.bed.parts").glob("*.safetensors"))
    assert len(kept) == 8
    times = [path.stat().st_mtime_ns for path in kept[1:]]
    kept[0].unlink()
    monkeypatch.setattr(label_predictions, "write_labels", write)
    assert run(model, "o.bed") > 0 and whole > 0 and times
    assert not (model / "o.bed.parts").exists()


def test_each_format_is_written(model):
    run(model, "o.bed")
    lines = [line.split("\t") for line in (model / "o.bed").read_text().splitlines()]
    assert {line[3] for line in lines} <= {"CDS", "exon"} and {line[5] for line in lines} <= {"+", "-"}
    assert all(300 <= int(line[1]) < int(line[2]) <= 500 for line in lines if line[0] == "c2")
    assert all(400 <= int(line[4]) <= 1000 for line in lines if line[3] == "CDS")
    run(model, "o.bedgraph")
    assert len(list(model.glob("o.*.bedgraph"))) == 4
    count = run(model, "o.gff3")
    transcripts = read_annotation(model / "o.gff3").transcripts()
    assert len(transcripts) == count


@pytest.mark.parametrize("name", ["o.txt", "o.bw"])
def test_other_endings_are_refused(model, name):
    with pytest.raises(ValueError, match="needs --fasta, and an --output that ends in"):
        run(model, name)


def test_too_large_an_overlap_is_refused_before_the_model_is_loaded(model, monkeypatch):
    monkeypatch.setattr(Checkpoint, "load", lambda *_: 1 / 0)
    with pytest.raises(ValueError, match="An overlap of 48 bases on either side leaves nothing of the 96"):
        run(model, "o.bed", overlap=48)


def test_runs_of_true():
    covered = np.array([1, 1, 0, 1, 0, 0, 1], bool)
    assert label_predictions.runs_of(covered) == [(0, 2), (3, 4), (6, 7)]
