import random

import pandas
import pytest
from conftest import random_dna
from typer.testing import CliRunner

from textgenome.commands import app
from textgenome.data.population import read_sample_labels


DNA = random_dna(400)
PEOPLE = [f"P{i}" for i in range(30)]
SITES = (50, 90, 130, 210)


@pytest.fixture
def files(tmp_path):
    """30 people, 15 of each label, and one without; all of the label `south` carry the second site twice."""
    draw = random.Random(0)
    lines = []
    for site in SITES:
        other = "ACGT"["CGTA".index(DNA[site])]
        genotypes = [f"{draw.randrange(2)}|{draw.randrange(2)}" for _ in PEOPLE]
        if site == 90:
            genotypes = ["1|1" if i >= 15 else "0|0" for i in range(30)]
        lines.append(f"1\t{site + 1}\t.\t{DNA[site]}\t{other}\t.\t.\t.\tGT\t" + "\t".join([*genotypes, "0|0"]) + "\n")
    columns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t" + "\t".join([*PEOPLE, "nobody"])
    (tmp_path / "calls.vcf").write_text(f"##fileformat=VCFv4.2\n{columns}\n{''.join(lines)}")
    (tmp_path / "genome.fa").write_text(f">chr1\n{DNA}\n")
    rows = [f"{name}\tx\t{'south' if i >= 15 else 'north'}\n" for i, name in enumerate(PEOPLE)]
    (tmp_path / "people.tsv").write_text(f"sample\tsex\tlabel\n{''.join(rows)}elsewhere\tx\tnorth\n")
    return tmp_path


def run(files, *words, code: int = 0) -> str:
    given = [
        "--vcf",
        "calls.vcf",
        "--fasta",
        "genome.fa",
        "--samples-with-labels",
        "people.tsv",
        "--output_dir",
        "rows",
    ]
    given = [str(files / word) if "." in word or word == "rows" else word for word in given]
    result = CliRunner().invoke(app, ["build", "population", *given, *words])
    assert result.exit_code == code, result.output
    return result.output


def test_rows_are_windows_of_haplotypes_and_people_are_in_one_split(files):
    told = run(files, "--window", "60")
    parts = {part: pandas.read_parquet(files / "rows" / f"{part}.parquet") for part in ("train", "validation", "test")}
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 144, "validation": 12, "test": 24}
    people = [set(rows["person"]) for rows in parts.values()]
    assert not people[0] & people[1] and not people[1] & people[2] and len(set.union(*people)) == 30
    rows = pandas.concat(parts.values())
    assert set(rows["start"]) == {50, 110, 170} and set(rows["label"]) == {"north", "south"}
    assert all(len(sequence) == 60 for sequence in rows["sequence"])
    first = rows[rows["start"] == 50]
    differs = first["sequence"].str[40] != DNA[90]
    assert (differs == (first["label"] == "south")).all()
    for line in ("people: 30", "people without label: 1", "labelled people without genotypes: 1", "windows: 3"):
        assert f"{line}\n" in told
    # Only windows of the first place tell the labels apart.
    assert "rows with a sequence of several labels: 120\n" in told and "distinct sequences: 8\n" in told


def test_regions_take_the_place_of_windows(files):
    (files / "places.bed").write_text("1\t80\t100\n")
    assert "windows: 1\n" in run(files, "--regions", str(files / "places.bed"))
    assert set(pandas.read_parquet(files / "rows" / "train.parquet")["start"]) == {80}
    assert "is there already" in run(files, code=1)


def test_too_few_people_and_labels_are_refused(files):
    table = files / "people.tsv"
    text = table.read_text()
    table.write_text("sample\tlabel\n" + "".join(f"{name}\tnorth\n" for name in PEOPLE[:19]))
    told = run(files, code=1)
    assert "19 of its people have a label (12 have none, and 0 with one are not in it). At least 20" in told
    table.write_text("sample\tlabel\n" + "".join(f"{name}\tnorth\n" for name in PEOPLE))
    assert "All 30 people have the label 'north'" in run(files, code=1)
    table.write_text(text.replace("P0\tx\tnorth", "P0\tx\tsouth").replace("south", "x", 7))
    assert "people: at least 10 are needed" in run(files, code=1)


def test_tables_of_people_that_cannot_be_read_are_refused(tmp_path):
    path = tmp_path / "people.tsv"
    for text, message in (
        ("name\tlabel\nA\tx\n", "row 0: there is no column 'sample', only name, label"),
        ("sample\tlabel\nA\tx\nA\ty\n", "row 1: the sample A is there already"),
        ("sample\tlabel\nA\t\n", "row 0: the sample or its label is empty"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_sample_labels(path)


def test_an_unphased_heterozygote_is_refused(files):
    path = files / "calls.vcf"
    path.write_text(path.read_text().replace("0|1", "0/1", 1))
    assert "unphased" in run(files, "--window", "60", code=1)
    assert "unphased" in run(files, "--window", "60", "--unphased", "reference")
