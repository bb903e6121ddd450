import gzip
import logging as python_logging
import os
import random
import tracemalloc
from itertools import pairwise

import pysam
import pytest
from conftest import random_dna, variant_row
from transformers.utils import logging

from textgenome.data.files import write_rows
from textgenome.data.sequences import Tiling, read_sequences, reverse_complement
from textgenome.genome.intervals import Interval
from textgenome.processing import build_dna_tokenizer


GENOME = {"chr1": random_dna(230, 1), "chr2": random_dna(90, 2)}


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "genome.fa"
    wrapped = {name: "\n".join(dna[i : i + 50] for i in range(0, len(dna), 50)) for name, dna in GENOME.items()}
    path.write_text("".join(f">{name} text\n{dna.lower()}\n" for name, dna in wrapped.items()))
    return path


@pytest.fixture
def warnings(caplog):
    logging.enable_propagation()
    with caplog.at_level(python_logging.WARNING):
        yield caplog
    logging.disable_propagation()


def letters(rows):
    return {row.name: row.sequence[:] for row in rows}


def test_records_of_a_genome_are_read_where_they_are_sliced(fasta):
    rows = list(read_sequences(fasta=fasta))
    assert letters(rows) == GENOME
    assert rows[0].sequence[45:103] == GENOME["chr1"][45:103] and len(rows[0].sequence) == 230
    assert rows[1].place == Interval("chr2", 0, 90)


@pytest.mark.parametrize("form", ["gzip", "bgzip", "lines of any length", "read-only folder"])
def test_records_of_other_forms_of_fasta(tmp_path, fasta, form, monkeypatch):
    content = fasta.read_bytes()
    if form == "gzip":
        fasta.write_bytes(gzip.compress(content))
    elif form == "bgzip":
        with pysam.BGZFile(str(fasta), "wb") as file:
            file.write(content)
    elif form == "lines of any length":
        fasta.write_text(fasta.read_text().replace("\n", "\n\n", 3))
    else:
        monkeypatch.setattr("textgenome.genome.faidx._write", refuse)
    assert letters(read_sequences(fasta=fasta)) == GENOME


def refuse(*_):
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize(
    "text, message",
    [
        (">a\nACGT\n>b\nACJT\n", r"b:1-4: The character 'J' at position 3|record b: The character 'J' at position 3"),
        (">a\nACGT\n\nAC\n>a\nACGT\n", r"line 5: the record a is there already, on line 1"),
        ("ACGT\n", r"line 1: a FASTA file starts with `>`"),
        (">a\n>b\nACGT\n", r"line 2: the record a, which begins on line 1, has no bases"),
        (">\nACGT\n", r"line 1: the contig has no name"),
        ("", r"there is no record"),
    ],
)
def test_a_fasta_file_that_is_wrong_is_named(tmp_path, text, message):
    path = tmp_path / "x.fa"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"x\.fa.*({message})"):
        letters(read_sequences(fasta=path))


def test_a_truncated_gzip_file_is_named(tmp_path):
    path = tmp_path / "x.fa.gz"
    path.write_bytes(gzip.compress(f">a\n{random_dna(5000)}\n".encode())[:-100])
    with pytest.raises(ValueError, match=r"x\.fa\.gz, line"):
        letters(read_sequences(fasta=path))


def test_a_long_contig_is_not_read_whole(tmp_path):
    line = (random_dna(60) + "\n").encode()
    path = tmp_path / "long.fa"
    path.write_bytes(b">chr1\n" + line * 200_000)
    list(read_sequences(fasta=path))  # writes the index
    tracemalloc.start()
    (row,) = read_sequences(fasta=path)
    assert len(row.sequence) == 12_000_000
    assert row.sequence[6_000_000:6_000_060] == random_dna(60)
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def write_bed(tmp_path, *lines):
    path = tmp_path / "regions.bed"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_regions_of_either_strand_and_over_the_ends_of_contigs(tmp_path, fasta, warnings):
    regions = ("1\t10\t30\tplus\t0\t+", "chr2\t80\t95\tend\t0\t-", "chr1\t-4\t6\tstart")
    rows = list(read_sequences(bed=write_bed(tmp_path, *regions), fasta=fasta))
    found = letters(rows)
    assert found["plus"] == GENOME["chr1"][10:30]
    assert found["end"] == "NNNNN" + reverse_complement(GENOME["chr2"][80:])
    assert found["start"] == "NNNN" + GENOME["chr1"][:6]
    assert rows[1].place == Interval("chr2", 80, 95) and rows[1].strand == "-"
    assert [rows[1].sequence[i : i + 1] for i in range(15)] == list(found["end"])
    assert "2 regions reach over an end of their contig: there are N for 9 bases" in warnings.text
    assert warnings.text.count("1 is chr1 of") == 1


@pytest.mark.parametrize(
    "line, message",
    [
        ("chr1\t40\t40", r"regions\.bed, line 2: start 40 is not before end 40"),
        (
            "chr3\t4\t40\tpeak",
            r"regions\.bed, line 2: chr3:5-40: .* has no such contig; it starts with chr1, chr2",
        ),
        ("chr2\t90\t95", r"line 2: chr2:91-95: no base of it is on the contig, which has 90 in .*another assembly"),
    ],
)
def test_a_region_that_is_wrong_is_named(tmp_path, fasta, line, message):
    bed = write_bed(tmp_path, "chr1\t0\t9", line)
    with pytest.raises(ValueError, match=message):
        list(read_sequences(bed=bed, fasta=fasta))


