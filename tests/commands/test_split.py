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


def test_sizes_diseases_and_leakage_are_printed(table, tmp_path):
    result = CliRunner().invoke(app, split(table, tmp_path / "out", "--by", "locus", "--seed", "3"))
    assert result.exit_code == 0, result.output
    assert "train: 16 rows\nvalidation: 2 rows\ntest: 2 rows\n" in result.output
    assert "- cancer: 16 / 2 / 2\n" in result.output
    assert "Diseases in train only: none\n" in result.output
    assert "test that share with train: question 0, gene 0, sequence 0, pair 0, 64-mer 0" in result.output
    assert "No row names a gene" not in result.output
    report = json.loads((tmp_path / "out" / "split.json").read_text())
    assert (report["by"], report["seed"]) == ("locus", 3)
    assert report["sizes"] == {"train": 16, "validation": 2, "test": 2}
    assert report["diseases_evaluated"] == {"cancer": {"train": 16, "validation": 2, "test": 2}}
    assert report["leakage"]["test"]["gene"] == 0


def test_a_folder_with_something_in_it_is_left_alone(table, tmp_path):
    before = table.read_bytes()
    result = CliRunner().invoke(app, split(table, tmp_path))
    assert result.exit_code == 1
    assert f"Error: {tmp_path} is not empty" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == [table.name] and table.read_bytes() == before


def test_without_genes_the_dna_alone_groups(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(variant_row(200, seed=i)) + "\n" for i in range(20)))
    result = CliRunner().invoke(app, split(path, tmp_path / "out"))
    assert "No row names a gene: rows are grouped by their DNA alone." in result.output
    result = CliRunner().invoke(app, split(path, tmp_path / "other", "--gene_column", "symbol"))
    assert result.exit_code == 1 and "There is no column 'symbol'" in result.stderr


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
