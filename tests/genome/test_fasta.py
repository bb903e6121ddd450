import gzip
import logging
import os
import random

import pysam
import pytest
from conftest import random_dna

from textgenome.genome import faidx
from textgenome.genome.faidx import scan_contigs
from textgenome.genome.fasta import open_fasta, read_record
from textgenome.genome.vcf import quiet_htslib


GENOME = {"chr1": random_dna(600, 1), "chr2": random_dna(610, 2), "chrM": random_dna(45, 3)}


def fasta_of(genome, width=60, end="\n", about=""):
    lines = []
    for name, dna in genome.items():
        lines += [f">{name}{about}", *(dna[i : i + width] for i in range(0, len(dna), width))]
    return "".join(line + end for line in lines).encode()


def write_genome(path, content, packed=False):
    path.write_bytes(content)
    if packed:
        pysam.tabix_compress(str(path), f"{path}.gz")
        return path.with_name(f"{path.name}.gz")
    return path


def make_older(path, by=60):
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - by))


def bases_of(path):
    with open_fasta(path) as genome:
        return {name: genome.fetch(name) for name in genome.references}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_the_index_is_that_of_htslib(tmp_path, packed, end):
    rng = random.Random(0)
    genome = {f"c{i}": random_dna(rng.choice([1, 59, 60, 61, 70_000, 131_072]), i) for i in range(12)}
    path = write_genome(tmp_path / "genome.fa", fasta_of(genome, end=end, about=" some text"), packed)
    indexes = [f"{path}{suffix}" for suffix in ((".fai", ".gzi") if packed else (".fai",))]
    pysam.FastaFile(str(path)).close()
    expected = [open(index, "rb").read() for index in indexes]
    for index in indexes:
        os.remove(index)
    assert bases_of(path) == genome
    assert [open(index, "rb").read() for index in indexes] == expected


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_an_index_that_fits_is_kept(tmp_path, caplog, packed):
    path = write_genome(tmp_path / "genome.fa", fasta_of(GENOME) + b"\n\n", packed)
    pysam.FastaFile(str(path)).close()
    before = {each: each.stat().st_mtime_ns for each in tmp_path.iterdir()}
    assert bases_of(path) == GENOME
    assert {each: each.stat().st_mtime_ns for each in tmp_path.iterdir()} == before
    assert not caplog.records


def index_of(content, path):
    path.write_bytes(content)
    pysam.faidx(str(path))
    return path.with_name(f"{path.name}.fai").read_text()


def useless_indexes():
    whole = {**GENOME, "chr3": random_dna(90, 4)}
    other = {**GENOME, "chr2": random_dna(600, 5)}
    return {
        "other headers": fasta_of(GENOME, about=" some description"),
        "other width": fasta_of(GENOME, width=61),
        "other line ends": fasta_of(GENOME, end="\r\n"),
        "more contigs": fasta_of(whole),
        "fewer contigs": fasta_of({"chr1": GENOME["chr1"]}),
        "other names": fasta_of({"chr1": GENOME["chr1"], "chr22": GENOME["chr2"], "chrM": GENOME["chrM"]}),
        "other length": fasta_of(other),
    }


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("kind", useless_indexes())
def test_an_index_of_another_file_is_written_anew(tmp_path, caplog, kind, packed):
    caplog.set_level(logging.WARNING)
    path = write_genome(tmp_path / "genome.fa", fasta_of(GENOME), packed)
    pysam.FastaFile(str(path)).close()
    (tmp_path / f"{path.name}.fai").write_text(index_of(useless_indexes()[kind], tmp_path / "other.fa"))
    assert bases_of(path) == GENOME
    assert f"{path}: its index (.fai) is that of another file. A new one was written." in caplog.text
    caplog.clear()
    assert bases_of(path) == GENOME
    assert not caplog.records


@pytest.mark.parametrize("suffix", [".fai", ".gzi"])
def test_an_index_older_than_its_file_is_written_anew(tmp_path, caplog, suffix):
    path = write_genome(tmp_path / "genome.fa", fasta_of(GENOME), packed=True)
    pysam.FastaFile(str(path)).close()
    make_older(tmp_path / f"{path.name}{suffix}")
    assert bases_of(path) == GENOME
    assert f"its index ({suffix}) is older than the file" in caplog.text


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"chr1\n", b"chr1\t600\t6\tx\t61\n", b"\x01" + bytes(7)])
@pytest.mark.parametrize("suffix", [".fai", ".gzi"])
def test_a_damaged_index_is_written_anew(tmp_path, caplog, suffix, content):
    genome = {"chr1": random_dna(200_000, 1), "chr2": random_dna(10, 2)}
    path = write_genome(tmp_path / "genome.fa", fasta_of(genome), packed=True)
    pysam.FastaFile(str(path)).close()
    (tmp_path / f"{path.name}{suffix}").write_bytes(content)
    assert bases_of(path) == genome
    assert "A new one was written." in caplog.text


def test_the_blocks_of_another_file_are_not_taken(tmp_path, caplog):
    genome, other = {"chr1": random_dna(200_000, 1)}, {"chr1": "A" * 200_000}
    path, wrong = [
        write_genome(tmp_path / f"{i}.fa", fasta_of(dna), packed=True) for i, dna in enumerate((genome, other))
    ]
    for each in (path, wrong):
        pysam.FastaFile(str(each)).close()
    (tmp_path / f"{path.name}.gzi").write_bytes((tmp_path / f"{wrong.name}.gzi").read_bytes())
    assert bases_of(path) == genome
    assert "its index (.gzi) is that of another file" in caplog.text


