"""The tables of a mixture: entries of `datasets:` in a recipe, named as in TRL's `DatasetMixtureConfig`."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path


@dataclass
class TableArguments:
    """One table of a mixture.

    Args:
        path: As `dataset_name`.
        split: Split to train on, by default `dataset_train_split`.
        test_split: Split to evaluate on, by default `dataset_test_split`.
        fraction: Share of the mixture. All tables have one, or none has: then they are taken whole. The mixture is as
            large as it can be with no row in it twice; what is left out of a table is drawn by the seed.
        question: For every row, as the flag; `{GENE}` is a value of the row.
        columns: As the flag: `reference_sequence=ref`.
        job: Name of what the rows ask, in metrics. By default what the rows have in the column `job`, or else the name
            of the table.

    Raises:
        ValueError: If a value cannot be one.
    """

    path: str
    split: str | None = None
    test_split: str | None = None
    fraction: float | None = None
    question: str | None = None
    columns: str | None = None
    job: str | None = None

    def __post_init__(self):
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name == "fraction":
                if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
                    raise ValueError(f"datasets: the fraction of {self.path} is {value!r}, but must be above 0.")
            elif not isinstance(value, str if each.name == "path" else str | None) or value == "":
                raise ValueError(f"datasets: {each.name} is {value!r}, but must be text.")

    @property
    def name(self) -> str:
        """That of the folder or file, without endings."""
        return Path(self.path).name.partition(".")[0]


def read_tables(entries: Sequence) -> list[TableArguments]:
    """The tables that a recipe lists, or flags: `--datasets a.csv b.csv`.

    Raises:
        ValueError: If an entry has a name that no table has, lacks its path, or only some have a fraction.
    """
    known, tables = [each.name for each in fields(TableArguments)], []
    for entry in entries:
        if isinstance(entry, dict):
            unknown = [str(name) for name in entry if name not in known]
            if unknown or "path" not in entry:
                what = f"{', '.join(unknown)}: unknown" if unknown else "an entry has no path"
                raise ValueError(f"datasets: {what}. A table has {', '.join(known)}.")
            entry = TableArguments(**entry)
        tables.append(TableArguments(entry) if isinstance(entry, str) else entry)
    if len({table.fraction is None for table in tables}) > 1:
        raise ValueError("datasets: give each table a fraction, or none.")
    return tables


__all__ = ["TableArguments", "read_tables"]
