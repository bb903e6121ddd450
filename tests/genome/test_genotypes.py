import pysam
import pytest
from test_vcf import COLUMNS, text_of, write_vcf

from textgenome.genome.genotypes import read_genotypes
from textgenome.genome.intervals import Interval


SAMPLES = f"{COLUMNS}\tFORMAT\tS1\tS2\tS3"


def record(position, *genotypes, contig="chr1", alts="T", form="GT"):
    return "\t".join([contig, str(position), ".", "G", alts, ".", "PASS", ".", form, *genotypes])


def read(folder, *records, **options):
    return read_genotypes(write_vcf(folder / "v.vcf", text_of(*records, columns=SAMPLES)), **options)


def test_people_carry_what_the_file_says_in_the_order_that_is_asked_for(tmp_path):
    records = [record(10, "0|1", "1|0", "1|1"), record(20, "2|1", "0|0", "0/0", alts="T,GA")]
    found = read(tmp_path, *records, samples=["S3", "S1"])
    assert found.samples == ["S3", "S1"] and not found.counts
    assert found.alleles["chr1"].tolist() == [[[1, 1], [0, 1]], [[0, 0], [2, 1]]]
    assert [(site.start, site.alleles) for site in found.sites["chr1"]] == [(9, ("T",)), (19, ("T", "GA"))]
    sites, alleles = found.within(Interval("chr1", 10, 20))
    assert [str(site) for site in sites] == ["chr1:20"] and alleles.shape == (1, 2, 2)
    assert found.within(Interval("chr2", 0, 9))[1].shape == (0, 2, 2)


def test_bcf_files_and_other_fields_are_read(tmp_path):
    vcf = write_vcf(tmp_path / "v.vcf", text_of(record(10, "9:0|1", "9:1|0", "9:1|1", form="GQ:GT"), columns=SAMPLES))
    with (
        pysam.VariantFile(str(vcf)) as file,
        pysam.VariantFile(str(tmp_path / "v.bcf"), "wb", header=file.header) as b,
    ):
        for each in file:
            b.write(each)
    for path in (vcf, tmp_path / "v.bcf"):
        assert read_genotypes(path).alleles["chr1"].tolist() == [[[0, 1], [1, 0], [1, 1]]]


def test_what_is_missing_is_the_reference_and_counted(tmp_path):
    found = read(tmp_path, record(10, ".|1", "./.", "."), record(20, "1", "1|.", "0/0"))
    assert found.alleles["chr1"].tolist() == [[[0, 1], [0, 0], [0, 0]], [[1, 0], [1, 0], [0, 0]]]
    assert found.counts == {"missing": 4, "haploid": 1}


def test_unphased_heterozygotes_are_named_or_handled_as_asked(tmp_path):
    records = [record(10, "0|1", "0/1", "1/1"), record(20, "0|1", "0|0", "1|1")]
    with pytest.raises(ValueError, match=r"v.vcf, chr1:10: the genotype 0/1 of S2 is heterozygous and not phased"):
        read(tmp_path, *records)
    found = read(tmp_path, *records, unphased="reference")
    assert found.alleles["chr1"][0].tolist() == [[0, 1], [0, 0], [1, 1]] and found.counts == {"unphased": 1}
    found = read(tmp_path, *records, unphased="skip")
    assert [site.start for site in found.sites["chr1"]] == [19] and found.counts["sites left out"] == 1
    assert read(tmp_path, *records, samples=["S1", "S3"]).alleles["chr1"].shape == (2, 2, 2)


def test_only_sites_in_the_regions_are_kept_however_contigs_are_spelt(tmp_path):
    records = [record(place, "0|1", "0|0", "1|1") for place in (10, 20, 30, 40)]
    regions = [Interval("1", 25, 35), Interval("1", 9, 12), Interval("1", 11, 19)]
    found = read(tmp_path, *records, regions=regions)
    assert [site.start for site in found.sites["1"]] == [9, 29]
    with pytest.raises(ValueError, match=r"no record on the contigs that are asked for \(chr7\), only on chr1"):
        read(tmp_path, *records, regions=[Interval("chr7", 0, 99)])


@pytest.mark.parametrize(
    "records, options, message",
    [
        ([record(10, "0|1", "0|1", "0|3", alts="T,C")], {}, r"chr1:10: the genotype 0\|3 of S3: ALT has 2 alleles"),
        ([record(10, "0|1", "0|1|1", "0|1")], {}, r"chr1:10: the genotype 0\|1\|1 of S2: expected two alleles"),
        ([record(10, "0|1", "x|1", "0|1")], {}, r"the genotype x\|1 of S2: expected two alleles"),
        ([record(10, "1", "1", "1", form="GQ")], {}, "chr1:10: FORMAT has no GT"),
        ([record(10, "0|1", "0|1", "0|1")], {"samples": ["S1", "X"]}, "1 of 2 people are not in it, such as X"),
        ([record(20, "0|0", "0|0", "0|0"), record(10, "0|0", "0|0", "0|0")], {}, "chr1:10: .* not sorted by position"),
    ],
)
def test_each_fault_has_its_message(tmp_path, records, options, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, *records, **options)


def test_a_file_without_people_is_refused(tmp_path):
    with pytest.raises(ValueError, match="it has no genotypes of people"):
        read_genotypes(write_vcf(tmp_path / "v.vcf", text_of()))
