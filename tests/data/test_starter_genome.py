"""The starter genome: files that fit together, and the rules that are planted in it."""

import shutil
import subprocess
from itertools import pairwise

import numpy as np
import pysam
import pytest

from textgenome.data.sequences import reverse_complement
from textgenome.data.starter_genome import (
    ACTIVATOR,
    HELD_OUT,
    INSULATOR,
    STOPS,
    write_starter_genome,
)
from textgenome.genome.bigwig import BigWig, pair_strands, read_tracks


def transcripts(folder):
    """The lines of each transcript of `genes.gtf`, as columns."""
    found = {}
    for line in (folder / "genes.gtf").read_text().splitlines():
        columns = line.split("\t")
        if "transcript_id" in columns[8]:
            found.setdefault(columns[8], []).append(columns)
    return list(found.values())


def spliced(genome, lines, kind):
    places = sorted((int(each[3]) - 1, int(each[4])) for each in lines if each[2] == kind)
    sequence = "".join(genome.fetch(lines[0][0], start, end) for start, end in places)
    return sequence if lines[0][6] == "+" else reverse_complement(sequence)


def test_genes_begin_and_end_and_are_spliced_as_planted(starter_genome):
    genome, genes = pysam.FastaFile(str(starter_genome / "genome.fa")), transcripts(starter_genome)
    assert len(genes) > 60 and {lines[0][6] for lines in genes} == {"+", "-"}
    for lines in genes:
        coding = spliced(genome, lines, "CDS")
        codons = [coding[i : i + 3] for i in range(0, len(coding), 3)]
        assert codons[0] == "ATG" and len(coding) % 3 == 0 and not set(codons) & set(STOPS)
        assert spliced(genome, lines, "stop_codon") in STOPS and spliced(genome, lines, "start_codon") == "ATG"
        exons = sorted((int(each[3]) - 1, int(each[4])) for each in lines if each[2] == "exon")
        for (_, start), (end, _) in pairwise(exons):
            intron = genome.fetch(lines[0][0], start, end)
            assert (intron if lines[0][6] == "+" else reverse_complement(intron)).startswith("GT")
            assert (intron if lines[0][6] == "+" else reverse_complement(intron)).endswith("AG")


def test_phases_say_where_the_next_codon_begins(starter_genome):
    for lines in transcripts(starter_genome):
        parts = sorted((each for each in lines if each[2] == "CDS"), key=lambda each: int(each[3]))
        read = 0
        for each in parts if lines[0][6] == "+" else parts[::-1]:
            assert (read + int(each[7])) % 3 == 0
            read += int(each[4]) - int(each[3]) + 1


def test_signals_peak_where_motifs_are(starter_genome):
    genome = pysam.FastaFile(str(starter_genome / "genome.fa"))
    tracks = {track.name: track for track in read_tracks(starter_genome / "tracks.tsv")}
    assert pair_strands([*tracks.values()]) == [0, 1, 3, 2, 5, 4]
    for name, motif in {"accessibility": ACTIVATOR, "binding": INSULATOR}.items():
        signal = BigWig(tracks[name].path).read("chr1", 0, 50_000)
        bases = genome.fetch("chr1")
        places = [i for each in (motif, reverse_complement(motif)) for i in range(50_000) if bases.startswith(each, i)]
        assert len(places) > 5 and signal[places].mean() > 10 * np.median(signal)


def test_transcripts_start_on_their_strand_only(starter_genome):
    plus, minus = (BigWig(starter_genome / "bigwig" / f"start.{strand}.bw") for strand in ("plus", "minus"))
    for line in (starter_genome / "genes.bed").read_text().splitlines():
        contig, start, end, _, _, strand = line.split("\t")
        place = int(start) if strand == "+" else int(end) - 1
        heights = [float(file.read(contig, place, place + 1)[0]) for file in (plus, minus)]
        assert heights["+-".index(strand)] > 1 > heights["-+".index(strand)]


def test_regions_of_the_two_files_are_on_different_contigs(starter_genome):
    contigs = [
        {line.split("\t")[0] for line in (starter_genome / f"{name}.bed").read_text().splitlines()}
        for name in ("train", "valid")
    ]
    assert contigs[1] == set(HELD_OUT) and not contigs[0] & contigs[1]


def test_people_who_have_a_motif_broken_express_less(starter_genome):
    with pysam.TabixFile(str(starter_genome / "expression.bed.gz")) as table:
        people = table.header[0].split("\t")[6:]
        genes = [line.split("\t") for line in table.fetch()]
    variants, found = pysam.VariantFile(str(starter_genome / "people.vcf.gz")), []
    assert [*variants.header.samples] == people == pysam_columns(starter_genome / "covariates.tsv")
    for contig, start, _, _, _, strand, *values in genes:
        # The TATA box is the nine bases that begin 31 before the start.
        first = int(start) - 31 if strand == "+" else int(start) + 23
        for site in variants.fetch(contig, first, first + 9):
            copies = [sum(site.samples[name]["GT"]) for name in people]
            found.append(np.corrcoef(copies, np.log(np.array(values, dtype=float)))[0, 1])
            assert all(site.samples[name].phased for name in people)
    assert len(found) > 30 and np.mean(found) < -0.5


def pysam_columns(path):
    return path.read_text().split("\n")[0].split("\t")[1:]


def test_references_of_variants_are_those_of_the_genome(starter_genome):
    genome = pysam.FastaFile(str(starter_genome / "genome.fa"))
    records = [*pysam.VariantFile(str(starter_genome / "people.vcf.gz"))]
    assert all(genome.fetch(each.chrom, each.start, each.stop) == each.ref for each in records)
    assert 1500 < len(records) < 6000 and any(len(each.ref) != len(each.alts[0]) for each in records)


@pytest.mark.skipif(shutil.which("bcftools") is None, reason="bcftools is not installed")
def test_bcftools_makes_a_haplotype(starter_genome):
    command = ["bcftools", "consensus", "-f", starter_genome / "genome.fa", "-s", "P001", "-H", "1"]
    done = subprocess.run([*command, starter_genome / "people.vcf.gz"], capture_output=True, text=True, check=True)
    assert done.stdout.count(">") == 8 and "Applied" in done.stderr


@pytest.mark.skipif(shutil.which("gffread") is None, reason="gffread is not installed")
def test_gffread_finds_whole_proteins(starter_genome, tmp_path):
    proteins = tmp_path / "proteins.fa"
    files = ["-g", starter_genome / "genome.fa", "-y", proteins, starter_genome / "genes.gtf"]
    subprocess.run(["gffread", "-E", *files], check=True)
    records = proteins.read_text().split(">")[1:]
    assert len(records) == len(transcripts(starter_genome))
    assert all(record.split("\n")[1].startswith("M") and "." not in record.split("\n", 1)[1] for record in records)


def test_a_seed_gives_the_same_files(starter_genome, tmp_path):
    again, other = (write_starter_genome(tmp_path / str(seed), seed) for seed in (0, 1))
    for name in ("genome.fa", "genes.gtf", "people.vcf.gz", "expression.bed.gz", "bigwig/start.plus.bw"):
        content = (starter_genome / name).read_bytes()
        assert (again / name).read_bytes() == content != (other / name).read_bytes()
