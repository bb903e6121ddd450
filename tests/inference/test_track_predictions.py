"""`textgenome predict` with a model of tracks: signals along a genome."""

import gzip

import numpy as np
import pytest
from conftest import random_dna
from typer.testing import CliRunner

from textgenome import BorzoiConfig, EnformerConfig, TextGenomeDNAConfig, TextGenomeDNAForTrackPrediction
from textgenome.commands import app
from textgenome.genome.bigwig import BigWig
from textgenome.inference import track_predictions
from textgenome.inference.predicting import predict
from textgenome.inference.tracks import predict_tracks
from textgenome.modeling_borzoi import BorzoiForTrackPrediction
from textgenome.modeling_enformer import EnformerForTrackPrediction
from textgenome.processing import TextGenomeDNAProcessor, build_dna_tokenizer


CONVOLUTIONS = {"model_type": "borzoi", "conv_dims": [8, 8, 16], "dim": 16, "hidden_size": 16, "depth": 0}
CONTIGS = {"c1": random_dna(1500, 1), "c2": "N" * 700 + random_dna(203, 2)}


@pytest.fixture
def fasta(tmp_path):
    (tmp_path / "genome.fa").write_text("".join(f">{name}\n{bases}\n" for name, bases in CONTIGS.items()))
    return tmp_path / "genome.fa"


def save_model(folder, tracks=("a", "b/c"), window=512, **fields):
    named = {"num_sequences": 1, "pooling": "mean", "track_width": 8, "track_layers": 1, "track_resolution": 8}
    named |= {"id2label": dict(enumerate(tracks)), "track_means": [50.0] * len(tracks)}
    config = TextGenomeDNAConfig(dna_config={**CONVOLUTIONS, "max_position_embeddings": 2048}, **{**named, **fields})
    model = TextGenomeDNAForTrackPrediction(config).eval()
    model.save_pretrained(folder)
    processor = TextGenomeDNAProcessor(build_dna_tokenizer("enformer", 2048), window)
    processor.save_pretrained(folder)
    return model, processor


def bins_of(path, contig, start, end, step=8):
    signal = BigWig(path, "nan").read(contig, start, end)
    return np.array([signal[i] for i in range(0, len(signal), step)])


def test_tiles_give_what_the_whole_contig_does_from_its_first_base_on(tmp_path, fasta):
    model, processor = save_model(tmp_path / "model")
    count = predict(str(tmp_path / "model"), tmp_path / "out" / "p.bw", fasta=fasta, overlap=128)
    assert count == 188 + 113 and sorted(path.name for path in (tmp_path / "out").iterdir()) == ["p.a.bw", "p.b_c.bw"]
    (expected,) = predict_tracks(model, processor, [CONTIGS["c1"]])
    for track, name in enumerate(("a", "b_c")):
        found = bins_of(tmp_path / "out" / f"p.{name}.bw", "c1", 0, 1500)
        np.testing.assert_allclose(found, expected[:, track], rtol=1e-4)
    assert expected.max() > 5  # in the units of the signals, not of training


def test_the_first_bin_begins_with_the_region_and_the_last_one_ends_with_it(tmp_path, fasta):
    model, processor = save_model(tmp_path / "model", tracks=["a"])
    (tmp_path / "regions.bed").write_text("c1\t1000\t1041\nc1\t57\t200\nc1\t150\t260\n")
    predict(str(tmp_path / "model"), tmp_path / "p.bw", fasta=fasta, bed=tmp_path / "regions.bed")
    covered = ~np.isnan(BigWig(tmp_path / "p.bw", "nan").read("c1", 0, 1500))
    assert np.flatnonzero(np.diff(covered)).tolist() == [56, 259, 999, 1040]
    # Read from 56 bases before the region on: bins are counted from its start, and 64 before it there is no base.
    (expected,) = predict_tracks(model, processor, [CONTIGS["c1"][1:324]])
    np.testing.assert_allclose(bins_of(tmp_path / "p.bw", "c1", 57, 260), expected[7:33, 0], rtol=1e-3)


def test_a_bedgraph_says_the_same(tmp_path, fasta):
    save_model(tmp_path / "model", tracks=["a"])
    for name in ("p.bw", "p.bedgraph", "p.bedgraph.gz"):
        predict(str(tmp_path / "model"), tmp_path / name, fasta=fasta)
    text = (tmp_path / "p.bedgraph").read_text()
    assert gzip.decompress((tmp_path / "p.bedgraph.gz").read_bytes()).decode() == text
    signal = np.full(1500, np.nan)
    for contig, start, end, value in map(str.split, text.splitlines()):
        if contig == "c1":
            signal[int(start) : int(end)] = float(value)
    np.testing.assert_allclose(signal, BigWig(tmp_path / "p.bw", "nan").read("c1", 0, 1500), rtol=1e-5)


