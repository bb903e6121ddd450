import random
import shutil
import subprocess

import numpy as np
import pysam
import pytest
from conftest import SHARED, random_dna
from hypothesis import given, settings
from hypothesis import strategies as st

from textgenome.data.haplotypes import HaplotypeReader, apply_variants, window_around
from textgenome.genome.genotypes import read_genotypes
from textgenome.genome.intervals import Interval, Variant


HEADER = '##fileformat=VCFv4.2\n##contig=<ID={contig}>\n##FORMAT=<ID=GT,Number=1,Type=String,Description="">\n'
needs_bcftools = pytest.mark.skipif(shutil.which("bcftools") is None, reason="bcftools is not installed")


def write_files(folder, genome, records, people=("P",), contig="c"):
    """A FASTA file and a VCF file of `(position from 1, REF, ALT, genotypes)`."""
    fasta, vcf = folder / "g.fa", folder / "v.vcf"
    fasta.write_text(f">{contig}\n{genome}\n")
    columns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t"
    lines = [f"{contig}\t{place}\t.\t{ref}\t{alt}\t.\t.\t.\tGT\t" + "\t".join(gt) for place, ref, alt, *gt in records]
    vcf.write_text(HEADER.format(contig=contig) + "\n".join([columns + "\t".join(people), *lines]) + "\n")
    return fasta, vcf


def windows_of(folder, genome, records, interval=None, strand="+", indels=False, **options):
    fasta, vcf = write_files(folder, genome, records, **options)
    reader = HaplotypeReader(fasta, read_genotypes(vcf), indels)
    window = reader(interval or Interval("c", 0, len(genome)), strand)
    return [[window.haplotypes[i] for i in row] for row in window.index], reader


def consensus_of(fasta, vcf, person, haplotype, *flags):
    command = ["bcftools", "consensus", "-f", fasta, "-s", person, "-H", str(haplotype), *flags, vcf]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return "".join(printed.split("\n")[1:]).upper()


def pack(vcf):
    return pysam.tabix_index(str(vcf), preset="vcf", force=True)


@needs_bcftools
@pytest.mark.slow
@pytest.mark.parametrize(
    "folder, fasta, vcf, start, indels",
    [
        ("people", "chr22.fa.gz", "genotypes.vcf.gz", 20_000_000, False),
        ("haplotypes", "chr20.fa.gz", "phased_300.vcf.gz", 1_000_000, False),
        ("haplotypes", "chr20.fa.gz", "phased_300.vcf.gz", 1_000_000, True),
    ],
)
def test_every_haplotype_is_what_bcftools_makes(tmp_path, folder, fasta, vcf, start, indels):
    folder = SHARED / "data" / folder
    if not folder.exists():
        pytest.skip(f"the public genotypes are not beside this checkout ({folder})")
    fasta, vcf = (shutil.copy(folder / name, tmp_path / name) for name in (fasta, vcf))
    with pysam.FastaFile(str(fasta)) as genome:
        (contig,) = genome.references
        part = tmp_path / "part.fa"
        bases = genome.fetch(contig, start, start + 1_000_000)
        part.write_text(f">{contig}:{start + 1}-{start + 1_000_000}\n{bases}\n")
    interval = Interval(contig, start, start + 1_000_000)
    genotypes = read_genotypes(vcf, regions=[interval])
    window = HaplotypeReader(fasta, genotypes, indels)(interval)
    pack(shutil.copy(vcf, tmp_path / "copy.vcf.gz"))
    flags = [] if indels else ["-i", 'TYPE="snp"']
    for person, row in zip(genotypes.samples, window.index):
        for number, which in enumerate(row, 1):
            expected = consensus_of(part, tmp_path / "copy.vcf.gz", person, number, *flags)
            assert window.haplotypes[which].sequence == expected, f"{person}, haplotype {number}"
    assert len(genotypes.samples) == 300


def random_records(genome, rng, number):
    """Records that overlap, of every form that has letters."""
    for place in sorted(rng.randrange(len(genome) - 6) for _ in range(number)):
        ref = genome[place : place + rng.choice((1, 1, 1, 2, 3, 5))]
        alts = []
        for _ in range(rng.choice((1, 1, 2))):
            letters = random_dna(rng.choice((1, 1, 2, 4)), rng.random())
            alts.append(rng.choice((ref[0] + letters, ref[0], letters, letters + ref[1:], ref + letters)))
        alts = [alt for alt in dict.fromkeys(alts) if alt != ref] or [random_dna(7, place)]
        yield place + 1, ref, ",".join(alts), f"{rng.randint(0, len(alts))}|{rng.randint(0, len(alts))}"


