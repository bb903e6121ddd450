import gzip
import os
import threading

import pysam
import pytest
from conftest import random_dna

from textgenome.genome.annotating import check_vcf
from textgenome.genome.vcf import Record, label_of, open_vcf


META = """##fileformat=VCFv4.2
##contig=<ID=chr1,length=600>
##INFO=<ID=ONE,Number=1,Type=String,Description="one, with Number=A and > in quotes">
##INFO=<ID=A,Number=A,Type=Float,Description="of each \\"ALT\\" allele">
##INFO=<ID=R,Number=R,Type=String,Description="of each allele">
##INFO=<ID=LIST,Number=.,Type=String,Description="list">
##INFO=<ID=I,Number=1,Type=Integer,Description="integer">
##INFO=<ID=FLAG,Number=0,Type=Flag,Description="flag">
##FORMAT=<ID=GT,Number=1,Type=String,Description="genotype">
##FORMAT=<ID=GQ,Number=1,Type=Integer,Description="quality">
"""
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
SAMPLES = f"{COLUMNS}\tFORMAT\tS1"
RECORD = "chr1\t100\t.\tG\tT\t.\tPASS\tONE=x"


def text_of(*records, columns=COLUMNS):
    return META + "".join(f"{line}\n" for line in (columns, *records))


