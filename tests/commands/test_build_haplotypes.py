"""`textgenome build haplotypes`."""

import pysam
from typer.testing import CliRunner

from textgenome.commands import app


def build(folder, output, *flags):
    files = ["--vcf", folder / "people.vcf.gz", "--fasta", folder / "genome.fa", "--regions", folder / "genes.bed"]
    return CliRunner().invoke(app, ["build", "haplotypes", *map(str, files), "--output", str(output), *flags])


def test_each_person_has_two_sequences_of_each_gene(starter_genome, tmp_path):
    (tmp_path / "people.txt").write_text("P003\nP001\n")
    output = tmp_path / "people.fa.gz"
    result = build(starter_genome, output, "--samples", str(tmp_path / "people.txt"))
    genes = [line.split("\t") for line in (starter_genome / "genes.bed").read_text().splitlines()]
    assert result.exit_code == 0 and f"{4 * len(genes)} sequences in" in result.output
    assert "insertions and deletions: " in result.output
    with pysam.FastaFile(str(output)) as made, pysam.FastaFile(str(starter_genome / "genome.fa")) as genome:
        assert list(made.references[:4]) == [
            f"{genes[0][3]}|{name}" for name in ("P003|1", "P003|2", "P001|1", "P001|2")
        ]
        for contig, start, end, name, _, strand in genes:
            bases = genome.fetch(contig, int(start), int(end))
            if strand == "-":
                bases = bases.translate(str.maketrans("ACGT", "TGCA"))[::-1]
            sequence = made.fetch(f"{name}|P001|1")
            assert len(sequence) == len(bases)
            assert sum(map(str.__ne__, sequence, bases)) < len(bases) / 50
    assert build(starter_genome, output).exit_code == 1, "a file that is there is not written over"


def test_a_name_that_is_there_twice_is_refused(starter_genome, tmp_path):
    (tmp_path / "people.txt").write_text("P003\nP003\n")
    result = build(starter_genome, tmp_path / "people.fa", "--samples", str(tmp_path / "people.txt"))
    assert result.exit_code == 1 and not (tmp_path / "people.fa").exists()
