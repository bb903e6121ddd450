import gzip
import shutil
import subprocess
from collections import defaultdict

import numpy as np
import pysam
import pytest
from conftest import SHARED

from textgenome.genome.gtf import read_annotation
from textgenome.genome.transcripts import Transcript, phases_of, write_gff3


GENES = """c1 . exon 11 20 . + . gene_id "g 1"; transcript_id "t1";
c1 . CDS 13 20 . + 0 gene_id "g 1"; transcript_id "t1";
c1 . exon 31 45 . + . gene_id "g 1"; transcript_id "t1";
c1 . CDS 31 37 . + 1 gene_id "g 1"; transcript_id "t1";
c1 . stop_codon 38 40 . + 0 gene_id "g 1"; transcript_id "t1";
c1 . exon 15 24 . - . gene_id "g2"; transcript_id "t2";
c1 . CDS 15 24 . - 0 gene_id "g2"; transcript_id "t2";
c2 . lnc_RNA 1 4 . . . gene_id "g3"; transcript_id "t3";
"""


def write_lines(path, lines):
    """Lines with spaces between their columns, as GTF or GFF3."""
    path.write_text("".join("\t".join(line.split(" ", 8)) + "\n" for line in lines.splitlines()))
    return path


@pytest.fixture
def genes(tmp_path):
    return read_annotation(write_lines(tmp_path / "genes.gtf", GENES))


def covered(labels):
    return ["".join("-#"[base] for base in column) for column in labels.T]


def test_labels_say_what_covers_each_base(genes):
    assert genes.types["exon"] == 3 and genes.contigs == ["c1", "c2"]
    forward = genes.labels("c1", 8, 46, ["exon", "CDS"], "+")
    assert forward.dtype == np.uint8
    assert covered(forward) == ["--##########----------###############-", "----########----------##########------"]
    assert covered(genes.labels("c1", 8, 28, ["exon", "CDS"], "-")) == ["------##########----"] * 2
    assert covered(genes.labels("c1", 8, 28, ["CDS"])) == ["----############----"]
    assert covered(genes.labels("c2", -2, 6, ["lnc_RNA", "nothing"], "-")) == ["--####--", "--------"]
    assert not genes.labels("c3", 0, 5, ["exon"]).any()


def test_labels_find_long_features_that_start_far_before(tmp_path):
    lines = ["c1\t0\t5000", *(f"c1\t{start}\t{start + 3}" for start in range(10, 4000, 100))]
    (tmp_path / "peaks.bed").write_text("track name=x\n" + "\n".join(lines))
    labels = read_annotation(tmp_path / "peaks.bed").labels("c1", 4990, 5010, ["peaks"])
    assert covered(labels) == ["#" * 10 + "-" * 10]


def test_transcripts_have_the_stop_codon_in_their_cds(genes):
    first, second = genes.transcripts("c1")
    assert first == Transcript("t1", "g 1", "c1", "+", ((10, 20), (30, 45)), ((12, 20), (30, 40)))
    assert first.phases() == [0, 1]
    assert (second.name, second.strand, second.cds) == ("t2", "-", ((14, 24),))


def test_the_stop_codon_may_be_cut_by_an_intron(tmp_path):
    lines = GENES.replace("38 40 . + 0", "38 38 . + 0").replace("c1 . exon 15", STOP + "c1 . exon 15")
    (transcript, _) = read_annotation(write_lines(tmp_path / "g.gtf", lines)).transcripts("c1")
    assert transcript.cds == ((12, 20), (30, 38), (50, 52))


STOP = 'c1 . stop_codon 51 52 . + 2 gene_id "g 1"; transcript_id "t1";\n'

GFF3 = """##gff-version 3
c1 . gene 11 45 . + . ID=gene%3B1
c1 . mRNA 11 45 . + . ID=a;Parent=gene%3B1
c1 . mRNA 11 45 . + . ID=b;Parent=gene%3B1
c1 . exon 11 20 . + . Parent=a,b
c1 . exon 31 45 . + . Parent=b
c1 . CDS 11 20 . + 0 ID=x;Parent=a
##FASTA
>c1
"""


