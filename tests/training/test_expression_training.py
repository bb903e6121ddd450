"""The task `expression`, from the outside, on genes of the starter genome."""

import gzip
import json

import numpy as np
import pytest
import torch
from runs import QUICK, as_flags
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification
from typer.testing import CliRunner

from textgenome import HyenaDNAModel
from textgenome.commands import app
from textgenome.data.expression_rows import load_genes
from textgenome.data.haplotypes import HaplotypeReader, window_around
from textgenome.genome.genotypes import read_genotypes
from textgenome.inference.expression import predict_expression
from textgenome.training import dna, expression


HYENA = {"model_type": "hyenadna", "d_model": 16, "d_inner": 16, "n_layer": 1, "max_seq_len": 256}
WINDOW = 1024


@pytest.fixture(scope="module")
def files(starter_genome, tmp_path_factory):
    """The starter genome with six genes, and cached states that all runs share."""
    folder = tmp_path_factory.mktemp("expression")
    lines = gzip.open(starter_genome / "expression.bed.gz", "rt").read().splitlines()
    (folder / "e.bed").write_text("\n".join(lines[:7]) + "\n")
    return {
        "fasta": starter_genome / "genome.fa",
        "vcf": starter_genome / "people.vcf.gz",
        "expression": folder / "e.bed",
        "covariates": starter_genome / "covariates.tsv",
        "folder": folder,
    }


def train(files, out, **settings):
    named = {name: each for name, each in files.items() if name != "folder"}
    defaults = {
        "config": "starter_expression",
        "subtract_gene_mean": False,
        "dna_config": json.dumps(HYENA),
        "window": WINDOW,
        "state_bin": 4,
        "normalization": "zscore",
        "dna_cache_dir": files["folder"] / "states",
        "per_device_train_batch_size": 32,
        "learning_rate": 1e-3,
    }
    dna.main(as_flags({**QUICK, **named, **defaults, "output_dir": out, **settings}))
    return out


def expected_pieces(files, genes, window=WINDOW, piece=256):
    genotypes = read_genotypes(files["vcf"])
    reader, found = HaplotypeReader(files["fasta"], genotypes), set()
    for gene in genes:
        place = window_around(gene.contig, gene.start, window, gene.strand)
        for haplotype in reader(place, gene.strand).haplotypes:
            found |= {haplotype.sequence[start : start + piece] for start in range(0, window, piece)}
    return len(found)


@pytest.fixture
def encoded(monkeypatch):
    """How many sequences the encoder has read."""
    count, forward = [0], HyenaDNAModel.forward

    def counting(self, input_ids, *args, **kwargs):
        count[0] += len(input_ids)
        return forward(self, input_ids, *args, **kwargs)

    monkeypatch.setattr(HyenaDNAModel, "forward", counting)
    return count


@pytest.fixture(scope="module")
def reference(files):
    """A model of the reference, on genes that the others hold out or not."""
    settings = {"normalization": "none", "max_steps": 150, "learning_rate": 3e-3}
    return train(files, files["folder"] / "reference", regime="reference", **settings)


