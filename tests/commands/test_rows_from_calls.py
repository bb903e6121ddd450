import json

import pandas
import pytest
from conftest import random_dna
from typer.testing import CliRunner

from textgenome.commands import app
from textgenome.data.rows import load_rows


GENOMES = {f"chr{number}": random_dna(2_000, number) for number in (1, 2, 3)}


@pytest.fixture
def calls(tmp_path):
    (tmp_path / "genome.fa").write_text("".join(f">{name}\n{dna}\n" for name, dna in GENOMES.items()))
    lines = ["##fileformat=VCFv4.2"]
    lines += [f'##INFO=<ID={key},Number=1,Type=String,Description="?">' for key in ("A", "G")]
    lines.append("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO")
    for name, dna in GENOMES.items():
        for position in range(100, 1_900, 150):
            info = f"A={'benign' if position % 100 else 'pathogenic'};G=G{position}"
            lines.append(f"{name}\t{position}\t.\t{dna[position - 1]}\tTTTT\t.\t.\t{info}")
    (tmp_path / "v.vcf").write_text("\n".join(lines) + "\n")
    files = ["--vcf", tmp_path / "v.vcf", "--fasta", tmp_path / "genome.fa"]
    return ["windows", *files, "--labels", "A", "--window", 100]


def invoke(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result, " ".join(result.output.split())


def test_contigs_are_held_out_and_the_question_names_the_gene(calls, tmp_path):
    words = ["--output_dir", tmp_path / "rows", "--question", "What in {G}?", "--validation_contigs", " 2"]
    result, output = invoke(*calls, *words, "--test_contigs", "chr3")
    assert result.exit_code == 0 and "train: 12 rows validation: 12 rows test: 12 rows" in output, output
    for split, contig in (("train", "chr1"), ("val", "chr2"), ("test", "chr3")):
        rows = load_rows(str(tmp_path / "rows"), split)
        assert {name.split(":")[0] for name in rows["variant"]} == {contig}
        assert rows[0]["question"] == "What in G100?" and rows[0]["G"] == "G100"


def test_without_contigs_the_splits_share_no_locus(calls, tmp_path):
    result, output = invoke(*calls, "--output_dir", tmp_path / "rows", "--window", 60)
    assert result.exit_code == 0 and "- benign: " in output, output
    report = json.loads((tmp_path / "rows" / "split.json").read_text())
    assert report["by"] == "locus" and sum(report["sizes"].values()) == 36
    assert report["leakage"]["test"]["64-mer"] == 0
    assert sorted(path.suffix for path in (tmp_path / "rows").iterdir()) == [".json", *[".parquet"] * 3]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    "words, status, message",
    [
        ([], 2, "Give --output FILE, or --output_dir FOLDER for splits."),
        (["--output", "a.jsonl", "--test_contigs", "1"], 2, "--test_contigs need --output_dir."),
        (["--output_dir", "out", "--test_contigs", "1,9"], 1, "There is no variant on 9, which you hold out."),
        (["--output_dir", "out", "--test_contigs", "1,2,3"], 1, "No variant is left for train: look at the contigs"),
        (["--output_dir", "out", "--test_contigs", "1", "--validation_contigs", "chr1"], 1, "1: name a contig for"),
    ],
)
def test_what_says_nothing_or_leaves_nothing_is_refused(calls, tmp_path, monkeypatch, words, status, message):
    monkeypatch.chdir(tmp_path)
    result, output = invoke(*calls, *words)
    assert result.exit_code == status and message in output, output
    assert not (tmp_path / "out").exists()


def test_columns_of_other_names_are_read_by_all_commands(tmp_path):
    rows = [{"ref": random_dna(80, i), "label": str(i % 2), "locus": f"g{i}"} for i in range(40)]
    for row in rows:
        row["alt"] = f"{row['ref'][:40]}{'ACGT'[('ACGT'.index(row['ref'][40]) + 1) % 4]}{row['ref'][41:]}"
    pandas.DataFrame(rows).to_csv(tmp_path / "rows.tsv.gz", sep="\t", index=False)
    form = ["--columns", "reference_sequence=ref,variant_sequence=alt"]
    source = ["--dataset_name", tmp_path / "rows.tsv.gz"]
    result, output = invoke("split", *source, *form, "--locus_column", "locus", "--output_dir", tmp_path / "split")
    assert result.exit_code == 0, output
    assert {"ref", "reference_sequence"} <= set(pandas.read_parquet(tmp_path / "split" / "train.parquet"))
    result, output = invoke("split", *source, "--output_dir", tmp_path / "other")
    assert result.exit_code == 1 and "The table has the columns ref, label, locus, alt. Say which to" in output
