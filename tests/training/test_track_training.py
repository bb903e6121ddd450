"""The task `tracks`: from genome files to a model that is measured on held-out regions."""

import json

import numpy as np
import pytest
import torch
from runs import QUICK, as_flags

from textgenome.genome.bigwig import BigWigWriter
from textgenome.inference.checkpoints import load_checkpoint
from textgenome.inference.tracks import predict_tracks
from textgenome.training import dna


ENCODER = {
    "model_type": "borzoi",
    "conv_dims": [8, 8, 16],
    "dim": 16,
    "hidden_size": 16,
    "depth": 0,
    "max_position_embeddings": 4096,
}


@pytest.fixture
def beds(starter_genome, tmp_path):
    """Five regions to train on, three to watch and three to evaluate on."""
    lines = {name: (starter_genome / f"{name}.bed").read_text().splitlines() for name in ("train", "valid")}
    parts = {"train": lines["train"][:5], "watch": lines["train"][20:23], "test": lines["valid"][:3]}
    for name, part in parts.items():
        (tmp_path / f"{name}.bed").write_text("\n".join(part) + "\n")
    return tmp_path


def flags(genome, beds, **settings):
    files = {"fasta": genome / "genome.fa", "tracks": genome / "tracks.tsv"}
    files |= {"regions": beds / "train.bed", "test_regions": beds / "test.bed", "output_dir": beds / "out"}
    named = {"task": "tracks", **files, "dna_config": json.dumps(ENCODER), "freeze_dna_encoder": False}
    named |= {"dna_window": 2048, "track_width": 8, "track_layers": 2, "per_device_eval_batch_size": 2}
    return as_flags({**named, **QUICK, "shift": 64, **settings})


def results_of(beds):
    return json.loads((beds / "out" / "evaluation" / "metrics.json").read_text())


def test_a_run_leaves_a_model_and_a_table_of_results(starter_genome, beds, capsys):
    dna.main(flags(starter_genome, beds, gtf=starter_genome / "genes.gtf", average_strands=True))
    results = results_of(beds)
    assert [*results["conditions"]] == [
        *("as_is", "dna_exchanged", "mean_track", "gc_cpg", "kmer_ridge"),
        "in_sample",
    ]
    assert results["conditions"]["as_is"]["units"] == 3 and results["task"] == "tracks"
    assert {"pearson", "pearson_inside", "pearson_genes", "poisson_deviance", "pearson_CAGE"} <= set(
        results["metrics"]
    )
    assert results["verdict"] in capsys.readouterr().out
    page = (beds / "out" / "evaluation" / "report.html").read_text()
    assert "start.plus" in page and page.count("data:image/png") == 3 and "Worst held-out region" in page
    assert results["model"] == "out" and "Baselines without a model" not in page
    eval_results = json.loads((beds / "out" / "eval_results.json").read_text())
    assert eval_results["eval_pearson"] == results["conditions"]["as_is"]["pearson"]
    model, processor = load_checkpoint(beds / "out")
    assert model.config.track_partners == [0, 1, 3, 2, 5, 4] and model.config.id2label[2] == "start.plus"
    assert min(model.config.track_means) > 0 and model.config.track_resolution == 32
    (predicted,) = predict_tracks(model, processor, ["ACGT" * 100])
    assert predicted.shape == (13, 6) and np.isfinite(predicted).all() and (predicted >= 0).all()


def test_averaged_strands_are_those_of_both_predictions(starter_genome, beds):
    dna.main(flags(starter_genome, beds, do_eval=False, target_scaling="none", loss="mse"))
    model, processor = load_checkpoint(beds / "out")
    assert model.config.track_means is None and not (beds / "out" / "evaluation").exists()
    dna_of, turned = "ACGGTTA" * 32, ("TAACCGT" * 32)
    ((one,), (other,)) = (predict_tracks(model, processor, [each], average_strands=True) for each in (dna_of, turned))
    np.testing.assert_allclose(one, other[::-1, [0, 1, 3, 2, 5, 4]], atol=1e-6)


def test_the_encoder_learns_the_statistics_of_its_batch_norms_if_it_begins_at_random(starter_genome, beds):
    dna.main(flags(starter_genome, beds, do_eval=False))
    model, _ = load_checkpoint(beds / "out")
    norms = [each for each in model.model.dna_encoder.modules() if isinstance(each, torch.nn.BatchNorm1d)]
    assert norms and all(each.num_batches_tracked == 2 for each in norms)


def test_held_out_contigs_are_not_trained_on(starter_genome, beds):
    dna.main(flags(starter_genome, beds, regions=None, test_regions=None, test_contigs=["7", "chr8"], max_steps=1))
    results = results_of(beds)
    # A contig of 50,000 bases is a region.
    assert results["training_regions"] == 6 and results["conditions"]["as_is"]["units"] == 2


def test_the_best_weights_are_chosen_on_other_regions(starter_genome, beds):
    saving = {"eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 1, "save_steps": 1}
    watched = {"validation_regions": beds / "watch.bed", "load_best_model_at_end": True}
    dna.main(flags(starter_genome, beds, **saving, **watched))
    state = json.loads((beds / "out" / "checkpoint-2" / "trainer_state.json").read_text())
    losses = [entry["eval_loss"] for entry in state["log_history"] if "eval_loss" in entry]
    assert len(losses) == 2 and state["best_metric"] == min(losses)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tracks": None}, "The task tracks needs --tracks"),
        ({"test_regions": None}, "Name what to evaluate on"),
        ({"test_contigs": ["chr8"]}, "one of them"),
        ({"regions": None}, "Name what to train on by --regions"),
        ({"dna_window": 2000}, "dna_window is 2000, but must be a multiple of the resolution 32"),
        ({"dna_window": 2**20}, "dna_window is 1048576, but the encoder reads at most"),
        ({"load_best_model_at_end": True, "eval_strategy": "steps", "save_strategy": "steps"}, "--validation_regions"),
        ({"test_regions": "train.bed"}, "is to be evaluated on, but shares bases with"),
        ({"validation_regions": "test.bed"}, "shares bases with"),
        ({"resolution": 256}, "'track_resolution' is 256"),
    ],
)
def test_what_does_not_fit_is_refused(starter_genome, beds, settings, message):
    settings = {name: beds / value if str(value).endswith(".bed") else value for name, value in settings.items()}
    with pytest.raises(ValueError, match=message):
        dna.main(flags(starter_genome, beds, **settings))


def test_a_bigwig_without_a_contig_and_one_with_negative_values_are_refused(starter_genome, beds):
    sizes = {f"chr{number}": 50_000 for number in (1, 7)}
    for name, contigs, value in (("short", sizes, 1.0), ("negative", {**sizes, "chr2": 50_000}, -1.0)):
        with BigWigWriter(beds / f"{name}.bw", contigs) as writer:
            writer.write("chr1", 5000, np.full(100, value))
    (beds / "tracks.tsv").write_text("name\tpath\tgroup\tstrand\na\tshort.bw\tx\t.\n")
    (beds / "train.bed").write_text("chr1\t4096\t8192\nchr2\t0\t4096\n")
    with pytest.raises(ValueError, match=r"short\.bw: there is no contig chr2"):
        dna.main(flags(starter_genome, beds, tracks=beds / "tracks.tsv"))
    (beds / "tracks.tsv").write_text("name\tpath\tgroup\tstrand\na\tnegative.bw\tx\t.\n")
    with pytest.raises(ValueError, match=r"the track a is -1 at chr1:5001, but signals must not be negative"):
        dna.main(flags(starter_genome, beds, tracks=beds / "tracks.tsv"))
