"""Labels and signals along a genome in two processes: a training step, metrics and predictions are those of one."""

import json
import subprocess
import sys

import pytest
import torch
from conftest import ROOT
from runs import QUICK, as_flags
from safetensors.torch import load_file
from test_track_training import ENCODER, beds  # noqa: F401

from textgenome.genome.bigwig import BigWig
from textgenome.inference.predicting import predict
from textgenome.training import dna


pytestmark = pytest.mark.slow

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
SMALL = {"model_type": "kmers", "hidden_size": 8, "lengths": [1, 3]}
TASKS = {
    "annotation": {"labels": "CDS", "dna_config": SMALL, "base_head": "cnn", "cnn_channels": 8, "output": "o.bed"},
    # The other heads have batch norms, of which each process would see the statistics of its own rows.
    "tracks": {"tracks": "tracks.tsv", "dna_config": ENCODER, "track_head": "linear", "output": "o.bw"},
}


def run(command, folder):
    result = subprocess.run([*TORCHRUN, *map(str, command)], cwd=folder, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("task", TASKS)
def test_two_processes_do_what_one_does(starter_genome, beds, task):  # noqa: F811
    named = dict(TASKS[task])
    output = named.pop("output")
    named |= {"task": task, "fasta": starter_genome / "genome.fa", "gtf": starter_genome / "genes.gtf"}
    named |= {"regions": beds / "train.bed", "test_regions": beds / "test.bed", "dna_window": 1024, "max_steps": 1}
    named |= {"dna_config": json.dumps(named["dna_config"]), "freeze_dna_encoder": task == "tracks", "optim": "sgd"}
    named |= {"learning_rate": 0.1, "classifier_dropout": 0, "validation_share": 0.3}
    named |= {"tracks": starter_genome / "tracks.tsv"} if task == "tracks" else {}
    settings = QUICK | named | {"lr_scheduler_type": "constant", "warmup_steps": 0, "save_strategy": "steps"}

    two = as_flags({**settings, "output_dir": beds / "two", "per_device_train_batch_size": 2})
    run(["train_dna.py", *two], ROOT)
    dna.main(as_flags({**settings, "output_dir": beds / "one", "per_device_train_batch_size": 4, "do_eval": False}))
    weights = [load_file(beds / name / "model.safetensors") for name in ("one", "two")]
    for name, each in weights[0].items():
        torch.testing.assert_close(weights[1][name], each, atol=1e-4, rtol=1e-4)

    path = beds / "two" / "evaluation" / "metrics.json"
    metrics = json.loads(path.read_text())
    path.unlink()
    dna.main([*two, "--allow_change", "devices"])  # the run is finished, so this only measures
    again = json.loads(path.read_text())
    for name, condition in metrics["conditions"].items():
        found = again["conditions"][name]
        assert {key: condition[key] for key in metrics["metrics"] if key in condition} == pytest.approx(
            {key: found[key] for key in metrics["metrics"] if key in found}, abs=1e-5, nan_ok=True
        ), name

    places = {"fasta": starter_genome / "genome.fa", "bed": beds / "test.bed"}
    flags = as_flags({"model": beds / "two", "output": beds / output, **places})
    run(["-m", "textgenome.commands", "predict", *flags], beds)
    predict(str(beds / "two"), beds / f"alone.{output}", **places)
    written = sorted(beds.glob("o.*"))
    assert written
    for each in written:
        alone = beds / f"alone.{each.name}"
        if task == "tracks":
            contig, start, end = (beds / "test.bed").read_text().split()[:3]
            found = [BigWig(path).read(contig, int(start), int(end)) for path in (each, alone)]
            torch.testing.assert_close(*map(torch.from_numpy, found))
        else:
            assert each.read_text() == alone.read_text()
