"""Tables whose columns have other names than the ones that are read, or that hold no question."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from textgenome.data.conversations import DNA_COLUMNS, TEXT_COLUMNS, BadRow


READ = (*TEXT_COLUMNS, *DNA_COLUMNS, "sequence", "label", "name", "messages")
_FIELD = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class TableForm:
    """What to read from a table in place of the usual columns.

    Args:
        columns: By the name that is read (`reference_sequence`) the name in the table (`ref`).
        question: Of every row. A name in braces is replaced by the row's value of that column of the table, as in
            `What does this variant in {GENE} do?`.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    question: str | None = None

    @classmethod
    def parse(cls, columns: str | None = None, question: str | None = None) -> "TableForm":
        """Of flags: `reference_sequence=ref,variant_sequence=alt`, and a question.

        Raises:
            ValueError: If a pair is not one, or names a column that is not read.
        """
        pairs = {}
        for part in columns.split(",") if columns else ():
            name, equals, source = (each.strip() for each in part.partition("="))
            if not equals or not name or not source:
                raise ValueError(f"--columns {part!r}: give NAME=COLUMN, such as reference_sequence=ref.")
            if name not in READ:
                raise ValueError(f"--columns {part!r}: {name} is not read. Choose from {', '.join(READ)}.")
            pairs[name] = source
        if question is not None and not question.strip():
            raise ValueError("--question is empty.")
        return cls(pairs, question)

    def apply(self, row: Mapping) -> dict:
        """A row with the columns that are read; all others stay.

        Raises:
            BadRow: If the table lacks a column that is named.
        """
        found = dict(row)
        for name, source in self.columns.items():
            if source not in row:
                raise BadRow(name, f"there is no column {source!r}, only {', '.join(map(str, row))}")
            found[name] = row[source]
        if self.question is not None:
            found["question"] = fill_question(self.question, lambda name: _value(row, name))
        return found


def fields_of_question(question: str) -> list[str]:
    """The names in braces in a question, each once: `["GENE"]` for `What does this variant in {GENE} do?`."""
    return list(dict.fromkeys(_FIELD.findall(question)))


def fill_question(question: str, value_of: Callable[[str], str]) -> str:
    """A question with the value of each name in braces in its place."""
    return _FIELD.sub(lambda match: value_of(match[1]), question)


def _value(row: Mapping, name: str) -> str:
    value = row.get(name)
    if value is None or not str(value).strip():
        what = "has no value" if name in row else f"is missing: there are {', '.join(map(str, row))}"
        raise BadRow("question", f"the column {name!r} that the question names {what}")
    return str(value).strip()


def describe_columns(row: Mapping, missing: str) -> str:
    """What to do about a table that lacks a column: the columns it has, and the flags that name others."""
    question = ", and the question for all rows by --question" if missing == "question" else ""
    return (
        f"The table has the columns {', '.join(map(str, row))}. Say which to read by --columns "
        f"NAME=COLUMN,NAME=COLUMN{question}."
    )


__all__ = ["TableForm", "describe_columns", "fields_of_question", "fill_question"]
