"""Predicting what people express of genes."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from accelerate import PartialState
from transformers import PreTrainedModel

from textgenome.data.expression_rows import ExpressionCollator, load_genes
from textgenome.data.expression_windows import GeneWindows
from textgenome.data.files import refuse_unknown_table, write_table
from textgenome.data.haplotypes import HaplotypeReader
from textgenome.genome.genotypes import read_genotypes
from textgenome.genome.intervals import bare_contig
from textgenome.genome.progress import Progress
from textgenome.inference.checkpoints import Checkpoint, load_checkpoint
from textgenome.inference.generation import evaluation_mode
from textgenome.inference.predictions import join_processes
from textgenome.inference.requests import Request
from textgenome.inference.window_states import WindowStates, WindowTokens


CACHE = "dna_features"  # in the folder of a model


def write_expression(checkpoint: Checkpoint, request: Request) -> int | None:
    """Write a table with `gene`, `sample` and `prediction`, see `predict_expression`. Processes share the encoder's
    work.

    Returns:
        How many rows there are, on the main process.

    Raises:
        ValueError: If the genome or the genotypes are not given, or something else is.
    """
    if request.fasta is None or request.vcf is None or request.bed or request.dataset_name:
        raise ValueError(f"{checkpoint.name} predicts expression of people: give --vcf and --fasta, and nothing else.")
    refuse_unknown_table(request.output)
    state = join_processes()
    options = {"unphased": request.unphased, "batch_size": request.batch_size, "revision": checkpoint.revision}
    options |= {"samples": request.samples, "dtype": request.dtype, "cache_gb": request.cache_gb}
    is_folder = Path(checkpoint.name).is_dir()
    folder = request.cache_dir or (Path(checkpoint.name) / CACHE if is_folder else request.folder)
    rows = list(predict_expression(checkpoint.name, request.vcf, request.fasta, folder, **options))
    state.wait_for_everyone()
    if not state.is_main_process:
        return None
    write_table(rows, request.output)
    if folder == request.folder:
        shutil.rmtree(folder, ignore_errors=True)
    return len(rows)


def predict_expression(
    model: str | Path,
    vcf: str | Path,
    fasta: str | Path,
    cache_dir: str | Path | None = None,
    samples: Sequence[str] | None = None,
    unphased: str | None = None,
    batch_size: int = 64,
    revision: str | None = "main",
    dtype: str = "auto",
    cache_gb: float = 100,
) -> Iterator[dict]:
    """What people express of the genes that a model was made for, in the unit that it was trained in.

    Args:
        model: Output folder of a training run of the task `expression`, or what it was exported or pushed to.
        vcf: Phased genotypes of the people.
        fasta: The genome.
        cache_dir: Where to keep what the encoder makes of windows; by default `dna_features` in the folder of the
            model, which training has filled. It must be named for a model on the Hub; where the encoder was trained,
            none is used.
        samples: Names of the people, by default all of the file.
        unphased: See `read_genotypes`.
        batch_size: People at a time.
        revision: Of a model on the Hub.
        dtype: Data type of the encoder's weights.
        cache_gb: Most GB of files in `cache_dir`.

    Yields:
        `gene`, `sample` and `prediction`, gene by gene.

    Raises:
        FileNotFoundError: If the folder holds no genes, as that of a model of another task.
        ValueError: If the genome lacks a contig of a gene, or the files do not fit, see `HaplotypeReader`.
    """
    saved = load_genes(model, revision)
    network, processor = load_checkpoint(model, revision, dtype)
    network.to(PartialState().device)
    reader = HaplotypeReader(fasta, None, saved.indels)
    genes = [
        gene._replace(
            contig=reader.contigs.get(gene.contig) or reader.contigs.get(bare_contig(gene.contig), gene.contig)
        )
        for gene in saved.genes
    ]
    windows = GeneWindows(genes, reader, saved.window)
    reader.genotypes = read_genotypes(vcf, samples, map(windows.place, genes), unphased)
    if saved.trained_encoder:
        states = WindowTokens(processor.dna_tokenizer)
    else:
        folder, state_bin = cache_dir or Path(model) / CACHE, network.config.state_bin
        states = WindowStates(network, processor.dna_tokenizer, folder, state_bin, saved.indels, cache_gb * 1e9)
        states.encode(windows.haplotypes())
    collator = ExpressionCollator(windows, states, saved.means)
    for number, gene in enumerate(Progress(genes, desc="Predicting", unit="gene")):
        people = range(len(reader.genotypes.samples))
        predictions = predict_people(network, collator, number, people, batch_size)
        for sample, prediction in zip(reader.genotypes.samples, predictions.tolist()):
            yield {"gene": gene.name, "sample": sample, "prediction": prediction}


@torch.no_grad()
def predict_people(
    model: PreTrainedModel, collator: ExpressionCollator, gene: int, people: Sequence[int], batch_size: int = 64
) -> torch.Tensor:
    """What a model predicts for people at one gene, `(people,)`, float32, on the CPU.

    Args:
        model: The model.
        collator: Makes batches of its windows.
        gene: Its number.
        people: Their numbers; -1 is the reference.
        batch_size: People at a time.
    """
    found = []
    with evaluation_mode(model):
        for start in range(0, len(people), batch_size):
            batch = collator([{"gene": gene, "person": person} for person in people[start : start + batch_size]])
            batch = {name: each.to(model.device) for name, each in batch.items() if name not in ("labels", "groups")}
            found.append(model(**batch).logits[:, 0].float().cpu())
    return torch.cat(found)


__all__ = ["CACHE", "predict_expression", "predict_people", "write_expression"]
