"""HyenaDNA-tiny, with the weights that the package anticapt carries, on human DNA and ClinVar variants."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
from conftest import ROOT, SHARED
from typer.testing import CliRunner

from textgenome import HyenaDNAForCausalLM, HyenaDNAModel
from textgenome.commands import app
from textgenome.data.sequences import read_sequences
from textgenome.inference.language_models import load_language_model
from textgenome.inference.next_bases import generate_bases, measure_next_bases


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    package = importlib.util.find_spec("anticapt")
    if package is None:
        pytest.skip("the package anticapt, which carries small HyenaDNA weights, is not installed")
    source, folder = (
        Path(package.origin).parent / "models" / "dataset1" / "finetuned_hyenadna",
        tmp_path_factory.mktemp("x"),
    )
    script = ROOT / "tests" / "convert_state_dict.py"
    subprocess.run([sys.executable, script, source / "pytorch_model.bin", folder / "model.safetensors"], check=True)
    (folder / "config.json").write_text((source / "config.json").read_text())
    encoder = HyenaDNAModel.from_pretrained(folder, key_mapping={r"^backbone\.": ""})
    encoder.config.tie_word_embeddings = True  # its head was left out, which is the embedding
    model = HyenaDNAForCausalLM(encoder.config)
    model.base_model.load_state_dict(encoder.state_dict())
    model.save_pretrained(folder / "whole")
    return folder / "whole"


@pytest.mark.slow
def test_next_bases_of_human_dna(folder):
    path = SHARED / "data" / "human" / "chr3.42M.fa.gz"
    if not path.exists():
        pytest.skip("human DNA is not beside this checkout (../shared/data/human)")
    [row] = read_sequences(fasta=path)
    language_model = load_language_model(str(folder))
    windows = [row.sequence[i : i + 1024] for i in range(0, len(row.sequence) - 1023, 40_960)]
    assert measure_next_bases(language_model, windows)[1] >= 0.38
    plain, cached = (
        generate_bases(language_model, [windows[0][:200]], length=20, use_cache=use_cache)[0][0]
        for use_cache in (False, True)
    )
    assert plain.bases == cached.bases


@pytest.mark.slow
def test_scores_of_clinvar_variants_are_chance(folder, tmp_path):
    path = SHARED / "data" / "clinvar" / "clinvar.parquet"
    if not path.exists():
        pytest.skip("ClinVar variants are not beside this checkout (../shared/data/clinvar)")
    pandas.read_parquet(path).iloc[::12].to_parquet(tmp_path / "some.parquet")
    words = ["score", str(folder), "--dataset_name", str(tmp_path / "some.parquet"), "--labels", "answer"]
    result = CliRunner().invoke(app, [*words, "--window", "256", "--output", str(tmp_path / "scores.tsv")])
    assert result.exit_code == 0, result.output
    auroc, low, high = map(float, re.search(r"\nmodel +\d+ +\d+ +(\S+) \[(\S+), (\S+)\]", result.output).groups())
    assert low < auroc < high and 0.4 < auroc < 0.62
    assert ("not distinguishable from chance" in result.output) == (low <= 0.5 <= high)
