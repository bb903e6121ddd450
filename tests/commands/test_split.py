import json
import subprocess
import sys

import pytest
from conftest import variant_row
from typer.testing import CliRunner

from textgenome.commands import app


@pytest.fixture
def table(tmp_path):
    question = "What is the effect of this {} allele?"
    rows = [variant_row(200, seed=i, question=question.format(f"GENE{i}")) for i in range(20)]
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def split(table, output_dir, *options):
    return ["split", "--dataset_name", str(table), "--output_dir", str(output_dir), *options]


def test_sizes_answers_and_leakage_are_printed(table, tmp_path):
    result = CliRunner().invoke(app, split(table, tmp_path / "out", "--by", "locus", "--seed", "3"))
    assert result.exit_code == 0, result.output
    assert "train: 16 rows\nvalidation: 2 rows\ntest: 2 rows\n" in result.output
    assert "- cancer: 16 / 2 / 2\n" in result.output
    assert "Answers in train only: none\n" in result.output
    assert "test that share with train: question 0, locus 0, sequence 0, pair 0, 64-mer 0" in result.output
    assert "No row names its locus" not in result.output
    report = json.loads((tmp_path / "out" / "split.json").read_text())
    assert (report["by"], report["seed"]) == ("locus", 3)
    assert report["sizes"] == {"train": 16, "validation": 2, "test": 2}
    assert report["answers_evaluated"] == {"cancer": {"train": 16, "validation": 2, "test": 2}}
    assert report["leakage"]["test"]["locus"] == 0


def test_a_folder_with_something_in_it_is_left_alone(table, tmp_path):
    before = table.read_bytes()
    result = CliRunner().invoke(app, split(table, tmp_path))
    assert result.exit_code == 1
    assert f"Error: {tmp_path} is there already" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == [table.name] and table.read_bytes() == before


def test_without_loci_the_dna_alone_groups(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(variant_row(200, seed=i)) + "\n" for i in range(20)))
    result = CliRunner().invoke(app, split(path, tmp_path / "out"))
    assert "No row names its locus (see --locus_column): rows are grouped by their DNA alone." in result.output
    result = CliRunner().invoke(app, split(path, tmp_path / "other", "--locus_column", "symbol"))
    assert result.exit_code == 1 and "There is no column 'symbol'" in result.stderr
    result = CliRunner().invoke(app, split(path, tmp_path / "other", "--locus_pattern", "(gene"))
    assert result.exit_code == 1 and "locus_pattern '(gene' is not a regular expression" in result.stderr
    result = CliRunner().invoke(app, split(path, tmp_path / "other", "--locus_pattern", "(What)"))
    assert "No row names its locus" not in result.output
    # All 20 are of one locus then.
    assert result.exit_code == 1 and "Nothing is left for validation" in result.stderr


def test_in_a_process_of_its_own(table, tmp_path):
    command = [sys.executable, "-c", "from textgenome.commands import app; app()"]
    done = subprocess.run(
        [*command, *split(table, tmp_path / "out", "--by", "random")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "train: 16 rows" in done.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "split.json",
        "test.parquet",
        "train.parquet",
        "validation.parquet",
    ]
