import pytest
from conftest import random_dna, variant_row

from textgenome.data.conversations import BadRow
from textgenome.data.forms import TableForm
from textgenome.data.rows import load_rows
from textgenome.data.sequences import read_sequences


ROW = variant_row(20)


def write_table(path, names=("ref", "alt", "CLNSIG", "GENE")):
    values = (ROW["reference_sequence"], ROW["variant_sequence"], "benign", "BRCA1")
    path.write_text("\t".join(names) + "\n" + "\t".join(values) + "\n")
    return path


def test_columns_of_other_names_and_a_question_from_a_column(tmp_path):
    table = write_table(tmp_path / "rows.tsv")
    form = TableForm.parse(
        "reference_sequence=ref, variant_sequence=alt,answer=CLNSIG", "What does this variant in {GENE} do?"
    )
    (row,) = load_rows(str(table), "train", form=form)
    assert row["question"] == "What does this variant in BRCA1 do?" and row["answer"] == "benign"
    assert row["reference_sequence"] == row["ref"] == ROW["reference_sequence"]
    (pair,) = read_sequences(str(table), form=TableForm.parse("reference_sequence=ref,variant_sequence=alt"))
    assert pair.variant == ROW["variant_sequence"]


def test_a_table_that_lacks_a_column_is_told_once_which_it_has(tmp_path):
    table = tmp_path / "rows.csv"
    table.write_text("ref,alt\n" + f"{random_dna(9)},{random_dna(9, 1)}\n" * 50)
    with pytest.raises(ValueError) as told:
        load_rows(str(table), "train")
    assert str(told.value).count("\n") == 0 and "The table has the columns ref, alt." in str(told.value)
    assert "'question': the column is missing" in str(told.value)
    assert "a row needs `question`, `answer`, `reference_sequence`, `variant_sequence`." in str(told.value)
    assert "--columns NAME=COLUMN,NAME=COLUMN, and the question for all rows by --question." in str(told.value)
    with pytest.raises(ValueError, match="there is no column 'gone', only ref, alt"):
        load_rows(str(table), "train", form=TableForm.parse("reference_sequence=gone", "What?"))


@pytest.mark.parametrize(
    "columns, question, message",
    [
        ("ref", None, "give NAME=COLUMN"),
        ("reference=ref", None, "reference is not read. Choose from question, answer"),
        (None, " ", "--question is empty"),
    ],
)
def test_flags_that_say_nothing_are_refused(columns, question, message):
    with pytest.raises(ValueError, match=message):
        TableForm.parse(columns, question)


def test_a_question_names_a_value_that_is_there():
    with pytest.raises(BadRow, match="'GENE' that the question names has no value"):
        TableForm.parse(None, "In {GENE}?").apply({"GENE": ""})
    with pytest.raises(BadRow, match="is missing: there are a"):
        TableForm.parse(None, "In {GENE}?").apply({"a": 1})
