"""Embeddings: what a DNA encoder makes of sequences, pooled to a vector each or as they are."""

from collections.abc import Generator, Iterable, Iterator, Sequence

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

from textgenome.configuration.configuration_textgenome import bases_per_state
from textgenome.data.sequences import Tiling
from textgenome.inference.encoders import as_encoder, encoding_mode, tokenizer_of
from textgenome.modeling_heads import pool_states
from textgenome.modeling_textgenome_dna import TextGenomeDNAModel
from textgenome.processing.processing_dna import BASES, normalize_dna, token_spans, tokenize_dna


POOLINGS = ("mean", "max", "min", "last", "none")
BATCH_BASES = 65_536


def embed(
    model: PreTrainedModel,
    processor_or_tokenizer: ProcessorMixin | PreTrainedTokenizerBase,
    sequences: str | Sequence[str],
    pooling: str = "mean",
    batch_bases: int = BATCH_BASES,
    tile: int | None = None,
    **features,
) -> torch.Tensor | list[torch.Tensor]:
    """Embed DNA sequences by any DNA encoder. What is returned does not depend on padding or on the batch.

    States are pooled in float32. States of tokens that the tokenizer adds, such as `<cls>`, are left out. A sequence
    that is longer than the encoder reads is cut into tiles of about the same length, which are pooled together.

    Args:
        model: A model of textgenome, whose DNA encoder is used, or any DNA encoder, with its head or without.
        processor_or_tokenizer: Its processor or DNA tokenizer.
        sequences: DNA, a sequence or several.
        pooling: `mean` over bases: states that cover several bases count as often; `max` or `min` of each channel;
            `last`, the state of the last base; `none`, all states.
        batch_bases: Most bases that are encoded at a time, padding included; at least one tile is.
        tile: Most bases of a tile, by default as many as the encoder reads.
        features: `dna_feature_layer`, `dna_feature_module` and `both_strands` as in `TextGenomeDNAConfig`; by default
            as in the model.

    Returns:
        `(sequences, width)`, float32, on the CPU; without pooling a list of `(states, width)`.

    Raises:
        ValueError: If there is no such pooling, the encoder has no such features, or a sequence is not DNA; the
            message names the sequence.
    """
    check_pooling(pooling)
    dna_tokenizer = tokenizer_of(processor_or_tokenizer)
    encoder = as_encoder(model, dna_tokenizer, **features)
    given = [sequences] if isinstance(sequences, str) else list(sequences)
    if not given:
        raise ValueError("No sequences to embed.")
    folded = []
    for i, sequence in enumerate(given):
        try:
            folded.append(normalize_dna(sequence))
        except ValueError as error:
            raise ValueError(f"Sequence {i}: {error}") from error
    tiling = Tiling(dna_tokenizer, bases_per_state(encoder.config.dna_config), tile)
    steps = embedding_steps(encoder, dna_tokenizer, folded, tiling, pooling, batch_bases)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value if pooling == "none" else torch.stack(end.value)


def embedding_steps(
    encoder: TextGenomeDNAModel,
    dna_tokenizer: PreTrainedTokenizerBase,
    sequences: list[str],
    tiling: Tiling,
    pooling: str = "mean",
    batch_bases: int = BATCH_BASES,
) -> Generator[None, None, list[torch.Tensor]]:
    """Embed sequences in the letters A, C, G, T and N, a batch at each step; see `embed`.

    Returns:
        Of each sequence its vector or, without pooling, its states, on the CPU.
    """
    tiles = [(i, start, end) for i, sequence in enumerate(sequences) for start, end in tiling(sequence)]
    found = {}
    for batch in batches([end - start for _, start, end in tiles], batch_bases):
        letters = [sequences[i][start:end] for i, start, end in (tiles[n] for n in batch)]
        with encoding_mode(encoder):  # not over the `yield`: others may use the encoder there
            found |= zip(batch, embed_batch(encoder, dna_tokenizer, letters, pooling))
        yield
    parts: list[list] = [[] for _ in sequences]
    for n, (i, start, end) in enumerate(tiles):
        parts[i].append((found[n][0], end - start))
    return [join_tiles(part, pooling) for part in parts]


