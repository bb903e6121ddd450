"""What signals along DNA can be predicted from without a network: their mean, composition, and short words."""

from itertools import product

import numpy as np


LENGTHS = (2, 3)  # of the words that are counted
SCALES = (1, 8, 64)  # bins around each, over which shares are taken
FINEST = 32  # bases: finer bins share their features
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1, 10)  # of the ridge, by the number of bins
EVERY = 5  # every so many training regions choose the penalty
WORDS = ["".join(letters) for length in LENGTHS for letters in product("ACGT", repeat=length)]


def word_shares(sequence: str, bins: int, step: int) -> np.ndarray:
    """The share of each word among those that start in the bases around each bin, at each scale.

    Args:
        sequence: In the letters A, C, G, T and N.
        bins: How many there are.
        step: Bases of each.

    Returns:
        `(bins, scales * words)`; words with an N count as none.
    """
    table = np.full(256, -1, dtype=np.int64)
    table[[*b"ACGT"]] = range(4)
    bases = table[np.frombuffer(sequence.encode(), dtype=np.uint8)]
    counts = np.concatenate([_count_words(bases, length, bins, step) for length in LENGTHS], axis=1)
    totals = np.concatenate([np.zeros((1, counts.shape[1])), counts.cumsum(axis=0)])
    places = np.arange(bins)
    found = []
    for scale in SCALES:
        first, last = np.maximum(places - scale // 2, 0), np.minimum(places - scale // 2 + scale, bins)
        found.append((totals[last] - totals[first]) / ((last - first) * step)[:, None])
    return np.concatenate(found, axis=1)


def _count_words(bases: np.ndarray, length: int, bins: int, step: int) -> np.ndarray:
    starts = np.arange(len(bases) - length + 1)
    codes, known = np.zeros(len(starts), dtype=np.int64), np.ones(len(starts), dtype=bool)
    for offset in range(length):
        letters = bases[offset : offset + len(starts)]
        codes, known = codes * 4 + letters, known & (letters >= 0)
    words = 4**length
    places = (starts[known] // step) * words + codes[known]
    return np.bincount(places, minlength=bins * words)[: bins * words].reshape(bins, words).astype(float)


def composition() -> np.ndarray:
    """From shares of words to those of G and C and of CpG, at each scale: `(scales * words, scales * 2)`."""
    pairs = [word if len(word) == 2 else "" for word in WORDS]
    two = np.array([[word[:1] in ("G", "C"), word == "CG"] for word in pairs], dtype=float)
    return np.kron(np.eye(len(SCALES)), two)


class TrackBaselines:
    """The mean track, and regressions of log(1 + signal), fitted to regions that are given one after the other.

    Args:
        tracks: How many there are.
        resolution: Bases of a bin.
    """

    def __init__(self, tracks: int, resolution: int):
        self.factor = -(-FINEST // resolution)
        self.step = self.factor * resolution
        width = len(SCALES) * len(WORDS) + 1
        # For fitting, and for choosing the penalty.
        self.products = [[np.zeros((width, width)), np.zeros((width, tracks)), np.zeros(tracks)] for _ in range(2)]
        self.regions = 0
        self.sums, self.counts = np.zeros((0, tracks)), np.zeros((0, tracks))

    def add(self, sequence: str, signal: np.ndarray) -> None:
        """Learn from a region: its DNA, and its signal of shape `(bins, tracks)`, NaN where nothing is known."""
        missing = max(0, len(signal) - len(self.sums))
        self.sums, self.counts = (np.pad(each, ((0, missing), (0, 0))) for each in (self.sums, self.counts))
        self.sums[: len(signal)] += np.nan_to_num(signal)
        self.counts[: len(signal)] += ~np.isnan(signal)
        bins = -(-len(signal) // self.factor)
        filled = np.pad(signal, ((0, bins * self.factor - len(signal)), (0, 0)), constant_values=np.nan)
        filled = filled.reshape(bins, self.factor, -1)
        known = ~np.isnan(filled).all(axis=1).any(axis=1)
        truth = np.log1p(np.maximum(np.nanmean(filled[known], axis=1), 0))
        shares = self._shares(sequence, bins)[known]
        kind = self.products[self.regions % EVERY == EVERY - 1]
        for total, new in zip(kind, (shares.T @ shares, shares.T @ truth, (truth**2).sum(axis=0))):
            total += new
        self.regions += 1

    def _shares(self, sequence: str, bins: int) -> np.ndarray:
        return np.concatenate([word_shares(sequence, bins, self.step), np.ones((bins, 1))], axis=1)

    def fit(self) -> None:
        """Fit the regressions. The penalty is that with the least squared error on every fifth region."""
        width = len(self.products[0][0])
        mapping = np.zeros((width, len(SCALES) * 2 + 1))
        mapping[:-1, :-1], mapping[-1, -1] = composition(), 1
        self.weights = {"gc_cpg": mapping @ self._ridge(mapping), "kmer_ridge": self._ridge(np.eye(width))}

    def _ridge(self, mapping: np.ndarray) -> np.ndarray:
        fitted, chosen = ([mapping.T @ xx @ mapping, mapping.T @ xy, yy] for xx, xy, yy in self.products)
        together = [one + other for one, other in zip(fitted, chosen)]

        def error(penalty: float) -> float:
            weights = _solve(*fitted[:2], penalty)
            return float(
                (chosen[2] - 2 * (weights * chosen[1]).sum(0) + (weights * (chosen[0] @ weights)).sum(0)).sum()
            )

        best = min(PENALTIES, key=error) if self.regions >= EVERY else PENALTIES[2]
        return _solve(*together[:2], best)

    def predict(self, sequence: str, bins: int) -> dict[str, np.ndarray]:
        """By name of the baseline `(bins, tracks)`, in the units of the signals."""
        with np.errstate(invalid="ignore"):
            means = self.sums / self.counts
            overall = self.sums.sum(axis=0) / self.counts.sum(axis=0)
        mean = np.tile(overall, (bins, 1))
        same = min(bins, len(means))
        mean[:same] = np.where(self.counts[:same] > 0, means[:same], overall)
        coarse = -(-bins // self.factor)
        shares = self._shares(sequence, coarse)
        found = {"mean_track": mean}
        for name, weights in self.weights.items():
            signal = np.maximum(np.expm1(np.minimum(shares @ weights, 50)), 0)
            found[name] = signal.repeat(self.factor, axis=0)[:bins]
        return found


def _solve(xx: np.ndarray, xy: np.ndarray, penalty: float) -> np.ndarray:
    """Ridge with features scaled to their spread; the last one is constant, and free of the penalty."""
    count = max(xx[-1, -1], 1)
    mean = xx[-1, :-1] / count
    spread = np.sqrt(np.maximum(np.diag(xx)[:-1] / count - mean**2, 1e-12))
    centered = (xx[:-1, :-1] / count - np.outer(mean, mean)) / np.outer(spread, spread)
    target = (xy[:-1] / count - np.outer(mean, xy[-1] / count)) / spread[:, None]
    weights = np.linalg.solve(centered + penalty * np.eye(len(mean)), target) / spread[:, None]
    return np.concatenate([weights, [xy[-1] / count - mean @ weights]])


__all__ = ["TrackBaselines", "word_shares"]
