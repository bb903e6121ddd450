"""Every single-base change of a stretch of DNA, and what each of them does to a score."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from textgenome.processing.processing_dna import common_ends, common_prefix, normalize_dna, variant_window


LETTERS = "ACGT"
Windows = list[tuple[str, ...]]


class Mutant(NamedTuple):
    """A window, or both windows of a pair, after a change.

    Attributes:
        place: 0-based, of the changed base in the window that is walked along.
        base: What it was changed to.
        windows: The sequence; or the reference, and the variant.
    """

    place: int
    base: str
    windows: tuple[str, ...]


@dataclass(frozen=True)
class Window:
    """What a model sees, and the stretch of it whose bases are changed.

    Args:
        windows: One sequence; or the reference and the variant, cut around their difference.
        along: Which of them is walked along, 0 or 1.
        offset: 0-based place of its first base in the sequence that was given.
        start: First base to change, in the window.
        stop: The base after the last one to change.
        changed: Start and end, half-open, of what differs from the other window.
    """

    windows: tuple[str, ...]
    along: int
    offset: int
    start: int
    stop: int
    changed: tuple[int, int] | None = None

    @property
    def sequence(self) -> str:
        """The bases that are changed, one after another."""
        return self.windows[self.along][self.start : self.stop]

    def mutants(self) -> Iterator[Mutant]:
        """Change each base to each other one.

        Outside of the difference both windows of a pair change alike, so that the variant stays what it is; within it
        only the one that is walked along changes. A change that makes both windows equal is left out.
        """
        for place in range(self.start, self.stop):
            for base in LETTERS:
                if base == self.windows[self.along][place]:
                    continue
                windows = [self._changed(number, place, base) for number in range(len(self.windows))]
                if len(set(windows)) == len(windows):
                    yield Mutant(place, base, tuple(windows))

    def _changed(self, number: int, place: int, base: str) -> str:
        """A window after a change of the one that is walked along."""
        window = self.windows[number]
        if number != self.along:
            start, stop = self.changed
            if start <= place < stop:
                return window
            if place >= stop:
                place += len(window) - len(self.windows[self.along])
            if not 0 <= place < len(window):
                return window
        return f"{window[:place]}{base}{window[place + 1 :]}"


def cut_window(reference: str, variant: str | None, size: int, bases: int, along: str = "reference") -> Window:
    """Cut what a model reads, and choose the stretch of it to change.

    Args:
        reference: A sequence, in the letters of DNA.
        variant: The same stretch with a variant, or None.
        size: Most bases of the windows of a pair.
        bases: Most bases to change: those in the middle, of a pair those around the difference.
        along: `reference` or `variant`: whose bases to change.

    Raises:
        ValueError: If a sequence is not DNA, or both are equal.
    """
    if variant is None:
        sequence = normalize_dna(reference)
        start = max(0, (len(sequence) - bases) // 2)
        return Window((sequence,), 0, 0, start, min(len(sequence), start + bases))
    pair = normalize_dna(reference), normalize_dna(variant)
    windows = variant_window(*pair, size)
    start, suffix = common_ends(*windows)
    number = ("reference", "variant").index(along)
    stop = len(windows[number]) - suffix
    first = max(0, min((start + stop - bases) // 2, len(windows[number]) - bases))
    last = min(len(windows[number]), first + bases)
    return Window(windows, number, common_prefix(*pair) - start, first, last, (start, stop))


@dataclass(frozen=True)
class Explanation:
    """What each base of a stretch does to what a model says.

    Args:
        sequence: The bases, in the letters A, C, G, T and N.
        start: 0-based place of the first one in the sequence that was given.
        outputs: What the model tells apart: labels, classes, tracks.
        scores: `(outputs,)`, float64: of the unchanged window, in `unit`.
        effects: `(bases, 4, outputs)`, float64: the score with this base changed to A, C, G or T less the unchanged
            one. 0 for the base that is there, NaN where a change was not tried.
        unit: Of scores and effects, such as `ln probability`.
        changed: Start and end, half-open and within `sequence`, of what the variant changes, or None.
        gradients: `(bases,)`, gradient times input of `shown`, or None where the model gives none.
        shown: The output that pictures show, by default.
    """

    sequence: str
    start: int
    outputs: list[str]
    scores: np.ndarray
    effects: np.ndarray
    unit: str
    changed: tuple[int, int] | None = None
    gradients: np.ndarray | None = None
    shown: str = ""

    def effect_of(self, output: str | None = None) -> np.ndarray:
        """`(bases, 4)`, of one output, by default `shown`."""
        return self.effects[:, :, self.outputs.index(output or self.shown)]

    def importance(self, output: str | None = None) -> np.ndarray:
        """`(bases,)`: how much the score falls, on average, when a base is changed to another one; 0 if untried."""
        effects = self.effect_of(output).copy()
        for place, base in enumerate(self.sequence):
            if base in LETTERS:
                effects[place, LETTERS.index(base)] = np.nan
        tried = ~np.isnan(effects)
        return -np.where(tried, effects, 0).sum(1) / np.maximum(tried.sum(1), 1)

    def rows(self) -> Iterator[dict]:
        """A row for each change and output.

        Its columns: `position` (1-based, in the sequence that was given), `base`, `changed_to`, `output`, `score`
        after the change, and `effect`.
        """
        for place, base in enumerate(self.sequence):
            for column, letter in enumerate(LETTERS):
                for number, output in enumerate(self.outputs):
                    effect = self.effects[place, column, number]
                    if letter != base and not np.isnan(effect):
                        yield {
                            "position": self.start + place + 1,
                            "base": base,
                            "changed_to": letter,
                            "output": output,
                            "score": float(self.scores[number] + effect),
                            "effect": float(effect),
                        }


@dataclass(frozen=True)
class Scorer:
    """How to read scores off a model.

    Args:
        outputs: Their names.
        unit: Their unit.
        score: Of a batch of windows, `(windows, outputs)`.
        gradient: Gradient times input of an output, `(bases,)`, of the window that is walked along; or None.
    """

    outputs: list[str]
    unit: str
    score: Callable[[Windows], Sequence]
    gradient: Callable[[Window, int], np.ndarray | None] = lambda window, output: None


__all__ = ["LETTERS", "Explanation", "Mutant", "Scorer", "Window", "Windows", "cut_window"]