def test_where_there_are_no_letters_nothing_is_written(tmp_path, fasta, monkeypatch):
    save_model(tmp_path / "model", tracks=["a"])
    monkeypatch.setattr(track_predictions, "PIECE", 256)
    predict(str(tmp_path / "model"), tmp_path / "p.bw", fasta=fasta)
    covered = ~np.isnan(BigWig(tmp_path / "p.bw", "nan").read("c2", 0, 903))
    assert not covered[:512].any() and covered[512:].all()


def test_a_run_that_was_stopped_goes_on_to_the_same(tmp_path, fasta, monkeypatch):
    save_model(tmp_path / "model", tracks=["a"])
    monkeypatch.setattr(track_predictions, "PIECE", 256)
    predict(str(tmp_path / "model"), tmp_path / "whole.bw", fasta=fasta)
    calls = []

    def stops(*args):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return predict_tracks(*args)

    monkeypatch.setattr(track_predictions, "predict_tracks", stops)
    with pytest.raises(KeyboardInterrupt):
        predict(str(tmp_path / "model"), tmp_path / "p.bw", fasta=fasta)
    assert not (tmp_path / "p.bw").exists()
    predict(str(tmp_path / "model"), tmp_path / "p.bw", fasta=fasta)
    assert (tmp_path / "p.bw").read_bytes() == (tmp_path / "whole.bw").read_bytes()
    assert len(calls) == 4 + 5 and not (tmp_path / "p.bw.parts").exists()  # eight pieces, and one of them again


def test_the_command_writes_the_tracks_that_are_named(tmp_path, fasta):
    save_model(tmp_path / "model")
    flags = ["--model", str(tmp_path / "model"), "--fasta", str(fasta), "--output", str(tmp_path / "p.bw")]
    result = CliRunner().invoke(app, ["predict", *flags, "--tracks", "b/c", "--average_strands"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "p.bw").exists() and "diagnosis" in result.output


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"output": "p.csv"}, r"a model of tracks writes \.bw"),
        ({"tracks": ["z"]}, r"has no track z\. Its 2 begin with a, b/c"),
        ({"fasta": None, "dataset_name": "x.csv"}, "predicts along a genome: name it by --fasta"),
    ],
)
def test_what_cannot_be_predicted_is_refused(tmp_path, fasta, request_, message):
    save_model(tmp_path / "model")
    named = {"output": "p.bw", "fasta": fasta, **request_}
    with pytest.raises(ValueError, match=message):
        predict(str(tmp_path / "model"), tmp_path / named.pop("output"), **named)


PUBLISHED = {
    "enformer": (
        EnformerForTrackPrediction,
        EnformerConfig(
            dim=12, depth=1, heads=2, attn_dim_key=4, num_downsamples=3, dim_divisible_by=2, target_length=4,
            max_position_embeddings=256, output_heads={"human": 3, "mouse": 2}
        ),
    ),
    "borzoi": (
        BorzoiForTrackPrediction,
        BorzoiConfig(
            conv_dims=[4, 6, 8, 10], dim=12, hidden_size=16, depth=1, heads=2, attn_dim_key=4, attn_dim_value=6,
            num_rel_pos_features=8, max_position_embeddings=256, num_human_tracks=3, num_mouse_tracks=2,
            enable_mouse_head=True, return_center_bins_only=True, bins_to_return=4
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("encoder", PUBLISHED)
def test_published_tracks_are_those_of_the_published_heads(tmp_path, encoder):
    model_class, config = PUBLISHED[encoder]
    model = model_class(config).eval()
    model.save_pretrained(tmp_path / "model")
    sequence = random_dna(256, 4)
    (tmp_path / "genome.fa").write_text(f">c1\n{sequence}\n")
    for species, track in (("human", 2), ("mouse", 1)):
        named = {"fasta": tmp_path / "genome.fa", "species": species, "tracks": [f"{species}_{track}"]}
        predict(str(tmp_path / "model"), tmp_path / f"{species}.bw", overlap=0, **named)
        ids = build_dna_tokenizer("enformer")(sequence, return_tensors="pt")["input_ids"]
        expected = model(ids).tracks[species][0, :, track].detach().numpy()
        found = bins_of(tmp_path / f"{species}.bw", "c1", 0, 256)
        # The published networks crop to the middle.
        np.testing.assert_allclose(found[14:18], expected, rtol=1e-4)
    with pytest.raises(ValueError, match="has tracks of human and mouse, but not of fly"):
        predict(str(tmp_path / "model"), tmp_path / "p.bw", fasta=tmp_path / "genome.fa", species="fly")
