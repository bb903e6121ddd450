"""How good the answers are in groups of rows: by kind and length of the change, by length of the DNA, by locus."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from textgenome.data.conversations import DNA_COLUMNS
from textgenome.evaluation.metrics import accuracy_interval
from textgenome.evaluation.report_parts import Table
from textgenome.processing.processing_dna import common_ends


LOCI = 12  # the most frequent ones
SHARES = 4  # groups of equal size by length


def subgroup_table(rows: Sequence[Mapping], right: Sequence[bool], loci: Sequence[str | None] | None = None) -> Table:
    """Accuracy in groups of the rows, with Wilson's 95 % interval.

    Args:
        rows: Evaluated rows, with a pair or a `sequence`, or without DNA.
        right: For each row whether the answer is right.
        loci: For each row its locus, or None.

    Returns:
        A table; groups that hold all rows are left out.
    """
    right, table = np.asarray(right, dtype=bool), []
    for title, groups in _groupings(rows, loci):
        found = [(name, np.array([each == name for each in groups])) for name in sorted(set(groups) - {None})]
        if len(found) > 1:
            for name, chosen in found:
                hits, number = int((right & chosen).sum()), int(chosen.sum())
                low, high = accuracy_interval(hits, number)
                table.append([f"{title}: {name}", number, hits / number, f"{low:.3f} to {high:.3f}"])
    columns = ["group", "rows", "accuracy", "95 % interval"]
    return Table("By group of rows", columns, table, "Groups are small: compare the intervals.")


def _groupings(rows: Sequence[Mapping], loci: Sequence[str | None] | None) -> Iterator[tuple[str, list]]:
    kinds, lengths = [], []
    for row in rows:  # once, for they may be on disk
        reference, variant = (row.get(name) or "" for name in DNA_COLUMNS)
        kinds.append(kind_of_change(reference, variant) if reference and variant else None)
        lengths.append(len(row.get("sequence") or reference))
    if None not in kinds:
        yield "change", kinds
    ends = np.unique(np.quantile(lengths, np.linspace(0, 1, SHARES + 1)).astype(int))
    if len(ends) > 2:
        width = len(str(ends[-1]))
        places = np.clip(np.searchsorted(ends, lengths, "right") - 1, 0, len(ends) - 2)
        names = [f"{first:{width}d} to {last} bases" for first, last in pairwise(ends)]
        yield "length", [names[place] for place in places]
    if loci is not None:
        often = {name for name, _ in Counter(each for each in loci if each).most_common(LOCI)}
        yield "locus", [each if each in often else None for each in loci]


def kind_of_change(reference: str, variant: str) -> str:
    """What a variant is: `substitution of 1`, `insertion of 3`, `deletion of 12` bases, or `complex`."""
    start, suffix = common_ends(reference, variant)
    lost, new = len(reference) - start - suffix, len(variant) - start - suffix
    if lost == new:
        return "none" if not lost else "substitution of 1 base" if lost == 1 else "substitution of several bases"
    if not lost or not new:
        kind, size = ("insertion", new) if new else ("deletion", lost)
        return f"{kind} of {'1 base' if size == 1 else '2 to 10 bases' if size <= 10 else 'more than 10 bases'}"
    return "complex"


__all__ = ["kind_of_change", "subgroup_table"]
