"""Windows around the starts of genes, and genes that have none."""

import numpy as np
import pytest
from conftest import SHARED, random_dna

from textgenome.data import expression_windows
from textgenome.data.expression import Expression, Gene, read_expression
from textgenome.data.expression_windows import open_windows


pytestmark = pytest.mark.usefixtures("captured")

PEOPLE = ["P1", "P2"]
GENOME = random_dna(300, 1) + "N" * 40 + random_dna(60, 2)


@pytest.fixture
def open_genes(tmp_path):
    """Opens the windows of 40 bases around some starts."""
    (tmp_path / "g.fa").write_text(f">chr2\n{GENOME}\n")
    lines = ["##fileformat=VCFv4.2", "##contig=<ID=2>", "#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT P2 P1"]
    for place, genotypes in ((101, ("0|1", "1|0")), (111, ("./.", ".|1"))):
        alternative = "A" if GENOME[place - 1] != "A" else "C"
        lines.append(" ".join(["2", str(place), ".", GENOME[place - 1], alternative, *"...", "GT", *genotypes]))
    (tmp_path / "v.vcf").write_text("\n".join(line.replace(" ", "\t") for line in lines) + "\n")

    def opened(*genes, **options):
        expression = Expression(list(genes), PEOPLE, np.zeros((len(genes), 2)))
        return open_windows(expression, tmp_path / "g.fa", tmp_path / "v.vcf", window=40, **options)

    return opened


def gene(name, start, contig="2", strand="+"):
    return Gene(name, contig, start, strand)


def test_contigs_are_spelt_as_the_genome_does_which_is_said_once(open_genes, caplog):
    expression, windows = open_genes(gene("A", 100), gene("B", 120, strand="-"))
    assert [each.contig for each in expression.genes] == ["chr2", "chr2"] and windows.genes == expression.genes
    assert len({id(each) for each in caplog.records if "The contig 2 of the genes is chr2 of" in each.message}) == 1
    first, second = windows[0].index
    assert first.tolist() != second.tolist(), "people are in the order of the expression, not of the genotypes"
    assert [each.sequence[20] for each in windows[0].haplotypes[:1]] == [GENOME[100]]
    assert "missing: 2 genotypes in the windows" in caplog.text


def test_genes_outside_the_genome_or_in_its_gaps_are_left_out_by_name(open_genes, caplog):
    genes = gene("in", 100), gene("beyond", 400), gene("before", -1), gene("elsewhere", 5, "7"), gene("gap", 299)
    expression, _ = open_genes(*genes)
    assert [each.name for each in expression.genes] == ["in"]
    assert "Left out 3 of 5 genes with their start outside the genome: beyond, before, elsewhere" in caplog.text
    assert "Left out 1 of 5 genes with N for more than 10% of their window: gap" in caplog.text
    with pytest.raises(
        ValueError, match="No gene is left: all have their start outside the genome, such as elsewhere"
    ):
        open_genes(gene("elsewhere", 5, "7"))


def test_bases_beyond_the_ends_of_a_contig_are_counted_and_no_gap(open_genes, caplog):
    expression, windows = open_genes(gene("start", 5), gene("end", 398), gene("middle", 100))
    assert len(expression.genes) == 3 and windows[0].haplotypes[0].sequence == "N" * 15 + GENOME[:25]
    assert "Windows reach over ends of contigs: there are N for 33 bases" in caplog.text


@pytest.mark.parametrize("indels", [False, True])
def test_windows_in_memory_are_bounded(open_genes, monkeypatch, indels):
    monkeypatch.setattr(expression_windows, "IN_MEMORY", 1)
    _, windows = open_genes(*(gene(name, 90 + 5 * number) for number, name in enumerate("ABC")), indels=indels)
    assert len(list(windows.haplotypes())) >= 3 and windows[0] is windows[0]
    assert windows.kept.cache_info().maxsize == 1
    places = [each.places for each in windows[0].haplotypes]
    assert (places[0] is places[1]) is not indels, "without indels all have the same places"


@pytest.mark.slow
def test_haplotypes_of_people_repeat():
    folder = SHARED / "data" / "people"
    if not folder.exists():
        pytest.skip("the public genotypes are not beside this checkout (../shared/data/people)")
    files = folder / "chr22.fa.gz", folder / "genotypes.vcf.gz"
    expression, windows = open_windows(read_expression(folder / "expression.bed.gz"), *files, window=16_384)
    counts = [len(np.unique(windows[number].index)) for number in range(len(expression.genes))]
    assert (len(expression.samples), len(counts)) == (300, 24)
    assert sum(counts) == 820, "of 24 genes and 600 haplotypes, 34 a gene"
