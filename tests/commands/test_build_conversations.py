"""`textgenome build conversations`: tables and genomes of DNA jobs as questions and answers."""

import json

import pandas
import pytest
from conftest import random_dna, variant_row
from typer.testing import CliRunner

from textgenome.commands import app
from textgenome.data.answer_types import read_intervals
from textgenome.data.rows import load_rows


def build(output, *flags):
    return CliRunner().invoke(app, ["build", "conversations", "--output_dir", str(output), *map(str, flags)])


def read(folder, split="train"):
    return load_rows(str(folder), split).to_list()  # which checks them as training does


def test_classes_become_answers_in_every_split(tmp_path):
    rows = [{"sequence": random_dna(30, seed=i), "label": ["other", "promoter"][i % 2], "gene": i} for i in range(6)]
    (tmp_path / "table").mkdir()
    for split, part in {"train": rows[:4], "dev": rows[4:]}.items():
        pandas.DataFrame(part).to_csv(tmp_path / "table" / f"{split}.csv", index=False)
    result = build(tmp_path / "out", "--task", "classification", "--dataset_name", tmp_path / "table", "--job", "tata")
    assert result.exit_code == 0 and "train: 4 rows" in result.output, result.output
    assert [row["answer"] for row in read(tmp_path / "out")] == ["other", "promoter"] * 2
    row = read(tmp_path / "out", "validation")[1]
    assert row == {
        **{"sequence": rows[5]["sequence"], "gene": "5", "question": "Which of these is it: other, promoter?"},
        **{"answer": "promoter", "answer_type": "text", "job": "tata"},
    }
    again = build(tmp_path / "out", "--task", "classification", "--dataset_name", tmp_path / "table")
    assert again.exit_code == 1 and "is there already" in str(again.output)


def test_several_labels_and_values_become_answers(tmp_path):
    rows = [{"sequence": random_dna(30, seed=i), "label": label} for i, label in enumerate([["a", "b"], [], ["b"]])]
    (tmp_path / "several.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert (
        build(tmp_path / "out", "--task", "classification", "--dataset_name", tmp_path / "several.jsonl").exit_code
        == 0
    )
    assert [row["answer"] for row in read(tmp_path / "out")] == ["a, b", "none", "b"]

    pairs = [{**variant_row(seed=i), "gene": f"G{i}", "fold": value} for i, value in enumerate((1.26, -0.04))]
    pandas.DataFrame(pairs).drop(columns=["question", "answer"]).to_csv(tmp_path / "values.csv", index=False)
    flags = ["--dataset_name", tmp_path / "values.csv", "--columns", "answer=fold", "--digits", 1]
    flags += ["--question", "How much does {gene} change?"]
    assert build(tmp_path / "values", "--task", "regression", *flags).exit_code == 0
    rows = read(tmp_path / "values")
    assert [(row["question"], row["answer"], row["answer_type"]) for row in rows] == [
        ("How much does G0 change?", "1.3", "value"),
        ("How much does G1 change?", "0.0", "value"),
    ]
    wrong = build(tmp_path / "wrong", "--task", "classification", *flags)
    assert wrong.exit_code == 1 and "give --task regression" in str(wrong.output)


def test_labels_of_bases_become_intervals(tmp_path):
    bases = random_dna(400, seed=1)
    (tmp_path / "genome.fa").write_text(f">a\n{bases}\n>b\n{bases[::-1]}\n")
    place = 'gene_id "G"; transcript_id "T";'
    lines = [
        f"{contig}\tx\tCDS\t{start}\t{end}\t.\t+\t0\t{place}" for contig, start, end in (("a", 46, 60), ("b", 11, 25))
    ]
    (tmp_path / "genes.gtf").write_text(
        "\n".join(line.replace('"T"', f'"{i}"') for i, line in enumerate(lines)) + "\n"
    )
    flags = ["--task", "annotation", "--fasta", tmp_path / "genome.fa", "--gtf", tmp_path / "genes.gtf"]
    flags += ["--labels", "CDS", "--window", 50, "--test_contigs", "b"]
    result = build(tmp_path / "out", *flags)
    assert result.exit_code == 0, result.output
    rows = {row["place"]: row for row in read(tmp_path / "out")}
    assert (rows["a:1-50 +"]["answer"], rows["a:51-100 +"]["answer"]) == ("46-50", "1-10")
    assert rows["a:51-100 +"]["sequence"] == bases[50:100]
    assert rows["a:1-50 +"]["question"] == "Which bases of this sequence are CDS?"
    assert len(rows) == 4 and sum(row["answer"] == "none" for row in rows.values()) == 2
    assert "windows without CDS that were left out: " in result.output
    (found,) = [row for row in read(tmp_path / "out", "validation") if row["answer"] != "none"]
    assert read_intervals(found["answer"]) == [(11, 25)] and found["place"] == "b:1-50 +"
    both = build(tmp_path / "both", *flags, "--unstranded")
    assert both.exit_code == 0 and all(row["place"].endswith("+") for row in read(tmp_path / "both"))


@pytest.mark.parametrize("task, named", [("annotation", "--gtf"), ("regression", "--dataset_name")])
def test_what_is_missing_is_named(tmp_path, task, named):
    result = build(tmp_path / "out", "--task", task)
    assert result.exit_code == 2 and named in result.output
