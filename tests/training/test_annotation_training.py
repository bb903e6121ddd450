import json
import random

import pytest
from conftest import random_dna
from runs import QUICK, as_flags

from textgenome.inference.checkpoints import load_checkpoint
from textgenome.training import dna
from textgenome.training.measuring_annotation import without_stop


HYENA = {"model_type": "hyenadna", "d_model": 8, "d_inner": 8, "n_layer": 1, "max_seq_len": 256}


@pytest.fixture
def genome(tmp_path):
    """Six contigs with a gene each, on both strands; the last contig ends with N."""
    rng = random.Random(0)
    with open(tmp_path / "g.fa", "w") as fasta, open(tmp_path / "g.gtf", "w") as gtf:
        for i in range(6):
            letters = random_dna(600, i)
            fasta.write(f">c{i}\n{letters[:500] + 'N' * 100 if i == 5 else letters}\n")
            first = rng.randrange(100, 200)
            for kind, start, end, phase in (("exon", first, 420, "."), ("CDS", first + 9, first + 89, 0)):
                columns = [f"c{i}", ".", kind, str(start), str(end), ".", "+-"[i % 2], str(phase)]
                gtf.write("\t".join([*columns, f'gene_id "{i}"; transcript_id "{i}.1";']) + "\n")
    return tmp_path


def train(folder, **settings):
    named = {"task": "annotation", "fasta": folder / "g.fa", "gtf": folder / "g.gtf", "labels": "CDS,exon"}
    named |= {"dna_config": json.dumps(HYENA), "output_dir": folder / "out", "dna_window": 128, "overlap": 16}
    dna.main(as_flags({**named, **QUICK, **settings}))
    return json.loads((folder / "out" / "evaluation" / "metrics.json").read_text())


def test_labels_of_bases_are_trained_and_measured(genome):
    metrics = train(genome, max_steps=2)
    assert metrics["verdict"].startswith("The model ") and metrics["unit"] == "locus"
    assert list(metrics["conditions"]) == ["as_is", "hexamers", "all_positive", "dna_exchanged", "dna_reversed"]
    assert list(metrics["metrics"])[:3] == ["macro_f1", "f1_CDS", "f1_exon"]
    assert {"exon_f1", "gene_f1"} <= metrics["conditions"]["as_is"].keys()
    assert metrics["bases"]["train"] > metrics["bases"]["test"] > 0
    assert metrics["bases_per_second"].keys() == {"training", "predicting"}
    page = (genome / "out" / "evaluation" / "report.html").read_text()
    assert "Best held-out locus" in page and page.count("data:image/png") >= 1
    model, processor = load_checkpoint(genome / "out")
    assert model.config.id2label == {0: "CDS", 1: "exon"} and len(model.config.label_thresholds) == 2
    assert model(**processor("ACGT", return_tensors="pt")).logits.shape == (1, 4, 2)


def test_all_positive_is_what_it_says(genome):
    metrics = train(genome, test_contigs="c1", labels="CDS", max_steps=1, stranded="false", class_weights="balanced")
    share = 81 / 600
    assert metrics["conditions"]["all_positive"]["f1_CDS"] == pytest.approx(2 * share / (1 + share))
    assert metrics["bases"]["test"] == 600


BAD = {
    "overlap": ({"overlap": 64}, "An overlap of 64 bases on either side leaves nothing of the 128"),
    "no labels": ({"labels": ""}, "needs a genome, its annotation and labels"),
    "unknown label": ({"labels": "mRNA"}, r"No feature has the type 'mRNA'. There are exon \(6\), CDS \(6\)"),
    "unknown contig": ({"test_contigs": "chr9"}, "The genome has no contig chr9"),
    "values": ({"problem_type": "regression"}, "bases have labels or a class, not a value"),
}


@pytest.mark.parametrize("settings, message", BAD.values(), ids=BAD)
def test_bad_settings_are_refused(genome, settings, message):
    with pytest.raises(ValueError, match=message):
        train(genome, **settings)


def test_regions_that_overlap_are_refused(genome):
    (genome / "a.bed").write_text("c0\t0\t600\nc1\t0\t300\n")
    (genome / "b.bed").write_text("c1\t299\t600\n")
    with pytest.raises(ValueError, match="c1:300-600 is to be evaluated on, but shares bases with c1:1-300"):
        train(genome, regions=genome / "a.bed", test_regions=genome / "b.bed")


def test_the_stop_codon_is_taken_off_across_an_intron():
    assert without_stop(((0, 10), (20, 30)), "+") == ((0, 10), (20, 27))
    assert without_stop(((0, 10), (20, 22)), "+") == ((0, 9),)
    assert without_stop(((0, 1), (5, 30)), "-") == ((7, 30),)