def test_gff3_names_parents(tmp_path):
    annotation = read_annotation(write_lines(tmp_path / "g.gff3", GFF3))
    by_name = {each.name: each for each in annotation.transcripts()}
    assert by_name["a"] == Transcript("a", "gene;1", "c1", "+", ((10, 20),), ((10, 20),))
    assert by_name["b"] == Transcript("b", "gene;1", "c1", "+", ((10, 20), (30, 45)))
    assert annotation.types == {"gene": 1, "mRNA": 2, "exon": 2, "CDS": 1}


def test_compressed_files_are_read(tmp_path, genes):
    write_lines(tmp_path / "genes.gtf", GENES)
    (tmp_path / "g.gtf.gz").write_bytes(gzip.compress((tmp_path / "genes.gtf").read_bytes()))
    pysam.tabix_compress(str(tmp_path / "genes.gtf"), str(tmp_path / "b.gtf.gz"))
    for name in ("g.gtf.gz", "b.gtf.gz"):
        assert read_annotation(tmp_path / name).transcripts() == genes.transcripts()
    (tmp_path / "g.gtf.gz").write_bytes(gzip.compress((tmp_path / "genes.gtf").read_bytes())[:60])
    with pytest.raises(ValueError, match="cannot be read: it is damaged or truncated"):
        read_annotation(tmp_path / "g.gtf.gz")


FAULTS = {
    "columns": ("c1 . exon 11", "line 1: a line of GTF or GFF3 has 9 columns with tabs between them, this has 4"),
    "numbers": (GENES.replace(" 11 ", " x "), "line 1: its start and end are not numbers: 'x' and '20'"),
    "start": (GENES.replace(" 11 20", " 21 20"), "line 1: its start, 21, is after its end, 20"),
    "zero": (GENES.replace(" 11 20", " 0 20"), "line 1: its start is 0, but positions count from 1"),
    "strand": (GENES.replace("20 . + 0", "20 . x 0"), "line 2: its strand is 'x'"),
    "phase": (GENES.replace("20 . + 0", "20 . + 3"), "line 2: its phase is '3', not 0, 1, 2 or ."),
    "frame": (GENES.replace("37 . + 1", "37 . + 2"), "line 4: the phase of this CDS of the transcript t1 is 2, but 1"),
    "outside": (GENES.replace("CDS 13 20", "CDS 10 20"), "line 2: the CDS 10-20 is not inside an exon of its tran"),
}


@pytest.mark.parametrize("lines, message", FAULTS.values(), ids=FAULTS)
def test_a_wrong_line_is_named(tmp_path, lines, message):
    with pytest.raises(ValueError, match=f"wrong.gtf, {message}"):
        read_annotation(write_lines(tmp_path / "wrong.gtf", lines))


@pytest.mark.parametrize("columns, message", [("c1\t5\t5", "5 is not before end 5"), ("c1\t5", "at least three col")])
def test_a_wrong_line_of_bed_is_named(tmp_path, columns, message):
    (tmp_path / "wrong.bed").write_text(f"c1\t0\t5\n{columns}\n")
    with pytest.raises(ValueError, match=f"wrong.bed, line 2: .*{message}"):
        read_annotation(tmp_path / "wrong.bed")


def test_contigs_are_matched_or_refused(genes, tmp_path, caplog):
    assert genes.named_as(["c2", "c1", "c9"]) == {"c1": "c1", "c2": "c2"}
    with pytest.raises(ValueError, match="line 8: the contig c2 has no sequence in the genome"):
        genes.named_as(["c1"])
    (tmp_path / "peaks.bed").write_text("chr1\t0\t5\n")
    peaks = read_annotation(tmp_path / "peaks.bed")
    assert peaks.named_as(["1", "2"]) == {"1": "chr1"}
    assert "its contig chr1 is 1 of the genome" in caplog.text
    (tmp_path / "peaks.bed").write_text("chr1\t0\t5\n1\t7\t9\n")
    with pytest.raises(ValueError, match="line 2: the contigs chr1 and 1 are both 1"):
        read_annotation(tmp_path / "peaks.bed").named_as(["1", "2"])


