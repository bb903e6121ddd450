"""Training rows that are asked without their question or their DNA."""

import pytest
from conftest import variant_row
from datasets import Dataset

from textgenome.configuration.arguments import DataArguments
from textgenome.data.collators import TextGenomeCollator
from textgenome.data.dropout import RowDropout
from textgenome.data.rows import as_conversations


ROWS = [variant_row(seed=i, question=f"What of gene {i}?") for i in range(400)]


def change(question_dropout=0.5, dna_dropout=0.0, seed=0, epoch=0):
    return RowDropout(question_dropout, dna_dropout, "What is it?", seed, epoch)


def asks_constant(dropout) -> list[bool]:
    return [dropout(row)["question"] == "What is it?" for row in ROWS]


def test_a_share_of_the_rows_asks_the_constant_question_and_keeps_its_dna():
    drawn = [change()(row) for row in ROWS]
    changed = [row for row in drawn if row["question"] == "What is it?"]
    assert 160 < len(changed) < 240
    assert [row["reference_sequence"] for row in drawn] == [row["reference_sequence"] for row in ROWS]
    assert not any(asks_constant(change(0.0))) and all(asks_constant(change(1.0)))


def test_other_rows_are_drawn_in_each_epoch_and_by_each_seed_but_the_same_again():
    first = asks_constant(change())
    assert first == asks_constant(change())
    for other in (change(epoch=1), change(seed=1)):
        same = sum(a == b for a, b in zip(first, asks_constant(other)))
        assert 150 < same < 250  # as two tosses of a coin agree


def test_dna_is_left_out_of_rows_that_keep_their_question():
    drawn = [change(0.5, 0.5)(row) for row in ROWS]
    without = [row for row in drawn if row["reference_sequence"] is None]
    assert 70 < len(without) < 130
    assert all(row["variant_sequence"] is None and row["question"] != "What is it?" for row in without)


def test_conversations_and_rows_without_dna_stay_whole():
    for row in ({"messages": [{"role": "user", "content": "Hi"}]}, {**ROWS[0], "reference_sequence": None}):
        assert change(1.0, 1.0)(row) == row


def test_what_is_supervised_does_not_change(tiny_processor):
    rows, collate = Dataset.from_list(ROWS[:8]), TextGenomeCollator(tiny_processor)
    labels = []
    for dropout in (None, change(1.0), change(0.0, 1.0)):
        batch = collate(list(as_conversations(rows, change=dropout)))
        labels.append([[token for token in row.tolist() if token != -100] for row in batch["labels"]])
        if dropout and dropout.dna_dropout:
            assert "dna_input_ids" not in batch
    assert labels[0] == labels[1] == labels[2]


def test_a_view_shows_the_epoch_that_the_dropout_is_in():
    dropout = change()
    rows = as_conversations(Dataset.from_list(ROWS), change=dropout)

    def questions():
        return [row["messages"][0]["content"][-1]["text"] for row in rows]

    before = questions()
    dropout.epoch = 1
    assert questions() != before


@pytest.mark.parametrize(
    "wrong", [{"question_dropout": 1.5}, {"dna_dropout": -0.1}, {"dna_dropout": 0.5, "dna": "none"}]
)
def test_shares_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="dropout"):
        DataArguments(dataset_name="starter", **wrong)
