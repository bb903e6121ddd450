"""States of people's windows that `textgenome embed` makes ahead of training, by several jobs, for another machine."""

import gzip
import json
import shutil

import pytest
from runs import QUICK, as_flags
from transformers import set_seed
from typer.testing import CliRunner

from textgenome import HyenaDNAConfig, HyenaDNAModel
from textgenome.commands import app
from textgenome.training import dna


@pytest.fixture(scope="module")
def files(starter_genome, tmp_path_factory):
    """Three genes of the starter genome, and an encoder in a folder."""
    folder = tmp_path_factory.mktemp("people")
    lines = gzip.open(starter_genome / "expression.bed.gz", "rt").read().splitlines()
    (folder / "e.bed").write_text("\n".join(lines[:4]) + "\n")
    set_seed(0)
    config = HyenaDNAConfig(d_model=16, d_inner=16, n_layer=1, max_seq_len=256)
    HyenaDNAModel(config).save_pretrained(folder / "encoder")
    genome = {"fasta": starter_genome / "genome.fa", "vcf": starter_genome / "people.vcf.gz"}
    return folder / "encoder", {**genome, "expression": folder / "e.bed", "window": 1024, "state_bin": 4}


def embed(files, output, *flags):
    encoder, sources = files
    return CliRunner().invoke(app, ["embed", str(encoder), *as_flags(sources), "--output", str(output), *flags])


def counts_of(result):
    assert result.exit_code == 0, result.output
    words = result.output.splitlines()[-1].split()
    return int(words[0]), int(words[3])


def test_training_reads_what_jobs_have_encoded_elsewhere(files, tmp_path, monkeypatch):
    jobs = [counts_of(embed(files, tmp_path / "states", "--shard", f"{number}/2")) for number in (1, 2)]
    assert counts_of(embed(files, tmp_path / "states")) == (jobs[0][0] + jobs[1][0], 0)
    assert counts_of(embed(files, tmp_path / "whole"))[1] == jobs[0][1] + jobs[1][1]
    shutil.copytree(tmp_path / "states", tmp_path / "other machine")
    monkeypatch.setattr(HyenaDNAModel, "forward", lambda *args, **kwargs: pytest.fail("the encoder is called"))
    settings = {**QUICK, "task": "expression", "dna_model": files[0], "do_eval": False, **files[1]}
    settings |= {"per_device_train_batch_size": 16, "dna_cache_dir": tmp_path / "other machine", "max_steps": 1}
    dna.main(as_flags({**settings, "output_dir": tmp_path / "out", "subtract_gene_mean": True}))
    assert json.loads((tmp_path / "out" / "train_results.json").read_text())["train_steps"] == 1


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--shard", "4/4"], "There is no share 4 of 4 of 3 genes"),
        (["--dataset_name", "rows.csv"], "--expression needs --vcf and --fasta, and neither --bed nor"),
        (["--state_bin", "512"], "A state of 512 bases is longer than what the encoder reads, 256"),
    ],
)
def test_what_cannot_be_encoded_says_why(files, tmp_path, flags, message):
    result = embed(files, tmp_path / "states", *flags)
    assert result.exit_code != 0 and message in " ".join(result.output.replace("│", "").split())
