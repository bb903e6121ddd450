import gzip
import json
import logging
import os
import random
import re
import shutil
import subprocess
import sys

import pysam
import pytest
from conftest import random_dna

from textgenome.data.files import write_rows
from textgenome.data.rows import load_rows
from textgenome.data.variants import read_sequence, read_variants
from textgenome.genome import vcf as vcf_module
from textgenome.processing.processing_dna import variant_window


WINDOW = 40
GENOME = {"chr1": random_dna(900, 1), "chr2": random_dna(300, 2), "chrM": random_dna(200, 3)}
HEADER = """##fileformat=VCFv4.2
##INFO=<ID=CLNSIG,Number=.,Type=String,Description="significance">
##INFO=<ID=AF,Number=A,Type=Float,Description="frequency">
##INFO=<ID=BOTH,Number=R,Type=String,Description="of each allele">
##INFO=<ID=END,Number=1,Type=Integer,Description="end">
{contigs}#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO{samples}
"""
BASE_RUN = re.compile(r"[ACGTNacgtn]{13}")


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "genome.fa"
    # Soft-masked and wrapped, as genomes come.
    wrap = ["\n".join(dna[i : i + 50] for i in range(0, len(dna), 50)) for dna in GENOME.values()]
    path.write_text("".join(f">{name} some text\n{dna[:120].lower()}{dna[120:]}\n" for name, dna in zip(GENOME, wrap)))
    return path


def write_vcf(path, records, samples=""):
    """Records are contig, position, REF (None: what the genome holds there, a number: so many bases), ALT, INFO."""
    contigs = "".join(f"##contig=<ID={name}>\n" for name in dict.fromkeys(record[0] for record in records))
    lines = []
    for contig, position, ref, alt, *rest in records:
        if not isinstance(ref, str):
            ref = genome_at(contig, position, ref or 1)
        info, genotypes = (rest or ["."])[0], "\tGT" + "\t0/1" * len(samples.split()) if samples else ""
        lines.append(f"{contig}\t{position}\t.\t{ref}\t{alt}\t.\tPASS\t{info}{genotypes}\n")
    columns = f"\tFORMAT\t{samples}" if samples else ""
    path.write_text(HEADER.format(contigs=contigs, samples=columns) + "".join(lines))
    return path


def genome_at(contig, position, length):
    name = {"MT": "chrM", "1": "chr1", "2": "chr2"}.get(contig, contig)
    return GENOME[name][position - 1 : position - 1 + length]


def other(base, number=1):
    return "ACGT"[("ACGT".index(base) + number) % 4]


def pairs(rows):
    return [(row["reference_sequence"], row["variant_sequence"]) for row in rows]


def random_records(seed=0):
    """Substitutions, insertions, deletions and both at once, everywhere, at both ends of the contig too."""
    rng = random.Random(seed)
    dna, records = GENOME["chr1"], []
    for position in [1, 2, len(dna) - 2, len(dna)] + rng.sample(range(3, len(dna) - 40), 60):
        ref = dna[position - 1 :][: rng.choice([1, 1, 2, 8, 30])]
        alt = rng.choice([other(ref[0]), ref[0] + random_dna(rng.randint(1, 30), position), ref[0], "TTTT"])
        if alt != ref:
            records.append(("chr1", position, ref, alt))
    return records


def test_windows_are_those_of_a_few_lines_of_python(fasta, tmp_path):
    records = random_records()
    rows = list(read_variants(write_vcf(tmp_path / "v.vcf", records), fasta, window=WINDOW))
    assert [row["variant"] for row in rows] == [f"{c}:{p}:{ref}:{alt}" for c, p, ref, alt in records]
    dna = GENOME["chr1"]
    for (_, position, ref, alt), (reference, variant) in zip(records, pairs(rows)):
        changed = dna[: position - 1] + alt + dna[position - 1 + len(ref) :]
        start = dna.index(reference)
        assert dna.count(reference) == 1
        assert changed[start : start + len(variant)] == variant
        assert max(len(reference), len(variant)) == WINDOW
        # What follows is the same: the windows end at the same place.
        assert dna[start + len(reference) :] == changed[start + len(variant) :]
        left = next(i for i in range(WINDOW) if reference[i : i + 1] != variant[i : i + 1])
        right = min(len(reference), len(variant)) - left
        suffix = next(i for i in range(right + 1) if i == right or reference[-1 - i] != variant[-1 - i])
        at_an_end = start == 0 or start + len(reference) == len(dna)
        assert at_an_end or abs(left - suffix) <= 1


