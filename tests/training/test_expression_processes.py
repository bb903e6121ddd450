"""Expression in two processes: a training step and predictions are those of one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from runs import as_flags
from safetensors.torch import load_file, save_file
from test_expression_training import expected_pieces, files  # noqa: F401
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from textgenome import HyenaDNAConfig, HyenaDNAModel, TextGenomeDNAConfig, TextGenomeDNAForSequenceClassification
from textgenome.data.expression import read_expression


pytestmark = pytest.mark.slow

HYENA = {"model_type": "hyenadna", "d_model": 16, "d_inner": 16, "n_layer": 1}
HEAD = {"pooling": "tower", "combine": "mean", "problem_type": "regression", "id2label": {0: "expression"}}


def gradients(batch, wrap=lambda model: model):
    """The gradients of a step with the statistics of the norms fixed, and without dropout."""
    torch.manual_seed(0)
    config = TextGenomeDNAConfig(dna_config=HYENA, **HEAD, pair_loss=0.3, classifier_dropout=0.0)
    model = TextGenomeDNAForSequenceClassification(config).train()
    model.model.requires_grad_(False)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eval()
    wrapped = wrap(model)  # its hooks are gone with it
    wrapped(**batch).loss.backward()
    return {name: each.grad for name, each in model.named_parameters() if each.grad is not None}


def make_batch():
    """Two genes of four people each."""
    generator = torch.Generator().manual_seed(1)
    return {
        "labels": torch.randn(8, generator=generator),
        "groups": torch.tensor([0] * 4 + [1] * 4),
        "dna_windows": torch.randint(0, 3, (8, 2), generator=generator) + torch.tensor([[0]] * 4 + [[3]] * 4),
        "dna_features": torch.randn(6, 160, 16, generator=generator),
    }


def step(number, folder):
    """What each process does with its half of the batch."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=number, world_size=2)
    batch = make_batch()
    half = {name: batch[name][4 * number : 4 * number + 4] for name in ("labels", "groups", "dna_windows")}
    half["dna_windows"] = half["dna_windows"] - 3 * number
    half["dna_features"] = batch["dna_features"][3 * number : 3 * number + 3]
    found = gradients(half, DistributedDataParallel)
    if number == 0:
        save_file(found, Path(folder) / "gradients.safetensors")
    distributed.destroy_process_group()


def test_a_step_of_two_processes_is_that_of_one(tmp_path):
    multiprocessing.spawn(step, (str(tmp_path),), nprocs=2)
    expected = gradients(make_batch())
    found = load_file(tmp_path / "gradients.safetensors")
    assert found.keys() == expected.keys() and any(each.abs().max() > 1e-3 for each in expected.values())
    for name, each in expected.items():
        torch.testing.assert_close(found[name], each, atol=1e-4, rtol=1e-4)


def test_two_processes_train_and_predict_what_one_predicts(files, tmp_path):  # noqa: F811
    named = {name: each for name, each in files.items() if name != "folder"}
    settings = {
        "task": "expression",
        "window": 1024,
        "state_bin": 4,
        "max_steps": 2,
        "use_cpu": True,
        "logging_steps": 1,
    }
    settings |= {"dna_config": json.dumps({**HYENA, "max_seq_len": 256}), "per_device_train_batch_size": 32}
    settings |= {"output_dir": tmp_path / "out", "gradient_accumulation_steps": 1, "save_strategy": "no"}
    torchrun = [Path(sys.executable).parent / "torchrun", "--standalone", "--nproc_per_node", "2"]
    run = [*torchrun, "train_dna.py", *as_flags({**named, **settings})]
    subprocess.run(list(map(str, run)), cwd=ROOT, check=True, timeout=300)
    metrics = json.loads((tmp_path / "out" / "evaluation" / "metrics.json").read_text())
    assert metrics["grid"]["seen_genes_new_people"]["genes"] == 6

    flags = {"model": tmp_path / "out", "vcf": files["vcf"], "fasta": files["fasta"]}
    commands = {"one": [sys.executable], "two": torchrun}
    for name, command in commands.items():
        output = as_flags({**flags, "output": tmp_path / f"{name}.tsv"})
        run = [*command, "-m", "textgenome.commands", "predict", *output]
        subprocess.run(list(map(str, run)), cwd=tmp_path, check=True, timeout=300)
    rows = [(tmp_path / f"{name}.tsv").read_text().splitlines()[1:] for name in commands]
    values = [torch.tensor([float(line.split("\t")[2]) for line in each]) for each in rows]
    assert len(values[0]) == 6 * 60
    torch.testing.assert_close(*values)


def test_two_processes_encode_each_distinct_piece_once(files, tmp_path):  # noqa: F811
    torch.manual_seed(0)
    config = HyenaDNAConfig(**{name: each for name, each in HYENA.items() if name != "model_type"}, max_seq_len=256)
    HyenaDNAModel(config).save_pretrained(tmp_path / "encoder")
    sources = {name: files[name] for name in ("fasta", "vcf", "expression")} | {"window": 1024, "state_bin": 4}
    torchrun = [Path(sys.executable).parent / "torchrun", "--standalone", "--nproc_per_node", "2"]
    run = [*torchrun, "-m", "textgenome.commands", "embed", tmp_path / "encoder", *as_flags(sources)]
    subprocess.run(list(map(str, [*run, "--output", tmp_path / "states"])), cwd=tmp_path, check=True, timeout=300)
    written = [set(load_file(path)) for path in (tmp_path / "states").rglob("*.safetensors")]
    genes = read_expression(files["expression"]).genes
    assert len(written) == 2 and not written[0] & written[1], "each process writes what falls to it"
    assert sum(map(len, written)) == expected_pieces(files, genes)
    assert 0.3 < len(written[0]) / sum(map(len, written)) < 0.7
