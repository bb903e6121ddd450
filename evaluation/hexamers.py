"""Hexamers in frame against hexamers anywhere: what finds coding bases without a network.

The log-odds of coding hexamers are those of Claverie and Bougueleret (Nucleic Acids Res. 14:179, 1986), summed over
windows in each of three frames (Fickett and Tung, Nucleic Acids Res. 20:6441, 1992).
"""

from collections.abc import Iterable, Sequence

import numpy as np


HEXAMERS = 4**6
WINDOWS = (60, 120, 240)  # bases that log-odds are summed over; the best on the training sequences is taken
_CODE = np.full(256, -1, np.int8)
_CODE[np.frombuffer(b"ACGT", np.uint8)] = range(4)


def hexamer_codes(sequence: str) -> np.ndarray:
    """The number of the hexamer from each base on, `(len(sequence),)`, -1 where there is none, or an N in it."""
    codes = _CODE[np.frombuffer(sequence.encode(), np.uint8)].astype(np.int64)
    found = np.full(len(codes), -1, np.int64)
    if len(codes) >= 6:
        each = np.lib.stride_tricks.sliding_window_view(codes, 6)
        found[: len(each)] = np.where((each < 0).any(1), -1, each @ 4 ** np.arange(5, -1, -1))
    return found


class HexamerScore:
    """Log-odds of hexamers, counted in training sequences of one strand.

    Args:
        coding: Counts of hexamers at the first bases of codons, `(4096,)`.
        background: Counts at all bases that are not coding.
    """

    def __init__(self, coding: np.ndarray, background: np.ndarray):
        shares = [(counts + 1) / (counts + 1).sum() for counts in (coding, background)]
        self.log_odds = np.append(np.log(shares[0] / shares[1]), 0.0)  # the last one for -1
        self.window = WINDOWS[1]

    def __call__(self, sequence: str, window: int | None = None) -> np.ndarray:
        """The best frame's sum of log-odds over the window around each base, `(bases,)`, float32."""
        odds = self.log_odds[hexamer_codes(sequence)]
        half = (window or self.window) // 2
        best = np.full(len(odds), -np.inf)
        places = np.arange(len(odds))
        for frame in range(3):
            summed = np.concatenate([[0.0], np.cumsum(np.where(places % 3 == frame, odds, 0.0))])
            last, first = np.minimum(places + half, len(odds)), np.maximum(places - half, 0)
            best = np.maximum(best, summed[last] - summed[first])
        return best.astype(np.float32)


def count_hexamers(sequence: str, starts: np.ndarray, is_coding: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hexamers of a sequence: those at the first bases of codons, and those that start outside of coding parts.

    Args:
        sequence: In the letters A, C, G, T and N.
        starts: Where codons begin, bool, `(bases,)`.
        is_coding: Whether each base is coding, bool, `(bases,)`.
    """
    codes = hexamer_codes(sequence)
    whole = codes >= 0
    coding = np.bincount(codes[whole & starts], minlength=HEXAMERS)
    return coding, np.bincount(codes[whole & ~is_coding], minlength=HEXAMERS)


def best_threshold(
    scores: Sequence[np.ndarray], truths: Sequence[np.ndarray], bins: int = 1000
) -> tuple[float, float]:
    """The threshold with the best F1 of all bases, and that F1. Truths other than 0 and 1 are unknown."""
    scores, truths = np.concatenate(scores), np.concatenate(truths)
    scores, truths = scores[(truths == 0) | (truths == 1)], truths[(truths == 0) | (truths == 1)]
    if not (truths == 1).any():
        return float(scores.max(initial=0.0)) + 1e-6, 0.0
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, bins)))
    place = np.searchsorted(edges, scores, "right") - 1
    positive = np.bincount(place[truths == 1], minlength=len(edges))[::-1].cumsum()[::-1]
    called = np.bincount(place, minlength=len(edges))[::-1].cumsum()[::-1]
    f1 = 2 * positive / np.maximum(called + positive[0], 1)
    return float(edges[f1.argmax()]), float(f1.max())


def fit_window(score: HexamerScore, sequences: Iterable[str], truths: Sequence[np.ndarray]) -> float:
    """Choose the window by F1 on the training sequences; returns the threshold."""
    sequences, found = list(sequences), []
    for window in WINDOWS:
        threshold, f1 = best_threshold([score(each, window) for each in sequences], truths)
        found.append((f1, window, threshold))
    _, score.window, threshold = max(found)
    return threshold


__all__ = ["HexamerScore", "best_threshold", "count_hexamers", "fit_window", "hexamer_codes"]