@pytest.mark.parametrize("unit", ["A", "CA", "acgtacgtacgtacgtacgta"])
def test_a_change_in_a_repeat_stands_at_its_right_most_place_with_a_flank(tmp_path, unit):
    dna = random_dna(60, 4) + unit * 100 + random_dna(60, 5)
    fasta = tmp_path / "genome.fa"
    fasta.write_text(f">chr1\n{dna}\n")
    unit = unit.upper()
    records = [("chr1", 60, dna[59], dna[59] + unit), ("chr1", 60, dna[59] + unit, dna[59])]
    rows = read_variants(write_vcf(tmp_path / "v.vcf", records), fasta, window=WINDOW)
    for (_, _, ref, alt), pair in zip(records, pairs(rows), strict=True):
        assert pair == variant_window(dna, dna[:59] + alt + dna[59 + len(ref) :], WINDOW)


@pytest.mark.skipif(shutil.which("bcftools") is None, reason="bcftools is not installed (apt-get install bcftools)")
def test_windows_are_in_the_consensus_of_bcftools(fasta, tmp_path):
    for number, record in enumerate(random_records(1)[::6]):
        vcf = write_vcf(tmp_path / f"{number}.vcf", [record])
        (row,) = read_variants(vcf, fasta, window=WINDOW)
        packed = pysam.tabix_index(str(vcf), preset="vcf", force=True)
        command = ["bcftools", "consensus", "--fasta-ref", str(fasta), packed]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        consensus = "".join(done.stdout.split(">")[1].split("\n")[1:]).upper()
        start = GENOME["chr1"].index(row["reference_sequence"])
        assert consensus[start : start + len(row["variant_sequence"])] == row["variant_sequence"]


