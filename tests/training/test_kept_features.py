"""What a frozen encoder makes of windows along a genome is kept from one epoch to the next."""

import json

import pytest
from runs import QUICK, as_flags, log_of

from textgenome.modeling_hyenadna import HyenaDNAModel
from textgenome.training import dna


HYENA = {"model_type": "hyenadna", "d_model": 8, "d_inner": 8, "n_layer": 1, "max_seq_len": 512}
TASKS = {
    "tracks": {"tracks": "tracks.tsv", "reverse_complement": False, "target_scaling": "none"},
    "annotation": {"gtf": "genes.gtf", "labels": "CDS", "stranded": False, "validation_share": 0.3},
}


@pytest.fixture
def calls(monkeypatch):
    found, forward = [], HyenaDNAModel.forward

    def count(self, *args, **kwargs):
        found.append(1)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(HyenaDNAModel, "forward", count)
    return found


def train(genome, folder, task, **settings):
    (folder / "train.bed").write_text("chr1\t0\t2048\n")
    (folder / "test.bed").write_text("chr7\t4096\t4608\n")
    files = {name: genome / value if name in ("tracks", "gtf") else value for name, value in TASKS[task].items()}
    files |= {"fasta": genome / "genome.fa", "regions": folder / "train.bed", "test_regions": folder / "test.bed"}
    named = {"task": task, **files, "dna_config": json.dumps(HYENA), "dna_window": 512, "do_eval": False}
    named |= {**QUICK, "per_device_train_batch_size": 1, "max_steps": -1, "num_train_epochs": 3}
    dna.main(as_flags({**named, "save_strategy": "epoch", "output_dir": folder / "out", **settings}))


@pytest.mark.parametrize("task", TASKS)
def test_a_second_epoch_does_not_call_the_encoder(starter_genome, tmp_path, calls, task):
    courses = []
    for run, gigabytes in (("kept", 1), ("plain", 0)):
        calls.clear()
        out = tmp_path / run
        train(starter_genome, tmp_path, task, output_dir=out, dna_cache_gb=gigabytes)
        (checkpoint,) = (
            path
            for path in out.glob("checkpoint-*")
            if json.loads((path / "trainer_state.json").read_text())["epoch"] == 3
        )
        log = [entry for entry in log_of(checkpoint) if "loss" in entry]
        courses.append([entry["loss"] for entry in log])
        assert len(calls) == (len(log) // 3 if gigabytes else len(log)) and len(log) >= 6
        assert (out / "dna_features").exists() == bool(gigabytes)
        assert all(entry["bases_per_second"] > 0 for entry in log)
        assert json.loads((out / "train_results.json").read_text())["train_bases_per_second"] > 0
    assert courses[0] == pytest.approx(courses[1], abs=1e-5)


def test_windows_that_are_moved_are_read_anew(starter_genome, tmp_path, calls):
    train(starter_genome, tmp_path, "tracks", shift=100, num_train_epochs=2)
    assert len(calls) == 8 and not (tmp_path / "out" / "dna_features").exists()