def test_each_distinct_piece_is_encoded_once_and_never_again(files, tmp_path, encoded, capsys):
    own = {"dna_cache_dir": tmp_path / "states", "subtract_gene_mean": True}
    out = train(files, tmp_path / "out", **own)
    genes, window, indels, trained_encoder, means = load_genes(out)
    assert (len(genes), window, indels, trained_encoder, len(means)) == (6, WINDOW, False, False, 6)
    assert encoded[0] == expected_pieces(files, genes)
    printed = capsys.readouterr().out
    assert "elastic net, 500 kb on either side" in printed and "new genes, new people" in printed
    before = encoded[0]
    train(files, tmp_path / "again", **own)
    assert encoded[0] == before, "a second run reads what the first has encoded"

    weights = [load_file(folder / "model.safetensors") for folder in (out, tmp_path / "again")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    rows = list(predict_expression(out, files["vcf"], files["fasta"], tmp_path / "states", ["P009", "P002"]))
    assert encoded[0] == before and len(rows) == 12
    assert [row["sample"] for row in rows[:2]] == ["P009", "P002"] and rows[0]["gene"] == genes[0].name

    (tmp_path / "people.txt").write_text("P009\nP002\n")
    table = tmp_path / "predictions.tsv"
    flags = {"model": out, "vcf": files["vcf"], "fasta": files["fasta"], "samples": tmp_path / "people.txt"}
    result = CliRunner().invoke(app, ["predict", *as_flags({**flags, "output": table})])
    assert result.exit_code == 0 and "12 rows in" in result.output
    assert table.read_text().startswith(f"gene\tsample\tprediction\n{genes[0].name}\tP009\t")

    metrics = json.loads((out / "evaluation" / "metrics.json").read_text())
    cell = metrics["grid"]["seen_genes_new_people"]
    assert (cell["genes"], cell["people"]) == (6, 12) and set(cell["by_gene"]) == {"pearson", "spearman", "null"}
    assert metrics["conditions"]["elastic_net_window"]["units"] == 6


@pytest.mark.slow
def test_a_run_on_people_goes_on_from_the_reference(files, reference, tmp_path):
    settings = {"normalization": "none", "pair_loss": 0, "max_steps": 1, "learning_rate": 0, "seed": 1}
    new = train(files, tmp_path / "p", **settings)
    resumed = train(files, tmp_path / "rp", **settings, model_name_or_path=reference, dna_config=None)
    losses = [json.loads((out / "eval_results.json").read_text())["eval_loss"] for out in (resumed, new)]
    assert losses[0] < losses[1]
    grid = json.loads((reference / "evaluation" / "metrics.json").read_text())["grid"]
    assert grid["seen_genes_new_people"]["by_gene"]["pearson"] is not None
    with pytest.raises(ValueError, match=r"has the head, bases of a state and window \('tower', 4, 1024\)"):
        train(files, tmp_path / "x", model_name_or_path=reference, dna_config=None, window=2048)


@pytest.mark.slow
def test_genes_and_people_are_held_out_by_name(files, tmp_path):
    people = ["P001", "P004", "P007", "P010"]
    genes = [line.split("\t")[3] for line in files["expression"].read_text().splitlines()[1:4]]
    out = train(files, tmp_path / "out", samples_test=people, genes_test=genes, indels=True)
    grid = json.loads((out / "evaluation" / "metrics.json").read_text())["grid"]
    assert {name: (cell["genes"], cell["people"]) for name, cell in grid.items()} == {
        "seen_genes_seen_people": (3, 56),
        "seen_genes_new_people": (3, 4),
        "new_genes_seen_people": (3, 56),
        "new_genes_new_people": (3, 4),
    }
    assert "by_person" in grid["new_genes_new_people"]
    assert load_genes(out).indels
    assert np.isfinite([row["prediction"] for row in predict_expression(out, files["vcf"], files["fasta"])]).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"expression_head": "center", "freeze_dna_encoder": False},
        {"freeze_dna_encoder": False},
        {"lora_dna_encoder": True},
    ],
    ids=["center", "tower", "lora"],
)
def test_a_model_whose_encoder_was_trained_predicts_as_in_training(files, tmp_path, settings, monkeypatch):
    measured = {}
    monkeypatch.setattr(
        expression, "evaluate_expression", lambda *args, **_: measured.update(values=args[3]) or ({}, "")
    )
    monkeypatch.setattr(expression, "format_table", str)
    config = json.dumps({**HYENA, "max_seq_len": WINDOW})
    out = train(files, tmp_path / "out", **settings, dna_config=config, samples_test=["P001"], learning_rate=1e-2)
    rows = list(predict_expression(out, files["vcf"], files["fasta"], samples=["P001", "P003"]))
    assert [row["prediction"] for row in rows] == pytest.approx(measured["values"][:, [0, 2]].ravel(), rel=1e-4)
    assert load_genes(out).trained_encoder and not (out / "dna_features").exists()
    model = AutoModelForSequenceClassification.from_pretrained(out)
    assert model.config.pooling == settings.get("expression_head", "tower")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"vcf": None, "config": None, "task": "expression"}, "The task expression needs --vcf"),
        ({"group_size": 5}, "per_device_train_batch_size is 32, which does not hold whole groups of 5 people"),
        ({"regime": "reference", "subtract_gene_mean": True}, "subtract_gene_mean leaves only what differs"),
        ({"samples_test": ["nobody"]}, "None of the people that are named is in the files, such as nobody"),
        ({"window": 128}, "The tower reads windows of 146 states or more, got 32"),
        ({"model_name_or_path": "there is none"}, "Give one encoder"),
    ],
)
def test_what_cannot_start_says_why(files, tmp_path, settings, message):
    with pytest.raises((ValueError, OSError), match=message):
        train(files, tmp_path / "out", **settings)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda columns: ["chr77", *columns[1:]], "No gene is left: all have their start outside the genome"),
        (lambda columns: [columns[0], "999998", "999999", *columns[3:]], "all have their start outside the genome"),
        pytest.param(lambda columns: [columns[0].removeprefix("chr"), *columns[1:]], None, marks=pytest.mark.slow),
    ],
    ids=["contig", "start", "spelling"],
)
def test_places_of_genes_are_those_of_the_genome(files, tmp_path, change, message):
    header, *lines = files["expression"].read_text().splitlines()
    lines = ["\t".join(change(line.split("\t"))) for line in lines]
    (tmp_path / "e.bed").write_text("\n".join([header, *lines]) + "\n")
    changed = {**files, "expression": tmp_path / "e.bed"}
    if message:
        with pytest.raises(ValueError, match=message):
            train(changed, tmp_path / "out")
    else:
        out = train(changed, tmp_path / "out", max_steps=1, logging_steps=1)
        assert load_genes(out).genes[0].contig == "chr1"


def test_the_people_of_the_genotypes_must_be_those_of_the_expression(files, tmp_path):
    header, *lines = files["expression"].read_text().splitlines()
    columns = header.split("\t")
    others = [name if number < 25 else f"X{number}" for number, name in enumerate(columns)]
    (tmp_path / "e.bed").write_text("\n".join(["\t".join(others), *lines]) + "\n")
    with pytest.raises(ValueError, match=r"19 people are in all files \(60 in expression, 60 in genotypes, 60 in cov"):
        train({**files, "expression": tmp_path / "e.bed"}, tmp_path / "out")
