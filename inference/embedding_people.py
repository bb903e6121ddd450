"""Encoding the windows that people have around genes ahead of training, on other machines or by many jobs."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from accelerate.utils import gather_object

from textgenome.data.expression import choose_people, read_expression
from textgenome.data.expression_windows import open_windows
from textgenome.genome.vcf import open_vcf
from textgenome.inference.embedding import BATCH_BASES
from textgenome.inference.encoders import open_encoder
from textgenome.inference.predictions import join_processes
from textgenome.inference.window_states import WindowStates


def embed_people(
    model: str,
    output: str | Path,
    expression: str | Path,
    vcf: str | Path,
    fasta: str | Path,
    window: int,
    state_bin: int | None = None,
    indels: bool = False,
    unphased: str | None = None,
    shard: tuple[int, int] = (1, 1),
    features: Mapping | None = None,
    batch_bases: int = BATCH_BASES,
    cache_gb: float = 100,
    revision: str = "main",
    dtype: str = "auto",
) -> tuple[int, int]:
    """Encode the distinct windows of people around the starts of genes, as the task `expression` reads them.

    The same call goes on with a run that was stopped. Processes under `accelerate launch` share the windows, jobs that
    write to one folder, or to folders whose files are put together later, the genes.

    Args:
        model: Folder or Hub id, see `open_encoder`.
        output: A folder, which `--dna_cache_dir` then names; see `FeatureCache`.
        expression: Genes and people, see `read_expression`.
        vcf: Phased genotypes.
        fasta: The genome.
        window: Bases around the start of a gene.
        state_bin: Average states over so many bases.
        indels: See `HaplotypeReader`.
        unphased: See `read_genotypes`.
        shard: `(i, n)`: of the genes the i-th, from 1, and each n-th after it.
        features: `dna_feature_layer`, `dna_feature_module`, `both_strands`; by default as in the model.
        batch_bases: Tokens that are encoded at a time, padding included.
        cache_gb: Most GB of files in `output`.
        revision: Of a model on the Hub.
        dtype: Data type of the weights.

    Returns:
        How many windows there are, and how many distinct inputs were encoded, in all processes.

    Raises:
        ValueError: If the files do not fit together, or there are fewer genes than shares.
    """
    state = join_processes()
    read = read_expression(expression)
    with open_vcf(vcf) as file:
        chosen, _ = choose_people(read, file.samples, None)
    number, count = shard
    if not 1 <= number <= count <= len(chosen.genes):
        raise ValueError(f"There is no share {number} of {count} of {len(chosen.genes)} genes.")
    mine = slice(number - 1, None, count)
    chosen = replace(chosen, genes=chosen.genes[mine], values=chosen.values[mine])
    with state.main_process_first():  # it may have to write the index of the genome
        chosen, windows = open_windows(chosen, fasta, vcf, window, indels, unphased)
    checkpoint = open_encoder(model, revision)
    encoder = checkpoint.load(dtype, **(features or {})).to(state.device)
    options = {"state_bin": state_bin, "indels": indels, "max_bytes": cache_gb * 1e9, "batch_bases": batch_bases}
    states = WindowStates(encoder, checkpoint.dna_tokenizer, output, **options)
    states.encode(windows.haplotypes())
    encoded = gather_object([states.cache.num_encoded]) if state.num_processes > 1 else [states.cache.num_encoded]
    distinct = sum(len(np.unique(windows[number].index)) for number in range(len(chosen.genes)))
    return distinct, sum(encoded)


__all__ = ["embed_people"]
