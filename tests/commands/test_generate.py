import re

import pytest
from conftest import random_dna
from typer.testing import CliRunner

from textgenome.commands import app
from textgenome.genome.fasta import read_records
from textgenome.inference import generated_fasta


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "x.fa"
    path.write_text(f">first one\n{random_dna(30)}\n>second\n{random_dna(40, 1)}\n")
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    import torch

    from textgenome import HyenaDNAConfig, HyenaDNAForCausalLM

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("hyenadna")
    config = HyenaDNAConfig(d_model=16, d_inner=32, max_seq_len=128, initializer_range=0.3)
    HyenaDNAForCausalLM(config).save_pretrained(folder)
    return folder


def run(*words, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["generate", *map(str, words)])
    assert result.exit_code == code, result.output
    return result.output


def test_what_is_written_and_printed(model, prompts, tmp_path):
    genome = tmp_path / "g.fa"
    genome.write_text(f">g\n{random_dna(2000, 2)}\n")
    output = tmp_path / "y.fa"
    words = ["--model", model, "--prompt", prompts, "--length", "70", "--num", "2", "--temperature", "0.8"]
    told = run(*words, "--output", output, "--compare_to", genome)
    headers = [line for line in output.read_text().splitlines() if line.startswith(">")]
    assert [header.split()[0] for header in headers] == [">first.1", ">first.2", ">second.1", ">second.2"]
    assert all(re.fullmatch(r">\S+ bits_per_base=\d\.\d{4} temperature=0\.8 seed=0", header) for header in headers)
    assert [len(bases) for _, bases in read_records(output)] == [70] * 4
    assert f"4 sequences in {output}\n" in told and not list(tmp_path.glob("y.fa.*"))
    assert re.search(r"Next bases of the prompts: \d\.\d{3} bits a base, \d+\.\d% right\n", told)
    assert re.search(
        r"what was written: \d\.\d{3} by the model\n +\d\.\d{3} by a Markov model of order 5, fitted", told
    )
    assert re.search(r"identity 0\.\d{3} on average, 0\.\d{3} at most; 0 of 4 sequences hold 48 bases", told)
    again = tmp_path / "z.fa"
    told = run(*words, "--output", again, "--batch_size", "1", "--markov_order", "2")
    assert again.read_text() == output.read_text()
    assert "a Markov model of order 2, fitted on the prompts" in told and "Nearest" not in told


def test_a_killed_run_resumes(model, prompts, tmp_path, monkeypatch):
    words = ["--model", model, "--prompt", prompts, "--length", "12", "--num", "3", "--batch_size", "2"]
    run(*words, "--output", tmp_path / "whole.fa")
    generate, asked = generated_fasta.generate_batches, []

    def interrupted(*given, **options):
        for number, batch in enumerate(generate(*given, **options)):
            if number == 2:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr(generated_fasta, "generate_batches", interrupted)
    run(*words, "--output", tmp_path / "y.fa", code=130)
    monkeypatch.setattr(generated_fasta, "generate_batches", lambda *a, **b: asked.extend(a[2]) or generate(*a, **b))
    told = run(*words, "--seed", "1", "--output", tmp_path / "y.fa", code=1)
    assert "holds a run with other settings (seed)" in told
    run(*words, "--output", tmp_path / "y.fa")
    assert asked == [(1, 1), (1, 2)]
    assert (tmp_path / "y.fa").read_text() == (tmp_path / "whole.fa").read_text()


def test_what_cannot_be_continued_is_named(model, prompts, tmp_path):
    words = ["--model", model, "--prompt", prompts, "--output", tmp_path / "y.fa"]
    told = run(*words, "--length", "89", code=1)
    assert f"{prompts}, record second has 40 bases, with 89 new ones 129" in told
    (tmp_path / "bad.fa").write_text(">x\nACGTJ\n")
    words[3] = tmp_path / "bad.fa"
    assert "'J'" in run(*words, "--length", "5", code=1)
    (tmp_path / "y.fa").write_text("mine")
    assert "is there already" in run(*words, "--length", "5", code=2)
