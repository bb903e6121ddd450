"""Places on a genome, 0-based and half-open, and changes at them."""

import unicodedata
from collections import Counter
from typing import NamedTuple


class Interval(NamedTuple):
    """A stretch of a contig: `start` is its first base, counted from 0, `end` the base after its last one."""

    contig: str
    start: int
    end: int


class Variant(NamedTuple):
    """A change: `reference`, which starts at the base `start` (counted from 0), becomes `alternative`."""

    contig: str
    start: int
    reference: str
    alternative: str

    @property
    def interval(self) -> Interval:
        return Interval(self.contig, self.start, self.start + len(self.reference))

    def __str__(self) -> str:
        """`contig:position:REF:ALT`, as in a VCF file; positions count from 1."""
        return f"{self.contig}:{self.start + 1}:{self.reference}:{self.alternative}"


def match_contigs(names: tuple[str, ...]) -> dict[str, str]:
    """The names of contigs by all spellings that mean them: `chr1` and `1`, `chrM` and `MT`.

    A spelling that may mean two of them (`M`, of `chrM` and `MT`) is left out.
    """
    meanings = Counter(map(bare_contig, names))
    short = {bare_contig(name): name for name in names if meanings[bare_contig(name)] == 1}
    return short | {name: name for name in names}


def bare_contig(name: str) -> str:
    """The name of a contig without `chr`; the mitochondrion is `MT`."""
    bare = name.removeprefix("chr")
    return "MT" if bare == "M" else bare


def printable(text: str) -> str:
    """Text of a file for a terminal: control characters, but the line feed and the tab, are escaped."""
    return "".join(
        character.encode("unicode_escape").decode()
        if character not in "\n\t" and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else character
        for character in text
    )


__all__ = ["Interval", "Variant", "bare_contig", "match_contigs", "printable"]