def write_vcf(tmp_path, reference):
    path = tmp_path / "variants.vcf"
    header = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    path.write_text(f"{header}1\t101\t.\t{reference}\tN\t.\t.\t.\n")
    return path


def test_variants_are_pairs_of_windows(tmp_path, fasta):
    reference = GENOME["chr1"][100]
    (row,) = read_sequences(vcf=write_vcf(tmp_path, reference), fasta=fasta, window=21)
    assert row.sequence == GENOME["chr1"][90:111]
    assert row.variant == row.sequence[:10] + "N" + row.sequence[11:]
    assert row.name == f"1:101:{reference}:N" and row.place == Interval("1", 100, 101)


def test_a_reference_allele_of_another_assembly_is_named(tmp_path, fasta):
    other = {"A": "C"}.get(GENOME["chr1"][100], "A")
    with pytest.raises(ValueError, match=r"1 of 1 rows(.|\n)*1:101, ALT 1.*'REF': it is ., but the genome has"):
        list(read_sequences(vcf=write_vcf(tmp_path, other), fasta=fasta, window=21))


def test_rows_of_tables_have_one_sequence_or_a_pair(tmp_path):
    pair = variant_row(200)
    write_rows([{"sequence": "acgu", "name": "one"}, pair], tmp_path / "train.jsonl")
    rows = list(read_sequences(str(tmp_path), window=21))
    assert (rows[0].name, rows[0].sequence, rows[0].variant) == ("one", "ACGT", None)
    assert (rows[1].name, rows[1].sequence) == ("1", pair["reference_sequence"][90:111])
    assert rows[1].variant == pair["variant_sequence"][90:111]
    assert rows[1].columns["question"] == "What?"


@pytest.mark.parametrize(
    "row, message",
    [
        ({"sequence": "ACJT"}, r"row 1, column 'sequence': The character 'J' at position 3"),
        ({"sequence": 5}, r"row 1, column 'sequence': expected text, got int"),
        ({"dna": "ACGT"}, r"a row needs `sequence`, or `reference_sequence` and `variant_sequence`"),
        ({"reference_sequence": "ACGT", "variant_sequence": "ACGT"}, r"column 'variant_sequence': .* are equal"),
    ],
)
def test_a_row_that_is_wrong_is_named_or_left_out(tmp_path, row, message):
    write_rows([{"sequence": "ACGT"}, row], tmp_path / "table.jsonl")
    table = str(tmp_path / "table.jsonl")
    with pytest.raises(ValueError, match=rf"table\.jsonl, {message}|{message}"):
        list(read_sequences(table))
    assert len(list(read_sequences(table, on_bad_row="skip"))) == 1


@pytest.mark.parametrize("sources", [{}, {"bed": "x"}, {"dataset_name": "x", "fasta": "y"}, {"vcf": "x", "bed": "y"}])
def test_sources_that_do_not_go_together(sources):
    with pytest.raises(ValueError, match="Give --dataset_name TABLE; or --fasta FASTA"):
        read_sequences(**sources)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.fa: there is no such file"):
        list(read_sequences(fasta=tmp_path / "none.fa"))
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("length", [1, 8, 64, 65, 129, 1000])
def test_tiles_cover_a_sequence_and_are_read_whole(length):
    tiling = Tiling(build_dna_tokenizer(model_max_length=64), unit=8)
    tiles = list(tiling(random_dna(length)))
    assert tiles[0][0] == 0 and tiles[-1][1] == length
    assert all(end == start for (_, end), (start, _) in pairwise(tiles))
    assert all(start % 8 == 0 and 0 < end - start <= 64 for start, end in tiles)
    assert len(tiles) == -(-length // 64)


@pytest.mark.parametrize("seed", range(3))
def test_tiles_of_six_bases_a_token_are_read_whole_also_around_n(seed):
    tokenizer = build_dna_tokenizer("nucleotide_transformer", model_max_length=11)  # ten tokens after <cls>
    draw = random.Random(seed)
    sequence = "".join(draw.choices("ACGTN", weights=[9, 9, 9, 9, 1], k=500)) + "N" * 30
    tiles = list(Tiling(tokenizer)(sequence))
    assert all(len(tokenizer(sequence[start:end])["input_ids"]) <= 11 for start, end in tiles)
    assert all(start % 6 == 0 for start, _ in tiles)
    assert "".join(sequence[start:end] for start, end in tiles) == sequence
    assert list(Tiling(tokenizer)("ACGTAC" * 20)) == [(0, 60), (60, 120)]


def test_a_tile_longer_than_the_encoder_reads_is_refused():
    with pytest.raises(ValueError, match="A tile of 65 bases: the encoder reads 1 to 64 of them at once"):
        Tiling(build_dna_tokenizer(model_max_length=64), most=65)
    assert Tiling(build_dna_tokenizer(), most=500_000).most == 500_000
