"""The rows that the package makes itself, by the names that take the place of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textgenome.data import starter, starter_jobs


if TYPE_CHECKING:
    from datasets import Dataset

BUILT_IN = {
    "starter": (starter.SPLITS, starter.starter_rows),
    "starter_proteins": (starter_jobs.SPLITS, starter_jobs.starter_proteins),
    "starter_counts": (starter_jobs.SPLITS, starter_jobs.starter_counts),
}


def built_in_splits(name: str) -> list[str]:
    return list(BUILT_IN[name][0])


def built_in_rows(name: str, split: str) -> Dataset:
    """The rows of a split, the same each time."""
    return BUILT_IN[name][1](split)


__all__ = ["BUILT_IN", "built_in_rows", "built_in_splits"]
