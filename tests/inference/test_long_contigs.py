"""`textgenome predict` along a contig that is long, and mostly without letters."""

import signal
import subprocess
import sys
import time

import pytest
from conftest import random_dna

from textgenome import TextGenomeDNAConfig, TextGenomeDNAForTokenClassification, TextGenomeDNAProcessor
from textgenome.processing import build_dna_tokenizer


pytestmark = pytest.mark.slow

PREDICT = """
import resource, sys
from textgenome.inference.predicting import predict
predict(sys.argv[1], sys.argv[3], fasta=sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
BEFORE = 30_000_000


@pytest.fixture
def folder(tmp_path):
    """A model, a contig of letters, and one of 50 Mb that has them in the middle."""
    config = TextGenomeDNAConfig(
        dna_config={"model_type": "kmers", "lengths": [4], "initializer_range": 3.0},
        id2label={0: "CDS"},
        pooling="mean",
    )
    TextGenomeDNAForTokenClassification(config).save_pretrained(tmp_path / "model")
    TextGenomeDNAProcessor(build_dna_tokenizer("enformer"), 4096).save_pretrained(tmp_path / "model")
    letters = random_dna(200_000)
    (tmp_path / "short.fa").write_text(f">c\n{letters}\n")
    (tmp_path / "long.fa").write_text(f">c\n{'N' * BEFORE}{letters}{'N' * (50_000_000 - BEFORE - len(letters))}\n")
    return tmp_path


def start(folder, name):
    command = [sys.executable, "-c", PREDICT, "model", f"{name}.fa", f"{name}.bed"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)


def test_memory_is_flat_and_a_killed_run_goes_on(folder):
    killed = start(folder, "long")
    parts = folder / "long.bed.parts"
    while len(list(parts.glob("*.safetensors"))) < 20:
        assert killed.poll() is None
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    kept = {path.name: path.stat().st_mtime_ns for path in parts.glob("*.safetensors")}
    assert 20 <= len(kept) < 96 and not (folder / "long.bed").exists()

    runs = {name: start(folder, name) for name in ("short", "long")}
    peaks = {name: int(run.communicate(timeout=300)[0].split()[-1]) for name, run in runs.items()}
    assert abs(peaks["long"] - peaks["short"]) < 50_000  # of about 500,000 kB
    lines = {name: (folder / f"{name}.bed").read_text().splitlines() for name in runs}
    short = [line.split("\t") for line in lines["short"]]
    moved = ["\t".join(["c", str(int(a) + BEFORE), str(int(b) + BEFORE), *rest]) for _, a, b, *rest in short]
    assert lines["long"] == moved and len(moved) > 1000
