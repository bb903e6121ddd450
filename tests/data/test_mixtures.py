"""Several tables as one: shares, jobs, columns, and the built-in rows of several jobs."""

from collections import Counter

import pytest
from datasets import Dataset

from textgenome.configuration.mixture_arguments import TableArguments, read_tables
from textgenome.data.mixtures import mix, take_fractions
from textgenome.data.proteins import translate
from textgenome.data.rows import list_splits, load_rows
from textgenome.data.starter_jobs import MOTIF


def table(name: str, rows: int, **more) -> Dataset:
    return Dataset.from_list(
        [{"question": "Q", "answer": f"{name}{i}", "sequence": "ACGT", **more} for i in range(rows)]
    )


def test_fractions_are_shares_of_the_largest_mixture_without_repeats():
    parts = take_fractions([table("a", 30), table("b", 10)], [1, 1], seed=0)
    assert [len(part) for part in parts] == [10, 10]
    parts = take_fractions([table("a", 30), table("b", 10)], [0.8, 0.2], seed=0)
    assert [len(part) for part in parts] == [30, 8]
    drawn = parts[1]["answer"]
    assert len({*drawn}) == 8 and drawn == sorted(drawn, key=lambda name: int(name[1:]))
    assert drawn != take_fractions([table("a", 30), table("b", 10)], [0.8, 0.2], seed=1)[1]["answer"]
    assert [len(part) for part in take_fractions([table("a", 3), table("b", 2)], [None, None], 0)] == [3, 2]
    with pytest.raises(ValueError, match=r"with the fractions \[0.99, 0.01\] the tables would give \[10, 0\] rows"):
        take_fractions([table("a", 10), table("b", 10)], [0.99, 0.01], seed=0)


def test_rows_get_their_job_and_keep_the_columns_that_are_read():
    own = table("a", 2, job="own", label=3)
    pairs = Dataset.from_list(
        [{"question": "Q", "answer": "x", "reference_sequence": "A", "variant_sequence": "C", "label": "text"}]
    )
    rows = mix([(None, "a", own), (None, "pairs", pairs), ("named", "c", own)]).to_list()
    assert [row["job"] for row in rows] == ["own", "own", "pairs", "named", "named"]
    assert "label" not in rows[0]
    assert [row["sequence"] for row in rows] == ["ACGT", "ACGT", None, "ACGT", "ACGT"]
    assert rows[2]["variant_sequence"] == "C"
    with pytest.raises(ValueError, match="several tables are called a: give each of them a job"):
        mix([(None, "a", table("a", 1)), (None, "a", table("b", 1))])


def test_entries_of_a_recipe_and_flags_name_tables():
    tables = read_tables(["rows/cds.jsonl", {"path": "starter", "job": "signals"}])
    assert [(table.path, table.name, table.job) for table in tables] == [
        ("rows/cds.jsonl", "cds", None),
        ("starter", "starter", "signals"),
    ]
    assert tables[0] == TableArguments("rows/cds.jsonl")
    for message, *entries in (
        ("weight: unknown. A table has path, split, test_split, fraction", {"path": "a", "weight": 1}),
        ("an entry has no path", {"split": "train"}),
        ("the fraction of a is 0, but must be above 0", {"path": "a", "fraction": 0}),
        ("give each table a fraction, or none", {"path": "a", "fraction": 1}, "b"),
        ("path is 3, but must be text", {"path": 3}),
    ):
        with pytest.raises(ValueError, match=message):
            read_tables(entries)


def test_built_in_rows_of_other_jobs_are_what_they_say():
    proteins, counts = (load_rows(name, "validation").to_list() for name in ("starter_proteins", "starter_counts"))
    assert all(row["answer"] == " ".join(translate(row["sequence"])) and "*" not in row["answer"] for row in proteins)
    assert {len(row["sequence"]) // 3 for row in proteins} == {*range(6, 17)}
    assert all(row["sequence"].count(MOTIF) == int(row["answer"]) for row in counts)
    assert Counter(row["answer"] for row in counts) == {"0": 60, "1": 60, "2": 60, "3": 60}
    assert list_splits("starter_counts") == ["train", "validation"]
    seen = {row["sequence"] for row in load_rows("starter_proteins", "train").to_list()}
    assert not seen & {row["sequence"] for row in proteins}
