import json

import pandas
import pytest
from conftest import TINY_CHECKPOINT, random_dna, variant_row
from typer.testing import CliRunner

from textgenome.commands import app
from textgenome.commands.ask import read_labels
from textgenome.commands.options import read_synonyms


@pytest.fixture
def table(tmp_path):
    rows = [variant_row(40, i, answer="glioma" if i % 2 else "melanoma", reasoning="Step 1") for i in range(4)]
    folder = tmp_path / "rows"
    folder.mkdir()
    for name in ("train", "val"):
        pandas.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)
    return str(folder)


def invoke(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_evaluate_prints_the_table(table, tmp_path):
    synonyms = tmp_path / "synonyms.csv"
    synonyms.write_text("melanoma,glioma\n")
    flags = ["--model", TINY_CHECKPOINT, "--dataset_name", table, "--output_dir", tmp_path / "out"]
    flags += ["--controls", "pair_swapped, dna_removed", "--mode", "score", "--synonyms", synonyms]
    flags += ["--constant_question", "Why?", "--locus_column", "answer"]
    result = invoke("evaluate", *flags)
    assert result.exit_code == 0, result.output
    table_lines = [line.split("  ")[0] for line in result.output.splitlines() if "0." in line]
    assert table_lines[0].startswith("The model ")
    assert table_lines[1:] == ["unchanged", "pair swapped", "DNA removed"]
    description = json.loads((tmp_path / "out" / "metrics.json").read_text())["description"]
    assert (description["constant_question"], description["locus_column"]) == ("Why?", "answer")


def test_baselines_print_the_table(table, tmp_path):
    result = invoke("baselines", "--dataset_name", table, "--output_dir", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "question look-up" in result.output


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--controls", "dna_eaten"], "dna_eaten: choose from dna_exchanged"),
        (["--mode", "guess"], "'guess' is not one of"),
    ],
)
def test_wrong_flags_are_named(table, tmp_path, flags, message):
    flags = ["--model", TINY_CHECKPOINT, "--dataset_name", table, "--output_dir", tmp_path / "out", *flags]
    result = invoke("evaluate", *flags)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())


def test_baselines_of_sequences_print_the_verdict_first(tmp_path):
    (tmp_path / "rows").mkdir()
    for split, first in (("train", 100), ("dev", 0)):
        rows = [{"sequence": random_dna(20, seed=first + i), "label": i % 2, "clone": i // 2} for i in range(8)]
        pandas.DataFrame(rows).to_csv(tmp_path / "rows" / f"{split}.csv", index=False)
    flags = ["--dataset_name", tmp_path / "rows", "--split", "dev", "--output_dir", tmp_path / "out"]
    result = invoke("baselines", *flags, "--locus_column", "clone")
    assert result.exit_code == 0, result.output
    assert next(line for line in result.output.splitlines() if line[:1].isalpha()).startswith("Best baseline: ")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (metrics["unit"], metrics["conditions"]["kmers"]["units"]) == ("locus", 4)


def test_of_a_single_file_the_split_is_to_be_named(table, tmp_path):
    flags = ["--model", TINY_CHECKPOINT, "--dataset_name", f"{table}/train.csv", "--output_dir", tmp_path / "out"]
    result = invoke("evaluate", *flags)
    assert result.exit_code == 1
    assert "no split 'validation', only train. Name one by --split" in result.output


@pytest.mark.parametrize(
    "content, message",
    [
        ("a,b\nc\n", "row 1: expected two columns"),
        ("a,b\n,c\n", "row 1: a name or a meaning is empty"),
        ("a,b\nc,\u200b\n", "row 1: a name or a meaning is empty"),
        ("AD,b\nad.,c\n", "row 1: 'ad.' has another meaning"),
        ('a,b\n"c,d\n', "is each double quote closed"),
    ],
)
def test_a_bad_table_of_synonyms_is_named(table, tmp_path, content, message):
    synonyms = tmp_path / "synonyms.csv"
    synonyms.write_text(content)
    flags = ["--dataset_name", table, "--output_dir", tmp_path / "out", "--synonyms", synonyms]
    result = invoke("baselines", *flags)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_synonyms_and_labels_are_read_in_any_encoding_with_a_mark(tmp_path, encoding):
    path = tmp_path / "names"
    path.write_bytes("AD,Alzheimer’s disease\n\nGBM,glioma\n".encode(encoding))
    assert read_synonyms(path) == {"AD": "Alzheimer’s disease", "GBM": "glioma"}
    path.write_bytes("naïve\u2028one\r\n\u200b\n<5 %\n".encode(encoding))
    assert read_labels(str(path)) == ["naïve\u2028one", "<5 %"]
    path.write_bytes("one\nnaïve".encode("latin-1"))
    with pytest.raises(ValueError, match=r"names, line 2: the text holds the byte 0xEF, which is not UTF-8"):
        read_labels(str(path))
