"""What generated DNA is compared with: a Markov model, and the nearest stretch of known sequences."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from textgenome.data.sequences import reverse_complement
from textgenome.genome.progress import Progress


K = 48  # as long as a stretch that occurs in a genome once only, with room for changes
SEED = 11
CHUNK = 2**20
_CODES = bytes.maketrans(b"ACGTN", bytes(range(5)))
_N = 4


class MarkovModel:
    """Probabilities of each base after the `order` bases before it, fitted by counting.

    Every base is counted once more than it is found (Laplace), so that none is impossible.

    Args:
        order: How many bases are looked back at.
    """

    def __init__(self, order: int = 5):
        self.order = order
        self.counts = np.ones((4**order, 4), dtype=np.int64)

    def fit(self, sequences: Iterable) -> "MarkovModel":
        """Count sequences, or what gives them in slices, in the letters A, C, G, T and N."""
        for sequence in sequences:
            for chunk in _chunks(sequence, self.order):
                words = _words(_encode(chunk), self.order + 1)
                self.counts += np.bincount(words[words >= 0], minlength=self.counts.size).reshape(self.counts.shape)
        return self

    def bits_per_base(self, prompts: Sequence[str], sequences: Sequence[str]) -> np.ndarray:
        """Mean over the bases of each sequence that follows a prompt, in bits, `(sequences,)`.

        NaN where none follows enough known bases.
        """
        bits = -np.log2(self.counts / self.counts.sum(axis=1, keepdims=True)).reshape(-1)
        means = []
        for prompt, sequence in zip(prompts, sequences, strict=True):
            context = prompt[max(len(prompt) - self.order, 0) :]
            words = _words(_encode(context + sequence), self.order + 1)
            means.append(bits[words[words >= 0]].mean() if (words >= 0).any() else np.nan)
        return np.array(means)


def nearest_identity(sequences: Sequence[str], known: Iterable) -> np.ndarray:
    """The share of equal bases between any 48 bases in a row of each sequence and the nearest 48 of known ones.

    Places are compared that have 11 bases in a row in common, on either strand: all with at most three differences are
    found. Generated DNA of about 0.6 is like random DNA; 1 is a copy.

    Args:
        sequences: In the letters A, C, G, T and N.
        known: Sequences, or what gives them in slices.

    Returns:
        `(sequences,)`, NaN for those shorter than 48 bases, 0 where no place has 11 bases in common.
    """
    queries = [(i, _encode(strand)) for i, one in enumerate(sequences) for strand in (one, reverse_complement(one))]
    found = np.array([0.0 if len(one) >= K else np.nan for one in sequences])
    flank = max(map(len, sequences), default=0)
    seeds = [_words(query, SEED) for _, query in queries]
    wanted = np.zeros(4**SEED, bool)
    wanted[np.concatenate([words[words >= 0] for words in seeds])] = True
    for chunk in _joined(chunk for sequence in known for chunk in _chunks(sequence, 2 * flank)):
        codes = np.pad(_encode(chunk), flank, constant_values=_N)
        words = _words(codes, SEED)
        places = np.flatnonzero((words >= 0) & wanted[words])
        order = np.argsort(words[places], kind="stable")
        places, words = places[order], words[places][order]
        for (i, query), own in zip(queries, seeds):
            if len(query) >= K:
                found[i] = max(found[i], _best(query, own, codes, places, words))
    return found


def _joined(chunks: Iterable[str]) -> Iterator[str]:
    """Short chunks together, with an N between: what is compared does not reach over it."""
    together, bases = [], 0
    for chunk in chunks:
        together.append(chunk)
        bases += len(chunk)
        if bases >= CHUNK:
            yield "N".join(together)
            together, bases = [], 0
    if together:
        yield "N".join(together)


def _best(query: np.ndarray, own: np.ndarray, codes: np.ndarray, places: np.ndarray, words: np.ndarray) -> float:
    """The best share of equal bases in 48 along the diagonals on which a query has a seed in common with `codes`."""
    first, last = np.searchsorted(words, own, "left"), np.searchsorted(words, own, "right")
    first, last = np.where(own < 0, 0, first), np.where(own < 0, 0, last)
    hits = [places[a:b] - position for position, (a, b) in enumerate(zip(first, last)) if a < b]
    best = 0
    starts = np.unique(np.concatenate(hits)) if hits else np.empty(0, int)
    starts = starts[(starts >= 0) & (starts + len(query) <= len(codes))]
    for some in np.array_split(starts, len(starts) // 4096 + 1):
        if len(some):
            equal = (codes[some[:, None] + np.arange(len(query))] == query) & (query < _N)
            passed = np.pad(equal.cumsum(axis=1), ((0, 0), (1, 0)))
            best = max(best, int((passed[:, K:] - passed[:, :-K]).max()))
    return best / K


def _chunks(sequence, overlap: int) -> Iterator[str]:
    starts = range(0, max(len(sequence), 1), CHUNK)
    for start in Progress(starts, desc="Reading the genome", unit="chunk", disable=len(starts) == 1):
        yield sequence[max(0, start - overlap) : start + CHUNK]


def _encode(sequence: str) -> np.ndarray:
    return np.frombuffer(sequence.encode().translate(_CODES), np.uint8)


def _words(codes: np.ndarray, length: int) -> np.ndarray:
    """The number of each word of so many bases, int64, -1 where it holds N."""
    if len(codes) < length:
        return np.empty(0, np.int64)
    words = np.zeros(len(codes) - length + 1, np.int64)
    for i in range(length):
        words = words * 4 + (codes[i : i + len(words)] % 4)
    words[(sliding_window_view(codes, length) == _N).any(axis=1)] = -1
    return words


__all__ = ["K", "MarkovModel", "nearest_identity"]
