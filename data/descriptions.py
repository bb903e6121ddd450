"""What splits and controls need to know about a data set: how its rows name loci and genes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from textgenome.data.starter import QUESTIONS


@dataclass(frozen=True)
class Description:
    """How the rows of a data set name their locus and their genes. Patterns are searched for in the question.

    Attributes:
        constant_question: One question that suits every row and names no gene.
        locus_column: Column with the locus of a row, such as its gene. It takes precedence over the pattern.
        locus_pattern: Regular expression with one group, the locus.
        listed_gene_pattern: Regular expression with two groups, the symbol and the full name of a gene in a list.

    Raises:
        ValueError: If a pattern is not a regular expression, or has a wrong number of groups.
    """

    constant_question: str = "What is the effect of this variant?"
    locus_column: str | None = None
    locus_pattern: str | None = None
    listed_gene_pattern: str | None = None

    def __post_init__(self):
        for name, groups in (("locus_pattern", 1), ("listed_gene_pattern", 2)):
            pattern = getattr(self, name)
            try:
                found = groups if pattern is None else re.compile(pattern).groups
            except re.error as error:
                raise ValueError(f"{name} {pattern!r} is not a regular expression: {error}.") from error
            if found != groups:
                raise ValueError(f"{name} {pattern!r} has {found} groups in parentheses, but needs {groups}.")

    def locus(self, row: Mapping) -> str | None:
        """The name of a row's locus, or None if it has none.

        Raises:
            ValueError: If the column `locus_column` is missing.
        """
        if self.locus_column is not None:
            if self.locus_column not in row:
                raise ValueError(f"There is no column {self.locus_column!r}, only {', '.join(row)}.")
            value = row[self.locus_column]
            return None if value is None else str(value).strip() or None
        found = self.locus_pattern and re.search(self.locus_pattern, str(row.get("question") or ""))
        return found[1] if found else None

    def genes(self, row: Mapping) -> set[str]:
        """The symbols of a row's genes: its locus, and what its question names."""
        listed = re.findall(self.listed_gene_pattern, row["question"]) if self.listed_gene_pattern else []
        named = re.findall(self.locus_pattern, row["question"]) if self.locus_pattern else []
        return {self.locus(row), *named, *(symbol for symbol, _ in listed)} - {None}


# The public rows of KEGG pathways. The question is that of `kegg_hard`, the same rows without the pathway
# (BioReason, arXiv 2505.23579).
KEGG = Description(
    constant_question="What disease does this contribute to?",
    locus_pattern=r"\bof this (\S+) allele\b",
    listed_gene_pattern=r"(?:Genes in the pathway:|\|)\s*([A-Za-z][\w-]*);([^|\n]*)",
)
STARTER = Description(constant_question=QUESTIONS[0])


def find_description(rows: list[Mapping], **given: str | None) -> Description:
    """Recognise a data set by its questions, or else fall back to a description without a locus.

    Args:
        rows: Rows, with or without a column `question`.
        given: Attributes of `Description` that replace those found, unless they are None.
    """
    found = Description()
    if any(KEGG.locus(row) for row in rows):
        found = KEGG
    elif any(str(row.get("question")).strip() in QUESTIONS for row in rows):
        found = STARTER
    return replace(found, **{name: value for name, value in given.items() if value is not None})


__all__ = ["KEGG", "STARTER", "Description", "find_description"]
