from functools import partial

import pytest
from conftest import conversation, variant_row
from datasets import Dataset

from textgenome.data.examples import find_labels, pick_examples
from textgenome.data.prompts import cut_window


@pytest.mark.parametrize(
    "answers, labels",
    [
        (["cancer", "flu", "cancer", "flu ", "flu", None], ["flu", "cancer"]),
        (["flu", "flu", "cancer", "cancer", "What only this patient has"], ["flu", "cancer"]),
        ([f"answer {i}" for i in range(40)], None),
        ([None], None),
        (["flu", "flu"], None),
        ([f"answer {i}" for i in range(65)] * 2, None),
        (["flu", "long " * 50] * 2, None),
    ],
)
def test_labels_are_answers_that_can_be_chosen_from(answers, labels):
    assert find_labels(Dataset.from_dict({"answer": answers})) == labels


def test_conversations_have_no_labels():
    assert find_labels(Dataset.from_dict({"messages": [conversation("ACGT")]})) is None


def test_examples_are_the_first_rows_of_different_answers_as_the_model_sees_them():
    rows = [variant_row(60, i, answer=answer) for i, answer in enumerate(["flu", "flu", "cancer", "none"])]
    rows.insert(0, {"messages": conversation("ACGT"), "answer": None})
    found = pick_examples(rows, 2, partial(cut_window, dna_window=20))
    assert [example["answer"] for example in found] == ["flu", "cancer"]
    assert all(len(example["reference"]) == 20 == len(example["variant"]) for example in found)
    assert found[0]["question"] == "What?"


def test_none_are_saved_unasked_or_without_dna():
    rows = [variant_row()]
    assert pick_examples(rows, 0, cut_window) is None
    assert pick_examples(rows, 2, partial(cut_window, dna="none")) is None


@pytest.mark.parametrize("rows, count, message", [([], -1, "is -1, but must be 0 or more"), (None, 2, "test split")])
def test_rows_that_cannot_be_saved_are_refused(rows, count, message):
    with pytest.raises(ValueError, match=message):
        pick_examples(rows, count, cut_window)
