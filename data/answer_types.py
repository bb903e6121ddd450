"""The types of answers: what their text is written and read as."""

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np


ANSWER_TYPE, JOB = "answer_type", "job"  # columns
TEXT = "text"
ANSWER_TYPES = (TEXT, "value", "intervals", "protein")
NO_BASE = "none"
_INTERVAL = re.compile(r"(\d{1,12})(?:\s*-\s*(\d{1,12}))?")


def check_answer(answer_type: str | None, answer: str) -> None:
    """Check that an answer is of its type; None is text.

    Raises:
        ValueError: If it is not, or there is no such type.
    """
    if answer_type not in (None, *ANSWER_TYPES):
        raise ValueError(f"the {ANSWER_TYPE} is {answer_type!r}, but must be one of {', '.join(ANSWER_TYPES)}")
    if answer_type == "value" and read_value(answer) is None:
        raise ValueError(f"the answer is {answer!r}, but must be a finite number: its {ANSWER_TYPE} is value")
    if answer_type == "intervals" and read_intervals(answer) is None:
        raise ValueError(f"the answer is {answer!r}, but must be as 13-45, 80-96 or {NO_BASE}: its type is intervals")


def write_value(value: float, digits: int) -> str:
    """A value with so many decimals; what is rounded to zero has no sign."""
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def read_value(text: str) -> float | None:
    """The finite number that a text is, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def write_intervals(covered: Iterable[bool]) -> str:
    """The bases that are covered as intervals, such as `13-45, 80-96`: counted from 1, both ends included, as in GFF.

    If there are none it is `none`.
    """
    steps = np.diff(np.concatenate([[0], np.asarray(covered, dtype=np.int8), [0]]))
    places = zip(np.flatnonzero(steps == 1), np.flatnonzero(steps == -1))
    return ", ".join(f"{start + 1}-{end}" for start, end in places) or NO_BASE


def read_intervals(text: str) -> list[tuple[int, int]] | None:
    """The intervals of bases that a text names as `write_intervals` does, or None if it is another text.

    Returns:
        First and last base of each, counted from 1, sorted, and as one where they overlap or touch.
    """
    if text.strip() == NO_BASE:
        return []
    intervals = []
    for part in text.split(","):
        found = _INTERVAL.fullmatch(part.strip())
        start, end = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not 0 < start <= end:
            return None
        intervals.append((start, end))
    merged: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1] + 1:
            start, end = merged[-1][0], max(end, merged.pop()[1])
        merged.append((start, end))
    return merged


def count_bases(intervals: Iterable[tuple[int, int]]) -> int:
    """How many bases intervals hold."""
    return sum(end - start + 1 for start, end in intervals)


def count_shared(first: Sequence[tuple[int, int]], second: Sequence[tuple[int, int]]) -> int:
    """How many bases are in both of two lists of `read_intervals`."""
    overlaps = (min(a[1], b[1]) - max(a[0], b[0]) + 1 for a in first for b in second)
    return sum(overlap for overlap in overlaps if overlap > 0)


__all__ = [
    "ANSWER_TYPE",
    "ANSWER_TYPES",
    "JOB",
    "NO_BASE",
    "TEXT",
    "check_answer",
    "count_bases",
    "count_shared",
    "read_intervals",
    "read_value",
    "write_intervals",
    "write_value",
]