def test_one_row_for_each_allele_with_a_sequence(fasta, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    base = genome_at("chr1", 100, 1)
    records = [
        ("chr1", 100, base, f"{other(base)},{base}ACG,{other(base, 2)}"),
        ("chr1", 200, 3, f"<DEL>,{genome_at('chr1', 200, 1)},*", "END=300"),
        ("chr1", 210, None, "*"),
        ("chr1", 220, None, "."),
        ("chr1", 230, None, "G]chr2:30]"),
        ("chr1", 240, None, "<NON_REF>"),
    ]
    vcf = write_vcf(tmp_path / "v.vcf", records)
    rows = list(read_variants(vcf, fasta, window=WINDOW))
    assert [row["variant"].rpartition(":")[2] for row in rows] == [*records[0][3].split(","), records[1][2:4][1][6:7]]
    for text in (
        "Left out 2 symbolic alleles of {}, the first at chr1:200",
        "Left out 2 spanning deletions (*) of {}, the first at chr1:200",
        "Left out 1 breakends and other alleles without a sequence of {}, the first at chr1:230",
    ):
        assert text.format(vcf) in caplog.text


@pytest.mark.parametrize("name", ["1", "chr1", "2", "MT", "chrM", "M"])
def test_contigs_have_two_names(fasta, tmp_path, name):
    contig = {"1": "chr1", "2": "chr2", "MT": "chrM", "M": "chrM"}.get(name, name)
    base = GENOME[contig][99]
    (row,) = read_variants(write_vcf(tmp_path / "v.vcf", [(name, 100, base, other(base))]), fasta, window=WINDOW)
    assert row["reference_sequence"] == GENOME[contig][80:120]
    assert row["variant"].startswith(f"{name}:100:")


def test_a_genome_without_chr(tmp_path):
    fasta = tmp_path / "genome.fa"
    fasta.write_text(f">1\n{GENOME['chr1']}\n>MT\n{GENOME['chrM']}\n")
    records = [("chr1", 50, None, "<DEL>"), ("chr1", 60, 2, "T"), ("chrM", 70, 2, "T")]
    assert len(list(read_variants(write_vcf(tmp_path / "v.vcf", records), fasta))) == 2


def bad_records():
    long = random_dna(30, 9)
    return [
        (
            ("chr1", 100, other(genome_at("chr1", 100, 1)), "TT"),
            "chr1:100, ALT 1, column 'REF': it is {}, but the genome has {}",
        ),
        (
            ("chr1", 101, long, "T"),
            f"chr1:101, ALT 1, column 'REF': it is {long[:12]}... (30 bases), but the genome has ",
        ),
        (
            ("chr1", 899, "ACGT", "T"),
            "chr1:899, ALT 1, column 'POS': REF is not within the contig chr1, which has 900 bases",
        ),
        (("chr1", 0, "N", "T"), "chr1:0, ALT 1, column 'POS': REF is not within the contig chr1"),
        (
            ("chr9", 10, "A", "T"),
            "chr9:10, ALT 1, column 'CHROM': the genome has no such contig; it starts with chr1",
        ),
        (
            ("chr1", 102, None, genome_at("chr1", 102, 1).lower()),
            "chr1:102, ALT 1, column 'ALT': it is the same as REF",
        ),
        (("chr1", 104, None, ""), "chr1:104, ALT 1, column 'ALT': it is empty"),
        (("chr1", 105, None, "TT,,"), "chr1:105, ALT 3, column 'ALT': it is empty"),
        (("chr1", 106, "", "T"), "chr1:106, ALT 1, column 'REF': it is empty"),
        (("chr\x1b[31m1", 7, "A", "T"), r"chr\x1b[31m1:7, ALT 1, column 'CHROM': the genome has no such contig"),
        (("chr1", 103, None, "X"), "chr1:103, ALT 1, column 'ALT': The character 'X'"),
    ]


def test_bad_alleles_are_named_or_left_out(fasta, tmp_path, caplog):
    expected = bad_records()
    good = ("chr1", 300, 2, "T")
    vcf = write_vcf(tmp_path / "v.vcf", [good, *(record for record, _ in expected)])
    with pytest.raises(ValueError, match="12 of 14 rows are bad") as caught:
        list(read_variants(vcf, fasta, window=WINDOW))
    assert len(list(read_variants(vcf, fasta, window=WINDOW, on_bad_row="skip"))) == 2
    assert "... and 2 more" in str(caught.value)
    for text, shown in ((str(caught.value), expected[:9]), (caplog.text, expected)):
        assert not BASE_RUN.search(text) and "\x1b" not in text
        for record, message in shown:
            assert message.format(record[2], genome_at("chr1", 100, 1)) in text


def test_an_ambiguity_letter_of_the_genome_is_its_first_base_or_n_in_the_vcf(tmp_path):
    fasta = tmp_path / "genome.fa"
    fasta.write_text(f">chr1\n{random_dna(30)}rN{random_dna(30, 1)}\n")
    bad = [("chr1", 31, "G", "A"), ("chr1", 32, "A", "C"), ("chr1", 30, "N", "TT"), ("chr1", 31, "N", "R")]
    good = [("chr1", 31, "A", "G"), ("chr1", 31, "R", "T"), ("chr1", 31, "N", "C"), ("chr1", 31, "nN", "C")]
    vcf = write_vcf(tmp_path / "v.vcf", bad + good)
    with pytest.raises(ValueError, match=r"4 of 8 .*\n.*it is G, but the genome has R there\n.*is A, but .* N there"):
        list(read_variants(vcf, fasta))
    rows = list(read_variants(vcf, fasta, on_bad_row="skip"))
    changes = [(row["reference_sequence"][30], row["variant_sequence"][30]) for row in rows]
    assert changes == [("A", "G"), ("N", "T"), ("N", "C"), ("N", "C")]


def test_rows_are_checked_as_the_processor_will_check_them(fasta, tmp_path, tiny_processor):
    vcf = write_vcf(tmp_path / "v.vcf", [("chr1", 100, 2, "T")])
    tokenizer = type(tiny_processor.dna_tokenizer).from_pretrained(
        tiny_processor.dna_tokenizer.name_or_path, model_max_length=30
    )
    with pytest.raises(
        ValueError, match="chr1:100, ALT 1, column 'variant_sequence': the DNA of 40 bases has 40 tokens"
    ):
        list(read_variants(vcf, fasta, window=WINDOW, dna_tokenizer=tokenizer))


@pytest.mark.parametrize(
    "labels, answers",
    [
        ("CLNSIG", ["Pathogenic,_risk; factor", "Pathogenic,_risk; factor"]),
        ("AF", ["0.1", "0.2"]),
        ("BOTH", ["b", "c"]),
        ("FILTER", ["PASS", "PASS"]),
    ],
)
def test_labels_come_from_columns_and_info(fasta, tmp_path, labels, answers):
    base = genome_at("chr1", 100, 1)
    info = "CLNSIG=Pathogenic,_risk%3B factor;AF=0.1,0.2;BOTH=a,b,c"
    vcf = write_vcf(tmp_path / "v.vcf", [("chr1", 100, base, f"{other(base)},{base}A", info)])
    rows = list(read_variants(vcf, fasta, window=WINDOW, labels=labels))
    assert [row["answer"] for row in rows] == answers
    path = tmp_path / "train.jsonl"
    assert write_rows(rows, path) == 2
    assert load_rows(str(path), "train").to_list() == rows


def test_a_question_names_keys_of_info_and_columns(fasta, tmp_path):
    records = [("chr1", 100, None, "TTT", "CLNSIG=a%20b"), ("chr1", 110, None, "TTT")]
    vcf = write_vcf(tmp_path / "v.vcf", records)
    question = "Is {CLNSIG} right, {FILTER}?"
    with pytest.raises(ValueError, match=r"1 of 2 .*\n.*chr1:110, ALT 1, column 'CLNSIG': there is no value"):
        list(read_variants(vcf, fasta, question))
    (row,) = read_variants(vcf, fasta, question, on_bad_row="skip")
    assert row["question"] == "Is a b right, PASS?" and row["CLNSIG"] == "a b"
    with pytest.raises(ValueError, match="'GENE': choose from ID, QUAL, FILTER, CLNSIG"):
        list(read_variants(vcf, fasta, "In {GENE}?"))


def test_alleles_without_a_label_are_bad(fasta, tmp_path):
    infos = ["AF=0.1", "AF=0.1,0.2", "CLNSIG=.;AF=.", "CLNSIG=a,.;AF=0.3"]
    records = [("chr1", 100 + 10 * i, 2, "T", info) for i, info in enumerate(infos)]
    vcf = write_vcf(tmp_path / "v.vcf", records)
    for labels, message in (
        ("ID", "4 of 4 .*\n.*chr1:100, ALT 1, column 'ID': there is no value"),
        ("CLNSIG", "'CLNSIG': there is no value\n.*'CLNSIG': a value of its list is missing"),
        ("AF", "2 of 4 .*\n.*chr1:110, ALT 1, column 'AF': there are 2 values for 1 ALT alleles\n.*:120, .*no value"),
        ("GENE", "'GENE': choose from ID, QUAL, FILTER, CLNSIG, AF, BOTH, END"),
    ):
        with pytest.raises(ValueError, match=message):
            list(read_variants(vcf, fasta, labels=labels))


def test_a_key_that_the_header_does_not_declare_is_said_to_be_there(fasta, tmp_path):
    records = [("chr1", 100, 2, "T"), ("chr1", 110, 2, "T", "AF=0.1;GENE=APOE")]
    vcf = write_vcf(tmp_path / "v.vcf", records)
    message = "INFO has 'GENE', first at chr1:110, but it is not declared in the header. Add a line there"
    with pytest.raises(ValueError, match=message):
        list(read_variants(vcf, fasta, labels="GENE"))


def test_files_of_another_kind_are_named(fasta, tmp_path, capfd):
    vcf = write_vcf(tmp_path / "v.vcf", [("chr1", 100, 2, "T")])
    broken = tmp_path / "broken.vcf"
    broken.write_text(vcf.read_text() + f"chr1\t{random_dna(40)}\t.\tA\tC\t.\t.\t.\n")
    gzipped = tmp_path / "genome.fa.gz"
    gzipped.write_bytes(gzip.compress(fasta.read_bytes()))
    (tmp_path / "v.vcf.gz").write_bytes(gzip.compress(vcf.read_bytes()))
    packed = tmp_path / "packed.vcf.gz"
    pysam.tabix_compress(str(vcf), str(packed))
    (tmp_path / "cut.vcf.gz").write_bytes(packed.read_bytes()[:-28])  # without the block that ends it
    for files, message in (
        ((fasta, fasta), "genome.fa: it is not a VCF or BCF file"),
        ((broken, fasta), "broken.vcf, line 9: column 'POS': it is not a whole number"),
        ((tmp_path / "v.vcf.gz", fasta), "v.vcf.gz: it is compressed by gzip. Uncompress it, or compress it by bgzip"),
        ((tmp_path / "cut.vcf.gz", fasta), "cut.vcf.gz: cannot be read: .*may be truncated"),
        ((vcf, gzipped), "genome.fa.gz: it is compressed by gzip. Uncompress it, or compress it by bgzip"),
        ((vcf, tmp_path / "none.fa"), "none.fa: there is no such file"),
    ):
        with pytest.raises((OSError, ValueError), match=message):
            list(read_variants(*files))
    assert not BASE_RUN.search("".join(capfd.readouterr()))


def test_compressed_files_of_many_samples(fasta, tmp_path):
    vcf = write_vcf(tmp_path / "v.vcf", [("1", 100, 2, "T"), ("1", 200, 2, "T")], samples="one\ttwo")
    plain = list(read_variants(vcf, fasta))
    packed = pysam.tabix_index(str(vcf), preset="vcf", force=True)
    pysam.tabix_compress(str(fasta), f"{fasta}.gz")
    assert list(read_variants(packed, f"{fasta}.gz")) == plain


def test_a_sequence_or_a_file(tmp_path, monkeypatch):
    assert read_sequence("acgu") == "ACGT"
    path = tmp_path / "one.fa"
    path.write_text(">one\nAC\ngt\n")
    assert read_sequence(str(path)) == "ACGT"
    long = random_dna(10_000)
    assert read_sequence(long) == long
    path.write_text(">one\nAC\nG-T\n")
    with pytest.raises(ValueError, match=r"one.fa: The character '-' at position 4 of the DNA"):
        read_sequence(str(path))
    with pytest.raises(ValueError, match=r"There is no such FASTA file, and as a sequence: The character '\.'"):
        read_sequence("nn.fa")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ACGT").mkdir()
    assert read_sequence("ACGT") == "ACGT"


def test_a_sequence_may_come_from_a_pipe():
    reading, writing = os.pipe()
    os.write(writing, b">one\nAC\ngt\n")
    os.close(writing)
    try:
        assert read_sequence(f"/dev/fd/{reading}") == "ACGT"  # as of a shell's <(...)
    finally:
        os.close(reading)


MISSING = "Reading VCF files needs pysam: pip install 'textgenome[genome]'."


def test_without_pysam_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(vcf_module, "pysam", None)
    with pytest.raises(OSError, match=re.escape(MISSING)):
        next(read_variants("v.vcf", "genome.fa"))


@pytest.mark.slow
def test_without_pysam_all_else_works():
    code = """
import sys
sys.modules["pysam"] = None
import textgenome.commands
from textgenome.data.variants import read_variants
try:
    next(read_variants("v.vcf", "genome.fa"))
except OSError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == f"{MISSING}\n", done.stderr


def test_rows_are_there_only_once_all_are_written(tmp_path):
    def rows():
        yield {"answer": "ä"}
        raise ValueError

    with pytest.raises(ValueError):
        write_rows(rows(), tmp_path / "train.jsonl")
    assert not list(tmp_path.iterdir())
    write_rows([{"answer": "ä"}], tmp_path / "train.jsonl")
    assert json.loads((tmp_path / "train.jsonl").read_text(encoding="utf-8")) == {"answer": "ä"}
