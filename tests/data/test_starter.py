import re
from collections import Counter

import pytest

from textgenome.data import row_to_messages
from textgenome.data.starter import ANSWERS, NONE, QUESTIONS, SIGNALS, SPLITS, starter_rows


@pytest.fixture(scope="module")
def splits():
    """The rows of each split: those of the train split are many."""
    return {split: starter_rows(split) for split in SPLITS}


def signals(sequence: str) -> list[str]:
    return sorted(name for name, (motif, *_) in SIGNALS.items() for _ in re.findall(motif, sequence))


def test_same_seed_same_rows_and_splits_share_none(splits):
    rows = splits["validation"]
    assert rows.to_list() == starter_rows("validation").to_list()
    assert rows.to_list() != starter_rows("validation", seed=1).to_list()
    pairs = [{*rows["reference_sequence"]} - {None} for rows in splits.values()]
    assert not pairs[0] & pairs[1]


def test_classes_are_balanced(splits):
    for split, size in SPLITS.items():
        counts = Counter(splits[split]["answer"])
        without_dna = counts.pop(None, 0)
        assert set(counts) == set(ANSWERS)
        assert max(counts.values()) - min(counts.values()) <= 1
        assert sum(counts.values()) + without_dna == size
        assert without_dna < size / 10


def test_the_pair_tells_the_answer_and_the_question_does_not():
    for row in starter_rows("validation"):
        lost = Counter(signals(row["reference_sequence"])) - Counter(signals(row["variant_sequence"]))
        assert [f"{name} loss" for name in lost] == ([] if row["answer"] == NONE else [row["answer"]])
        assert row["question"] in QUESTIONS
        row_to_messages(row, dna_window=64)
    assert not any(name.split()[0].lower() in question.lower() for name in SIGNALS for question in QUESTIONS)


def test_places_lengths_and_questions_vary():
    rows = starter_rows("validation").to_list()
    assert len({len(row["reference_sequence"]) for row in rows}) > 20
    assert len({row["question"] for row in rows}) == len(QUESTIONS)
    places = {row["reference_sequence"].find("GTATAAAAG") for row in rows if row["answer"] == "TATA box loss"}
    assert len(places) > 20


def test_a_third_of_the_references_alone_do_not_tell():
    rows = [row for row in starter_rows("validation") if row["answer"] != NONE]
    assert 0.25 < sum(len(signals(row["reference_sequence"])) == 2 for row in rows) / len(rows) < 0.45


def test_neither_a_signal_nor_its_absence_tells_that_none_is_broken(splits):
    rows = [row for row in splits["train"].select(range(4000)).to_list() if row["answer"] == NONE]
    present = [signals(row["reference_sequence"]) for row in rows]
    assert present == [signals(row["variant_sequence"]) for row in rows]
    assert {name for names in present for name in names} == set(SIGNALS)
    assert {0, 1, 2} == set(map(len, present))
    assert all(row["reference_sequence"] != row["variant_sequence"] for row in rows)
    kinds = Counter(len(row["variant_sequence"]) - len(row["reference_sequence"]) for row in rows)
    assert kinds[0] > kinds[1] + kinds[-1] > 0
