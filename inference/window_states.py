"""What a frozen DNA encoder makes of windows: in pieces that it can read, each distinct one encoded once."""

from collections.abc import Iterable
from functools import lru_cache
from math import lcm
from pathlib import Path

import torch
from accelerate import PartialState
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from textgenome.configuration.configuration_textgenome import bases_per_state
from textgenome.data.haplotypes import Haplotype
from textgenome.data.sequences import LONGEST_TILE
from textgenome.genome.progress import Progress
from textgenome.inference.embedding import BATCH_BASES, batches
from textgenome.inference.feature_cache import FeatureCache
from textgenome.modeling_heads import states_to_bases
from textgenome.processing.processing_dna import longest_token, token_spans, tokenize_dna


ENCODED_AT_A_TIME = 1024  # pieces, which are sorted by their length
IN_MEMORY = 2 * 2**30  # bytes of windows that are kept beside the files


class BinnedCache(FeatureCache):
    """A cache of states that are averaged over bins of bases, in a folder for each size of the bins.

    Args:
        model: See `FeatureCache`, like the following two.
        folder: Where to keep them.
        max_bytes: Most bytes of files in it.
        state_bin: Bases of a bin; None keeps the states that the encoder gives.
        span_of: `(vocabulary,)`, int64: how many bases each token covers.
    """

    def __init__(self, model, folder: str | Path, max_bytes: float, state_bin: int | None, span_of: torch.Tensor):
        self.state_bin, self.span_of = state_bin, span_of
        super().__init__(model, Path(folder) / f"bins_of_{state_bin or 'states'}", max_bytes)

    def compute(self, input_ids, attention_mask):
        rows = super().compute(input_ids, attention_mask)
        if self.state_bin is None:
            return rows
        step = bases_per_state(self.model.config.dna_config)
        spans = self.span_of.to(input_ids.device)[input_ids] * attention_mask
        return [
            states_to_bases(row[None].float(), span[None, ::step][:, : len(row)] * step, self.state_bin)[0]
            for row, span in zip(rows, spans)
        ]


class WindowStates:
    """The states of windows, averaged over bins, `(states, width)` each.

    Windows that are longer than the encoder reads are cut into pieces of one length. A piece that several windows have
    is encoded once, and read from the folder after that, also by other runs and processes.

    Args:
        model: With an encoder, which must be frozen.
        dna_tokenizer: Of the encoder.
        folder: Where to keep the states.
        state_bin: Bases of a state; by default states are kept as the encoder gives them.
        indels: Whether windows are shorter or longer than the reference: then states are kept for each base, brought
            to the bases of the reference, and averaged after that.
        max_bytes: Most bytes of files in the folder.
        batch_bases: Tokens that are encoded at a time, padding included.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        dna_tokenizer: PreTrainedTokenizerBase,
        folder: str | Path,
        state_bin: int | None = None,
        indels: bool = False,
        max_bytes: float = 100e9,
        batch_bases: int = BATCH_BASES,
    ):
        self.tokenizer, self.state_bin, self.indels = dna_tokenizer, state_bin, indels
        self.batch_bases = batch_bases
        cells = dna_tokenizer.convert_ids_to_tokens(range(len(dna_tokenizer)))
        span_of = torch.tensor([len(token) if set(token) <= set("ACGTN") else 0 for token in cells])
        self.cache = BinnedCache(model, folder, max_bytes, 1 if indels else state_bin, span_of)
        self.device = next(model.parameters()).device
        self.piece = piece_length(dna_tokenizer, state_bin or 1)
        self.kept = None

    def encode(self, windows: Iterable[Haplotype]) -> None:
        """Encode what is not known yet of some windows. To be called by all processes, which share the work."""
        state, seen, share = PartialState(), set(), []
        for window in Progress(windows, desc="Encoding windows", unit="window"):
            for ids in map(self.tokenize, self.pieces(window.sequence)):
                name = self.cache.name(torch.tensor(ids), self.device)
                if name in seen or name in self.cache.entries:
                    continue
                seen.add(name)
                # Whose it is must not depend on what is known: other runs may write while this one reads.
                if int(name[:8], 16) % state.num_processes == state.process_index:
                    share.append(ids)
                if len(share) == ENCODED_AT_A_TIME:
                    self._encode(share)
                    share = []
        self._encode(share)
        self.cache.write()
        state.wait_for_everyone()
        self.cache.open_shards()

    def _encode(self, rows: list[list[int]]) -> None:
        for batch in batches([len(row) for row in rows], self.batch_bases):
            self.look_up([rows[place] for place in batch])

    @torch.no_grad()
    def look_up(self, rows: list[list[int]]) -> torch.Tensor:
        """The states of tokenized pieces, `(pieces, states, width)`, of the cache or else of the encoder."""
        ids = pad_sequence([torch.tensor(row) for row in rows], batch_first=True).to(self.device)
        lengths = torch.tensor([len(row) for row in rows], device=self.device)
        mask = torch.arange(ids.shape[1], device=self.device) < lengths[:, None]
        return self.cache.encode_dna(ids, mask.long())

    def pieces(self, sequence: str) -> list[str]:
        return [sequence[start : start + self.piece] for start in range(0, len(sequence), self.piece)]

    def tokenize(self, piece: str) -> list[int]:
        return tokenize_dna(self.tokenizer, [piece])[0][0]

    def __call__(self, haplotype: Haplotype) -> torch.Tensor:
        """The states of a window, on the CPU; those that were asked for last stay in memory."""
        if self.kept is None:
            states = self._read(haplotype.sequence)
            self.kept = lru_cache(maxsize=max(1, IN_MEMORY // states.nbytes))(self._read)
        states = self.kept(haplotype.sequence)
        if not self.indels:
            return states
        on_reference = states[torch.from_numpy(haplotype.places)]
        spans = torch.ones(1, len(on_reference), dtype=torch.long)
        return states_to_bases(on_reference[None], spans, self.state_bin or 1)[0]

    def _read(self, sequence: str) -> torch.Tensor:
        return torch.cat([self.look_up([self.tokenize(piece)])[0].cpu() for piece in self.pieces(sequence)])


class WindowTokens:
    """Tokens of windows, for an encoder that is trained: `dna_input_ids` and `dna_spans`, `(tokens,)` each."""

    def __init__(self, dna_tokenizer: PreTrainedTokenizerBase):
        self.tokenizer = dna_tokenizer

    def __call__(self, haplotype: Haplotype) -> tuple[torch.Tensor, torch.Tensor]:
        ids, offsets = tokenize_dna(self.tokenizer, [haplotype.sequence], offsets=True)
        return torch.tensor(ids[0]), torch.tensor(token_spans(offsets[0]))


def piece_length(dna_tokenizer: PreTrainedTokenizerBase, state_bin: int) -> int:
    """Most bases that an encoder reads at a time, in whole bins and whole tokens."""
    several = longest_token(dna_tokenizer)
    tokens = dna_tokenizer.model_max_length
    # A tokenizer of several bases adds a token, and what is left over at the end is single bases.
    reads = LONGEST_TILE if tokens >= 2**31 else tokens if several == 1 else (tokens - 2) * several
    unit = lcm(several, state_bin)
    if reads < unit:
        raise ValueError(f"A state of {state_bin} bases is longer than what the encoder reads, {reads}.")
    return reads // unit * unit


__all__ = ["WindowStates", "WindowTokens"]