def test_an_index_that_cannot_be_written_is_named(tmp_path):
    path = write_genome(tmp_path / "genome.fa", fasta_of(GENOME))
    (tmp_path / "genome.fa.fai").mkdir()
    with pytest.raises(OSError, match=r"genome.fa: its index is missing, and a new one cannot be written \(Is a dir"):
        open_fasta(path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["genome.fa", "genome.fa.fai"]


def test_an_older_index_in_a_folder_that_is_read_only_may_fit(tmp_path, monkeypatch, caplog):
    def refuse(*names):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(faidx.os, "replace", refuse)
    path = write_genome(tmp_path / "genome.fa", fasta_of(GENOME))
    pysam.faidx(str(path))
    make_older(tmp_path / "genome.fa.fai")
    assert bases_of(path) == GENOME
    assert "its index (.fai) is older than the file, but fits." in caplog.text
    (tmp_path / "genome.fa.fai").write_text(index_of(fasta_of(GENOME, width=50), tmp_path / "other.fa"))
    with pytest.raises(OSError, match=r"that of another file, and a new one cannot be written \(Read-only file"):
        open_fasta(path)


BAD = {
    b"": r"genome.fa: the file is empty\.",
    b"\n\n": r"genome.fa: the file is empty\.",
    b"\xef\xbb\xbf>a\nACGT\n": "line 1: the file starts with a byte order mark",
    ">a\nACGT\n".encode("utf-16"): "line 1: the file starts with the mark of UTF-16",
    b">a\rACGT\rAC\r": "line 1: lines end with a carriage return alone",
    b">a\nACGT\rACGT\r\n": "line 2: lines end with a carriage return alone",
    b"ACGT\n>a\nACGT\n": "line 1: a FASTA file starts with `>`",
    b">a\nACGT\n>b\nAC\n>a x\nAC\n": "line 5: the contig a is there already, on line 1",
    b">a\nACGT\n\nACGT\n": "line 4: bases of the contig a follow on line 3, which is blank",
    b">a\n\nACGT\n": "line 3: bases of the contig a follow on line 2, which is blank",
    b">a\nACGT\nACGTA\n": "line 3: it has 5 bases, but the lines of its contig before it have 4",
    b">a\nACGT\nACG\nACGT\n": "line 4: line 3 is shorter than those before it",
    b">a\nACGT\nACGT\r\nACGT\n": "line 4: line 3 is shorter than those before it, or ends in another way",
    b">a\nACGT\nAC T\n": "line 3: it has spaces between or around its bases",
    b">a\nACGT \nACGT \n": "line 2: it has spaces between or around its bases",
    b">\nACGT\n": "line 1: the contig has no name",
    b"> a\nACGT\n": "line 1: the contig has no name",
    b">a\n>b\nACGT\n": "line 1: the contig a has no bases",
    b">ch\xe9\nACGT\n": "line 1: the name of the contig is not text in UTF-8",
    b">a\x1b[31m\nACGT\n>a\x1b[31m\nACGT\n": r"the contig a\\x1b\[31m is there already",
    gzip.compress(
        b">a\nACGT\n", mtime=0
    ): "genome.fa: it is compressed by gzip. Uncompress it, or compress it by bgzip",
}


@pytest.mark.parametrize("content", BAD)
def test_each_fault_of_a_genome_has_its_message(tmp_path, content):
    path = write_genome(tmp_path / "genome.fa", content)
    with pytest.raises(ValueError, match=BAD[content]):
        open_fasta(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_that_is_there_twice_is_seen_in_an_indexed_genome(tmp_path):
    path = write_genome(tmp_path / "genome.fa", fasta_of(GENOME) + fasta_of({"chr1": random_dna(70)}))
    with quiet_htslib():
        pysam.faidx(str(path))  # which leaves the second one out
    with pytest.raises(ValueError, match="line 26: the contig chr1 is there already, on line 1"):
        open_fasta(path)


def test_faults_far_into_a_genome_are_found(tmp_path):
    lines = [b">a\n", *[b"ACGT" * 15 + b"\n"] * 50_000]
    for number, line, message in ((40_000, b"ACGT" * 16 + b"\n", "it has 64 bases"), (40_000, b"\n", "is blank")):
        path = write_genome(tmp_path / "genome.fa", b"".join([*lines[:number], line, *lines[number:]]))
        with path.open("rb") as file, pytest.raises(ValueError, match=message):
            scan_contigs(path, file)
    path.write_bytes(b"".join(lines))
    with path.open("rb") as file:
        assert [contig.length for contig in scan_contigs(path, file)] == [50_000 * 60]


def test_a_genome_is_a_whole_file(tmp_path):
    packed = write_genome(tmp_path / "genome.fa", fasta_of(GENOME), packed=True)
    packed.write_bytes(packed.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"genome.fa.gz: cannot be read"):
        open_fasta(packed)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe: the genome must be a file"):
        open_fasta(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"none.fa: there is no such file"):
        open_fasta(tmp_path / "none.fa")


def test_what_is_no_record_is_said(tmp_path):
    path = tmp_path / "one.fa"
    path.write_bytes(b"\xef\xbb\xbf\r\n>one \xe9\r\nAC\r\ngt\r\n\r\n")
    assert read_record(path) == "ACgt"
    path.write_bytes(b">one\rAC\rGT\r")
    assert read_record(path) == "ACGT"
    for content, message in (
        (b">one\nAC\n>two\ngt\n", "expected a FASTA file with one record, but there are 2"),
        (b"\n", "the file is empty"),
        (b"ACGT\n", "it is not a FASTA file, which starts with `>`"),
        (">one\nAC\n".encode("utf-16"), "it is not a FASTA file"),
        (gzip.compress(b">one\nAC\n", mtime=0), "it is compressed"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"one.fa: {message}"):
            read_record(path)