def test_trans_spliced_transcripts_and_shifted_frames_are_no_errors(tmp_path, caplog):
    lines = GENES.replace("c1 . exon 31 45 . +", "c1 . exon 31 45 . -")
    annotation = read_annotation(write_lines(tmp_path / "g.gtf", lines))
    assert [each.name for each in annotation.transcripts()] == ["t2"]
    assert "1 transcripts have parts on both strands" in caplog.text
    lines = GENES.replace("37 . + 1 ", '37 . + 2 exception "ribosomal slippage"; ')
    assert len(read_annotation(write_lines(tmp_path / "g.gtf", lines)).transcripts()) == 2


def test_phases_follow_the_strand():
    assert phases_of(((0, 4), (10, 15), (20, 29)), "+") == [0, 2, 0]
    assert phases_of(((0, 4), (10, 15), (20, 29)), "-", 1) == [2, 1, 1]


def test_written_gff3_is_read_back(tmp_path, genes):
    write_gff3(tmp_path / "g.gff3", genes.transcripts(), {"c1": 60, "c2": 4})
    text = (tmp_path / "g.gff3").read_text()
    assert text.startswith("##gff-version 3\n##sequence-region c1 1 60\n##sequence-region c2 1 4\n")
    assert "c1\ttextgenome\tCDS\t31\t40\t.\t+\t1\tID=cds:t1;Parent=transcript:t1\n" in text
    again = read_annotation(tmp_path / "g.gff3")
    assert [each.cds for each in again.transcripts()] == [each.cds for each in genes.transcripts()]
    assert [each.gene for each in again.transcripts()] == ["gene:g 1", "gene:g2"]


def test_what_is_outside_its_contig_is_not_written(tmp_path, genes):
    with pytest.raises(ValueError, match="The transcript t1 has a part 31-45, but its contig c1 has 44 bases"):
        write_gff3(tmp_path / "g.gff3", genes.transcripts(), {"c1": 44})
    assert not list(tmp_path.glob("*.gff3*"))


def uncompressed(path, folder):
    copied = folder / path.stem
    copied.write_bytes(gzip.decompress(path.read_bytes()))
    return copied


@pytest.mark.parametrize("name", ["fly", "human_embl"])
def test_real_annotation_survives_gff3_and_labels(tmp_path, name):
    folder = SHARED / "data" / "annotation"
    if not folder.exists():
        pytest.skip("the loci of ../shared/data/annotation are not beside this checkout")
    annotation = read_annotation(folder / f"{name}.gtf.gz")
    with pysam.FastaFile(str(uncompressed(folder / f"{name}.fa.gz", tmp_path))) as genome:
        lengths = dict(zip(genome.references, genome.lengths))
    written = tmp_path / "written.gff3"
    write_gff3(written, annotation.transcripts(), lengths)
    again = read_annotation(written)
    parts = ("contig", "strand", "exons", "cds", "phase")
    plain = [sorted(tuple(getattr(t, part) for part in parts) for t in a.transcripts()) for a in (annotation, again)]
    assert plain[0] == plain[1] and len(plain[0]) > 200
    counts = defaultdict(int)
    for contig in annotation.contigs:
        for strand in "+-":
            labels = [a.labels(contig, 0, lengths[contig], ["CDS", "exon"], strand) for a in (annotation, again)]
            np.testing.assert_array_equal(*labels)
            counts[strand] += int(labels[0][:, 0].sum())
    assert min(counts.values()) > 50_000
    if not shutil.which("gffread"):
        pytest.skip("gffread, which reads GFF3 strictly, is not installed; all else was tested")
    command = [
        "gffread",
        "-E",
        "-g",
        tmp_path / f"{name}.fa",
        written,
        "-x",
        tmp_path / "cds.fa",
        "-o",
        tmp_path / "o",
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    complaints = [line for line in result.stderr.splitlines() if "rror" in line or "arning" in line]
    # Of the sequence, not of the file: some coding parts of the EMBL entries are pseudogenes.
    assert not [line for line in complaints if "In-frame STOP" not in line]
    coding = sum(bool(each.cds) for each in annotation.transcripts())
    assert (tmp_path / "cds.fa").read_text().count(">") == coding
