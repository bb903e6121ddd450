import pandas
import pytest
from conftest import random_dna
from scipy.stats import poisson
from typer.testing import CliRunner

from textgenome.commands import app
from textgenome.data.hotspots import find_hotspots


TILE = 100
HEADER = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
DNA = random_dna(650) + "N" * 200 + random_dna(100, seed=1)


@pytest.fixture
def vcf(tmp_path):
    """One variant in each tile from 100 to 950 but the one of N alone, and twelve more in that at 300."""
    places = [150, 250, *range(301, 399, 8), 450, 550, 610, 810, 910]
    lines = [f"chr1\t{place + 1}\t.\t{DNA[place]}\t{'A' if DNA[place] != 'A' else 'C'}\t.\t.\t.\n" for place in places]
    path = tmp_path / "calls.vcf"
    # The last one again, with another allele; and one without any.
    path.write_text(HEADER + "".join(lines) + lines[-1] + "chr1\t5\t.\tA\t.\t.\t.\t.\n")
    return path


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text(f">1\n{DNA}\n")
    return path


def test_tiles_between_the_first_and_the_last_variant_are_tested_against_their_mean(vcf):
    rows = find_hotspots(vcf, TILE)
    assert [row["start"] for row in rows] == [*range(100, 1000, 100)]
    assert [row["variants"] for row in rows] == [1, 1, 13, 1, 1, 1, 0, 1, 1]
    assert {row["expected"] for row in rows} == {20 / 9}
    assert [row["label"] for row in rows] == ["background"] * 2 + ["hotspot"] + ["background"] * 6
    hot = rows[2]
    assert hot["p_value"] == pytest.approx(1 - poisson.cdf(12, 20 / 9))
    assert hot["q_value"] == pytest.approx(9 * hot["p_value"])
    assert {row["label"] for row in find_hotspots(vcf, TILE, fdr=1e-9)} == {"background"}


def test_with_a_genome_rows_have_their_bases_and_tiles_of_n_are_left_out(vcf, fasta, caplog):
    rows = find_hotspots(vcf, TILE, fasta=fasta)
    assert 700 not in [row["start"] for row in rows] and len(rows) == 8
    assert all(row["sequence"] == DNA[row["start"] : row["end"]] for row in rows)
    assert (rows[-1]["end"], rows[0]["expected"]) == (950, 20 / 8)
    assert "Left out 1 tiles of N alone" in caplog.text


def test_a_genome_of_another_assembly_is_refused(vcf, tmp_path):
    other = tmp_path / "other.fa"
    other.write_text(">chr2\nACGT\n")
    with pytest.raises(ValueError, match=r"has no contig chr1\. Is it another assembly\?"):
        find_hotspots(vcf, TILE, fasta=other)
    other.write_text(f">chr1\n{DNA[:500]}\n")
    with pytest.raises(ValueError, match="variants at base 501 or after it, but only 500 bases"):
        find_hotspots(vcf, TILE, fasta=other)


def test_a_file_without_variants_is_refused(tmp_path):
    path = tmp_path / "none.vcf"
    path.write_text(HEADER)
    with pytest.raises(ValueError, match="there are no variants in it"):
        find_hotspots(path)


def test_the_command_writes_a_table_and_counts(vcf, fasta, tmp_path):
    output = tmp_path / "hot.parquet"
    words = ["build", "hotspots", "--vcf", str(vcf), "--fasta", str(fasta), "--tile", "100", "--output", str(output)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert f"8 tiles in {output}: 1 hotspots at a false discovery rate of 0.05" in result.output
    assert pandas.read_parquet(output).query("label == 'hotspot'")["variants"].to_list() == [13]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1 and "is there already" in result.output
    result = CliRunner().invoke(app, [*words[:-1], str(tmp_path / "hot.xlsx")])
    assert result.exit_code == 1 and "ends with .tsv, .csv, .jsonl, .parquet" in result.output