def check_pooling(pooling: str) -> None:
    if pooling not in POOLINGS:
        raise ValueError(f"There is no pooling {pooling!r}: choose from {', '.join(POOLINGS)}.")


def batches(lengths: Sequence[int], batch_bases: int) -> Iterator[list[int]]:
    """Places of sequences that are encoded together, the longest first: together at most so many bases, padding
    included, or one."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > batch_bases:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


@torch.no_grad()
def encode_batch(
    encoder: TextGenomeDNAModel, dna_tokenizer: PreTrainedTokenizerBase, sequences: list[str]
) -> tuple[torch.Tensor, torch.LongTensor]:
    """States of sequences that the encoder reads whole, equal ones encoded once.

    Args:
        encoder: In evaluation mode.
        dna_tokenizer: Its tokenizer.
        sequences: In the letters A, C, G, T and N.

    Returns:
        States `(sequences, states, width)`, and how many bases each of them covers, `(sequences, states)`: 0 for
        padding and tokens that the tokenizer adds.
    """
    encoded, offsets = tokenize_dna(dna_tokenizer, sequences, offsets=dna_tokenizer.is_fast)
    spans = list(map(token_spans, offsets)) if offsets else [bases_of(ids, dna_tokenizer) for ids in encoded]
    padding = dna_tokenizer.pad_token_id or 0
    ids, mask, spans = (
        pad_sequence(list(map(torch.tensor, rows)), batch_first=True, padding_value=value)[:, None].to(encoder.device)
        for rows, value in ((encoded, padding), ([[1] * len(ids) for ids in encoded], 0), (spans, 0))
    )
    outputs = encoder(dna_input_ids=ids, dna_attention_mask=mask, dna_spans=spans)
    return outputs.last_hidden_state[:, 0], outputs.state_spans[:, 0]


def bases_of(ids: list[int], dna_tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """How many bases each token covers, of a tokenizer written in Python, which does not tell: as many as its text
    has, 0 for special tokens, 1 for the unknown one."""
    special = set(dna_tokenizer.all_special_ids) - {dna_tokenizer.unk_token_id}
    tokens = zip(ids, dna_tokenizer.convert_ids_to_tokens(ids))
    return [0 if i in special else max(1, sum(letter in BASES for letter in text.upper())) for i, text in tokens]


def embed_batch(
    encoder: TextGenomeDNAModel, dna_tokenizer: PreTrainedTokenizerBase, sequences: list[str], pooling: str
) -> list[tuple[torch.Tensor, torch.LongTensor]]:
    """What `encode_batch` gives for each sequence, pooled: vectors `(width,)` or, without pooling, `(states, width)`,
    float32 on the CPU, and the bases of each state."""
    states, spans = encode_batch(encoder, dna_tokenizer, sequences)
    if pooling == "none":
        return [(row[own > 0].float().cpu(), own[own > 0].cpu()) for row, own in zip(states, spans)]
    if pooling == "mean":
        shares = spans / spans.sum(-1, keepdim=True)
        pooled = (states.float() * shares[..., None]).sum(1)
    else:
        pooled = pool_states(states, spans > 0, pooling)
    return list(zip(pooled.cpu(), spans.cpu()))


def join_tiles(tiles: Iterable[tuple[torch.Tensor, int]], pooling: str) -> torch.Tensor:
    """What a sequence is, of what each of its tiles is, in their order, and of the bases of each; one after the other,
    so that there may be any number."""
    total, joined, states = 0, None, []
    for value, bases in tiles:
        if pooling == "none":
            states.append(value)
        elif pooling == "mean":
            joined = value.double() * bases if joined is None else joined + value.double() * bases
            total += bases
        elif pooling == "last" or joined is None:
            joined = value
        else:
            joined = torch.maximum(joined, value) if pooling == "max" else torch.minimum(joined, value)
    if pooling == "none":
        return torch.cat(states)
    return (joined / total).float() if pooling == "mean" else joined


__all__ = [
    "BATCH_BASES",
    "POOLINGS",
    "batches",
    "check_pooling",
    "embed",
    "embed_batch",
    "embedding_steps",
    "encode_batch",
    "join_tiles",
]