def write_vcf(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def records_of(path):
    with open_vcf(path) as file:
        return list(file)


FAULTS = {
    "empty": ("", r"v.vcf: the file is empty"),
    "blank": ("\n\n", "v.vcf: the first line is blank"),
    "mark": (f"\ufeff{text_of(RECORD)}", "it starts with a byte order mark"),
    "utf-16": (text_of(RECORD).encode("utf-16"), "it is text in UTF-16"),
    "carriage returns": (text_of(RECORD).replace("\n", "\r"), "lines end with a carriage return alone"),
    "no fileformat": (text_of(RECORD).split("\n", 1)[1], "its first line is not ##fileformat=VCFv4.2"),
    "no columns": (META + f"{RECORD}\n", "line 11: after the lines with ## comes one that is #CHROM POS ID REF"),
    "header only": (META, "it ends within the header"),
    "spaces": (text_of(RECORD).replace("\t", " "), "line 11: the names of the columns are separated by spaces"),
    "spaces in a record": (text_of(RECORD.replace("\t", "  ")), "line 12: its columns are separated by spaces"),
    "a column less": (text_of(RECORD, columns=COLUMNS.replace("\tID", "")), "line 11: after the lines with ##"),
    "no FORMAT": (text_of(RECORD, columns=f"{COLUMNS}\tS1"), "line 11: after INFO come FORMAT and"),
    "sample twice": (text_of(columns=f"{SAMPLES}\tS2\tS1"), "line 11: the sample S1 is there twice"),
    "sample without name": (text_of(columns=f"{SAMPLES}\t"), "line 11: a sample has no name"),
    "blank last line": (text_of(RECORD, ""), "line 13: it is blank"),
    "blank line": (text_of(RECORD, " ", RECORD), "line 13: it is blank"),
    "no samples": (text_of(RECORD, columns=SAMPLES), "line 12: it has 8 columns, but the header names 10"),
    "sample missing": (text_of(f"{RECORD}\tGT", columns=SAMPLES), "line 12: it has 9 columns"),
    "sample too many": (text_of(f"{RECORD}\tGT\t0/1\t0/1", columns=SAMPLES), "line 12: it has 11 columns"),
    "no INFO": (text_of(RECORD.rpartition("\t")[0]), "line 12: it has 7 columns, but the header names 8"),
    "comment": (text_of(RECORD, "#so far"), "line 13: its columns are separated by spaces"),
    "position": (text_of(RECORD.replace("100", "1e2")), "line 12: column 'POS': it is not a whole number"),
    "null byte": (text_of(f"{RECORD}\0"), "line 12: it holds a null byte"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_of_a_file_has_its_message(tmp_path, fault):
    content, message = FAULTS[fault]
    with pytest.raises(ValueError, match=message):
        records_of(write_vcf(tmp_path / "v.vcf", content))


@pytest.mark.parametrize(
    "columns, records, message",
    [
        (SAMPLES, [f"{RECORD}\tGT:GQ\t0/1:131.7"], "line 12: Invalid character '.' in 'GQ' FORMAT field at chr1:100"),
        (SAMPLES, [f"{RECORD}\tGT\t0/1", f"{RECORD}\tGT:GQ\t0/1:x"], "line 13: Invalid character 'x' in 'GQ' FORMAT"),
        (SAMPLES, [f"{RECORD}\tGT\tx"], "line 12: Couldn't read GT data"),
        (SAMPLES, [f"{RECORD}\tGT\t0/1:3"], "line 12: Incorrect number of FORMAT fields at chr1:100"),
        (COLUMNS, [f"{RECORD}; a b"], "line 12: Could not add dummy header for INFO ' a b'"),
        (COLUMNS, [f"{RECORD}; {random_dna(40)} b"], r"line 12: Could not add dummy header for INFO ' \.\.\. b'"),
    ],
)
def test_the_reason_of_htslib_is_given(tmp_path, capfd, columns, records, message):
    path = write_vcf(tmp_path / "v.vcf", text_of(*records, columns=columns))
    assert len(records_of(path)) == len(records)
    with pytest.raises(ValueError, match=f"v.vcf, {message}"):
        check_vcf(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "content",
    [
        text_of(RECORD),
        text_of(RECORD).removesuffix("\n"),
        text_of(RECORD).replace("\n", "\r\n"),
        text_of(RECORD).replace("ONE=x", "ONE=Papillon-Lef\xe8vre").encode("latin1"),
        text_of(f"{RECORD};UNKNOWN=1", RECORD.replace("chr1", "chr7"), RECORD.replace("\tT\t", "\t\t")),
        text_of(),
    ],
)
def test_what_bcftools_reads_is_read(tmp_path, content):
    path = write_vcf(tmp_path / "v.vcf", content)
    check_vcf(path)
    assert all(len(record.columns) == 8 and record.columns[6] == "PASS" for record in records_of(path))


def test_bcf_files_are_read_as_their_text(tmp_path):
    vcf, bcf = write_vcf(tmp_path / "v.vcf", text_of(f"{RECORD}\tGT\t0/1", columns=SAMPLES)), tmp_path / "v.bcf"
    with pysam.VariantFile(str(vcf)) as file, pysam.VariantFile(str(bcf), "wb", header=file.header) as copy:
        for record in file:
            copy.write(record)
    packed = bcf.read_bytes()
    for content, cut in ((packed, 40), (gzip.decompress(packed), 4)):
        bcf.write_bytes(content)
        assert records_of(bcf) == records_of(vcf)
        check_vcf(bcf)
        bcf.write_bytes(content[:-cut])
        with pytest.raises(ValueError, match=r"v.bcf: cannot be read"):
            records_of(bcf)
    with pytest.raises(ValueError, match="pipe: a BCF file cannot come from a pipe"):
        records_of(feed(tmp_path / "pipe", packed))


def feed(pipe, content):
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_bytes, args=(content,), daemon=True).start()
    return pipe


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_a_file_may_come_from_a_pipe(tmp_path, packed):
    path = write_vcf(tmp_path / "v.vcf", text_of(RECORD))
    if packed:
        pysam.tabix_compress(str(path), f"{path}.gz")
    content = (tmp_path / ("v.vcf.gz" if packed else "v.vcf")).read_bytes()
    assert [record.place for record in records_of(feed(tmp_path / "pipe", content))] == ["chr1:100"]


def test_an_old_or_damaged_index_does_no_harm(tmp_path):
    path = write_vcf(tmp_path / "v.vcf", text_of(RECORD))
    packed = pysam.tabix_index(str(path), preset="vcf", force=True)
    for content in (b"no index", b""):
        (tmp_path / "v.vcf.gz.tbi").write_bytes(content)
        os.utime(f"{packed}.tbi", (0, 0))
        check_vcf(packed)
        assert len(records_of(packed)) == 1


def label(info, key, number=0, alts="T,C"):
    columns = ["chr1", "100", "rs1", "G", alts, "50.00", "q10;s50", info]
    with_numbers = {"ONE": "1", "A": "A", "R": "R", "LIST": ".", "I": "1", "FLAG": "0"}
    return label_of(Record(columns), number, key, with_numbers.get(key, "1"))


@pytest.mark.parametrize(
    "info, key, labels",
    [
        ("ONE=x", "ONE", ["x", "x"]),
        ("A=0.123456789,1e-30", "A", ["0.123456789", "1e-30"]),
        ("R=a,b,c", "R", ["b", "c"]),
        ("R=.,b,c", "R", ["b", "c"]),
        ("LIST=a,b%3B c", "LIST", ["a,b; c"] * 2),
        ("I=4.5", "I", ["4.5"] * 2),
        ("FLAG;I=3", "FLAG", ["True"] * 2),
        (".", "ID", ["rs1"] * 2),
        (".", "QUAL", ["50.00"] * 2),
        (".", "FILTER", ["q10;s50"] * 2),
    ],
)
def test_a_label_is_what_the_file_says(info, key, labels):
    assert [label(info, key, number) for number in range(2)] == labels


@pytest.mark.parametrize(
    "info, key, message",
    [
        ("ONE=.", "ONE", "there is no value"),
        ("ONE=", "ONE", "there is no value"),
        ("ONE", "ONE", "there is no value"),
        (".", "ONE", "there is no value"),
        (".", "FLAG", "there is no value"),
        ("A=.", "A", "there is no value"),
        ("A=.,0.5", "A", "there is no value"),
        ("R=a,.,c", "R", "there is no value"),
        ("R=.", "R", "there is no value"),
        ("LIST=.,.", "LIST", "there is no value"),
        ("LIST=a,.,b", "LIST", r"a value of its list is missing \(\.\)"),
        ("LIST=a,", "LIST", "a value of its list is missing"),
        ("A=0.5", "A", "there are 1 values for 2 ALT alleles"),
        ("ONE=x;ONE=y", "ONE", "the key is there twice"),
        ("ONE=Lef\udce8vre", "ONE", "it is not text in UTF-8"),
        ("ONE=Lef%E8vre", "ONE", "it is not text in UTF-8"),
    ],
)
def test_what_is_no_label_is_refused(info, key, message):
    with pytest.raises(ValueError, match=message):
        label(info, key)


def test_numbers_of_values_are_those_of_the_header(tmp_path):
    with open_vcf(write_vcf(tmp_path / "v.vcf", text_of())) as file:
        assert file.info_numbers == {"ONE": "1", "A": "A", "R": "R", "LIST": ".", "I": "1", "FLAG": "0"}
