"""Several tables as one: shares of them, and rows that name their job."""

import random
from collections import Counter
from collections.abc import Sequence

from datasets import Dataset

from textgenome.data.answer_types import ANSWER_TYPE, JOB
from textgenome.data.conversations import DNA_COLUMNS, SEQUENCE_COLUMN, TEXT_COLUMNS


# Others are left out: in one table a name may mean numbers, in another text.
COLUMNS = (*TEXT_COLUMNS, *DNA_COLUMNS, SEQUENCE_COLUMN, "messages", ANSWER_TYPE, JOB)


def take_fractions(parts: Sequence[Dataset], fractions: Sequence[float | None], seed: int) -> list[Dataset]:
    """Rows of tables in proportion to their fractions, which are divided by their sum.

    The mixture is the largest in which no row is twice, as TRL's `get_dataset` makes it. Which rows of a table are
    taken is drawn by the seed, in place of the first ones; they keep their order.

    Args:
        parts: The tables.
        fractions: That of each. Without any, or with None, all rows are taken.
        seed: Of the draws.

    Raises:
        ValueError: If no row of a table is left.
    """
    if not fractions or None in fractions:
        return list(parts)
    shares = [fraction / sum(fractions) for fraction in fractions]
    total = min(len(part) / share for part, share in zip(parts, shares))
    counts = [min(round(share * total), len(part)) for part, share in zip(parts, shares)]
    if not all(counts):
        raise ValueError(f"datasets: with the fractions {fractions} the tables would give {counts} rows.")
    rng = random.Random(seed)
    return [part.select(sorted(rng.sample(range(len(part)), count))) for part, count in zip(parts, counts)]


def mix(tables: Sequence[tuple[str | None, str, Dataset]]) -> Dataset:
    """The rows of all tables in the columns that are read, one table after the other.

    Args:
        tables: Of each the name of its job, or None for that in the column `job`; the name for rows that have none;
            and the rows.

    Raises:
        ValueError: If rows of two tables of one name have no other job.
    """
    unnamed = Counter(name for job, name, part in tables if not job and not all(row.get(JOB) for row in part))
    twice = [name for name, count in unnamed.items() if count > 1]
    if twice:
        raise ValueError(f"datasets: several tables are called {', '.join(twice)}: give each of them a job.")
    rows = [
        {**{column: row.get(column) for column in COLUMNS}, JOB: job or row.get(JOB) or name}
        for job, name, part in tables
        for row in part
    ]
    present = [column for column in COLUMNS if any(row[column] is not None for row in rows)]
    rows = [{column: row[column] for column in present} for row in rows]
    return Dataset.from_list(rows, on_mixed_types="use_json")


__all__ = ["mix", "take_fractions"]
