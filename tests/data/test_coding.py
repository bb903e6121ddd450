"""Coding sequences of a genome and their proteins."""

import gzip

import pytest
from conftest import SHARED
from typer.testing import CliRunner

from textgenome.commands.console import app
from textgenome.data.coding import coding_rows, coding_sequences, hold_out_genes
from textgenome.data.proteins import CODE, translate
from textgenome.data.sequences import reverse_complement


# Two exons with an intron within a codon, on both strands: M A K W F R D E stop.
EXONS, INTRON = ("ATGGCCAAATG", "GTTTCGTGACGAGTAA"), "GTAAGTACCTTTAG"
GENE = "CCCC" + EXONS[0] + INTRON + EXONS[1] + "GGG"
PARTS = [(4, 15), (29, 45)]
PROTEIN = "MAKWFRDE*"


def gtf_line(contig, start, end, strand, phase, gene, transcript):
    names = f'gene_id "{gene}"; transcript_id "{transcript}";'
    return f"{contig}\tx\tCDS\t{start + 1}\t{end}\t.\t{strand}\t{phase}\t{names}\n"


@pytest.fixture
def files(tmp_path):
    length = len(GENE)
    lines = [gtf_line("a", *part, "+", phase, "G1", "G1.1") for part, phase in zip(PARTS, (0, 1))]
    lines += [gtf_line("a", 4, 10, "+", 0, "G1", "G1.short")]
    turned = [(length - end, length - start) for start, end in PARTS]
    lines += [gtf_line("b", *part, "-", phase, "G2", "G2.1") for part, phase in zip(turned, (0, 1))]
    lines += [gtf_line("c", 2, 31, "+", 2, "G3", "G3.1")]  # begins within a codon
    lines += [gtf_line("d", 0, 27, "+", 0, "G4", "G4.1"), gtf_line("a", 4, 13, "+", 0, "G5", "G5.1")]
    (tmp_path / "genes.gtf").write_text("".join(lines))
    records = {"a": GENE, "b": reverse_complement(GENE), "c": "AAGG" + "".join(EXONS), "d": "TAA" * 9}
    (tmp_path / "genome.fa").write_text("".join(f">{name}\n{letters}\n" for name, letters in records.items()))
    return tmp_path / "genome.fa", tmp_path / "genes.gtf"


def test_the_code_is_the_standard_one():
    assert len(CODE) == 64 and sum(amino_acid == "*" for amino_acid in CODE.values()) == 3
    assert translate("ATGTGGTAATAGTGACTTAGAAGCNATAT") == "MW***LRSX"


def test_rows_are_read_along_the_transcript_on_its_strand_and_in_its_frame(files):
    rows, counts = coding_rows(*files)
    assert [row["gene"] for row in rows] == ["G1", "G2", "G3"]
    assert {row["answer"] for row in rows} == {" ".join(PROTEIN)}
    assert {row["sequence"] for row in rows} == {"".join(EXONS)}
    reasons = {"left out: a stop codon within": 1, "left out: fewer than 6 codons": 1}
    assert counts == {"genes": 5, **reasons}


def test_pieces_are_in_frame_and_of_the_lengths_asked_for(starter_genome):
    files = starter_genome / "genome.fa", starter_genome / "genes.gtf"
    rows, _ = coding_rows(*files, max_codons=16, copies=2)
    lengths = {len(row["sequence"]) // 3 for row in rows}
    assert lengths == {*range(6, 17)}
    assert all(row["answer"] == " ".join(translate(row["sequence"])) for row in rows)
    whole = dict(zip(*zip(*((each.gene, bases) for each, bases in coding_sequences(*files)))))
    assert all(row["sequence"] in whole[row["gene"]] for row in rows)
    assert any(row["answer"].endswith("*") for row in rows)
    unknown, _ = coding_rows(*files, max_codons=16, frame="unknown")
    frames = [row["sequence"].find(bases) for row in unknown for bases in [in_frame(row)]]
    assert {*frames} == {0, 1, 2} and all(frames.count(frame) > len(frames) / 5 for frame in range(3))
    train, validation = hold_out_genes(rows)
    genes = [{row["gene"] for row in part} for part in (train, validation)]
    assert not genes[0] & genes[1] and len(genes[1]) == -(-len(whole) // 10)
    assert coding_rows(*files, max_codons=16, copies=2)[0] == rows


def in_frame(row):
    """The part of a sequence that encodes the answer."""
    sequence, length = row["sequence"], 3 * len(row["answer"].split())
    parts = [sequence[start : start + length] for start in range(3)]
    return next(part for part in parts if " ".join(translate(part)) == row["answer"])


def test_real_annotation_has_no_stop_codon_within(tmp_path):
    folder = SHARED / "data" / "annotation"
    if not folder.exists():
        pytest.skip("the annotation of fly loci is not beside this checkout (../shared/data/annotation)")
    fasta = tmp_path / "fly.fa"  # plain gzip has no places to jump to
    fasta.write_bytes(gzip.decompress((folder / "fly.fa.gz").read_bytes()))
    rows, counts = coding_rows(fasta, folder / "fly.gtf.gz")
    assert counts == {"genes": 468} and all(row["answer"].startswith("M") for row in rows)


def test_the_command_writes_two_tables_and_refuses_what_codes_for_nothing(files, tmp_path):
    command = ["build", "coding", "--fasta", str(files[0]), "--gtf", str(files[1])]
    out = tmp_path / "cds"
    named = ["--output", str(out / "train.jsonl"), "--validation", str(out / "validation.jsonl")]
    result = CliRunner().invoke(app, [*command, *named])
    assert result.exit_code == 0 and "2 rows in" in result.output and "a stop codon within: 1" in result.output
    with pytest.raises(ValueError, match=r"no coding sequence to ask about \(genes: 1; left out: a stop codon"):
        files[1].write_text(gtf_line("d", 0, 27, "+", 0, "G4", "G4.1"))
        coding_rows(*files)