@needs_bcftools
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), number=st.integers(1, 40))
def test_random_genomes_with_overlapping_records_are_as_bcftools_makes_them(tmp_path_factory, seed, number):
    folder, rng = tmp_path_factory.mktemp("random", numbered=True), random.Random(seed)
    genome = random_dna(120, seed)
    records = list(random_records(genome, rng, number))
    for indels, flags in ((True, []), (False, ["-i", 'TYPE="snp"'])):
        if not indels:  # a record of several kinds has one for bcftools
            records = [record for record in records if "," not in record[2]]
        ((first, second),), _ = windows_of(folder, genome, records, indels=indels)
        packed = pack(folder / "v.vcf")
        for number, haplotype in ((1, first), (2, second)):
            assert haplotype.sequence == consensus_of(folder / "g.fa", packed, "P", number, *flags), records


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_places_lead_from_each_base_of_the_reference_to_the_haplotype(seed):
    rng, genome = random.Random(seed), random_dna(60, seed)
    place, deleted, inserted = rng.randrange(1, 50), rng.randrange(0, 5), "T" * rng.randrange(1, 5)
    variants = [
        Variant("c", place - 1, genome[place - 1 : place + deleted], genome[place - 1]),
        Variant("c", 55, genome[55], genome[55] + inserted),
    ]
    found = apply_variants(genome, 0, [each for each in variants if each.reference != each.alternative])
    assert len(found.places) == len(genome) and (np.diff(found.places) >= 0).all()
    kept = [i for i in range(60) if not place <= i < place + deleted]
    assert all(found.sequence[found.places[i]] == genome[i] for i in kept)
    assert set(found.places[place : place + deleted]) <= {found.places[place - 1]}
    assert found.places[56] - found.places[55] == 1 + len(inserted)


GENOME = "AAAAACCCCCGGGGGTTTTT"


def test_each_person_has_two_sequences_and_equal_ones_are_made_once(tmp_path):
    records = [(6, "C", "T", "0|1", "1|1", "0|0"), (16, "T", "A", "0|1", "0|0", "0|0")]
    haplotypes, reader = windows_of(tmp_path, GENOME, records, people=("P", "Q", "R"))
    first, second = haplotypes[0]
    assert first.sequence == GENOME and second.sequence == "AAAAATCCCCGGGGGATTTT"
    assert haplotypes[1][0] is haplotypes[1][1] and haplotypes[2] == [first, first]
    window = reader(Interval("c", 0, 20))
    assert len(window.haplotypes) == 3 and window.haplotypes[0].sequence == GENOME
    part = reader(Interval("c", 4, 8), "-")
    assert [part.haplotypes[i].sequence for i in part.index[0]] == ["GGGT", "GGAT"]


def test_by_default_only_substitutions_of_one_base_are_applied_and_the_rest_is_counted(tmp_path):
    records = [
        (2, "A", "AT,G", "1|2"),
        (6, "CC", "C", "1|1"),
        (8, "CC", "TT", "1|0"),
        (11, "GG", "GA", "0|1"),
        (16, "T", "<DEL>", "1|1"),
        (18, "T", "*", "1|0"),
        (19, "T", "T]c:3]", "1|0"),
    ]
    ((first, second),), reader = windows_of(tmp_path, GENOME, records)
    assert first.sequence == GENOME and second.sequence == "AGAAACCCCCGAGGGTTTTT"
    assert {kind: count for kind, count in reader.counts.items() if count} == {
        "insertions and deletions": 2,
        "substitutions of several bases": 1,
        "symbolic alleles": 1,
        "spanning deletions (*)": 1,
        "breakends and other alleles without a sequence": 1,
    }
    ((first, second),), reader = windows_of(tmp_path, GENOME, records, indels=True)
    assert first.sequence == "AATAAACTTCGGGGGTTTTT" and second.sequence[:2] == "AG"
    assert set(reader.counts) >= {"symbolic alleles", "spanning deletions (*)"}


def test_a_window_over_the_end_of_a_contig_is_filled_with_n(tmp_path):
    ((first, _),), reader = windows_of(tmp_path, GENOME, [(2, "A", "G", "1|0")], Interval("c", -3, 23))
    assert first.sequence == f"NNNAG{GENOME[2:]}NNN"
    assert reader.counts["bases beyond the ends of contigs"] == 6
    with pytest.raises(ValueError, match="c:31-40 is not within the contig, which has 20 bases"):
        reader(Interval("c", 30, 40))
    with pytest.raises(ValueError, match="the genome has no contig chr9"):
        reader(Interval("chr9", 0, 9))


def test_another_assembly_is_told_by_its_reference(tmp_path):
    with pytest.raises(ValueError, match=r"REF of 1 of 2 records in c:1-20 is not .* the first at c:7. Is it another"):
        windows_of(tmp_path, GENOME, [(6, "C", "T", "0|1"), (7, "G", "T", "0|0")])


def test_the_place_in_the_middle_is_the_same_base_on_both_strands(tmp_path):
    genome = random_dna(40, 3)
    fasta, vcf = write_files(tmp_path, genome, [(1, genome[0], "N", "0|0")])
    reader = HaplotypeReader(fasta, read_genotypes(vcf))
    for window in (6, 7):
        plus, minus = (reader(window_around("c", 20, window, s), s).haplotypes[0].sequence for s in "+-")
        assert len(plus) == len(minus) == window
        assert plus[window // 2] == genome[20] and minus[window // 2] == genome[20].translate(
            str.maketrans("ACGT", "TGCA")
        )
