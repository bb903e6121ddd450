import pandas
import pytest
from conftest import TINY_CHECKPOINT, random_dna
from typer.testing import CliRunner

from textgenome.commands import app
from textgenome.inference import embedding_runs


@pytest.fixture
def fasta(tmp_path):
    (tmp_path / "genome.fa").write_text(f">chr1\n{random_dna(300)}\n")
    return tmp_path / "genome.fa"


def embed(*words):
    result = CliRunner().invoke(app, ["embed", str(TINY_CHECKPOINT), *map(str, words)])
    return result.exit_code, " ".join(result.output.split())


def test_the_encoder_of_a_fused_model_embeds_records(tmp_path, fasta):
    code, output = embed("--fasta", fasta, "--output", tmp_path / "e.parquet", "--shard", "1/1")
    assert (code, output.endswith(f"1 sequences in {tmp_path / 'e.parquet'}")) == (0, True), output
    assert len(pandas.read_parquet(tmp_path / "e.parquet")["embedding"][0]) == 16


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "Give --dataset_name TABLE; or --fasta FASTA, alone or with either --bed or --vcf."),
        (["--bed", "bad.bed", "--fasta", "genome.fa"], "bad.bed, line 1: start 9 is not before end 9"),
        (["--bed", "other.bed", "--fasta", "genome.fa"], "has no such contig; it starts with chr1"),
        (["--bed", "far.bed", "--fasta", "genome.fa"], "no base of it is on the contig, which has 300"),
        (["--vcf", "other.vcf", "--fasta", "genome.fa"], "1 of 1 alleles (100.0%). Is it another assembly?"),
        (["--fasta", "bad.fa"], "The character 'J' at position 2 of the DNA is not a base"),
        (["--dataset_name", "rows.csv"], "a row needs `sequence`, or `reference_sequence` and `variant_sequence`"),
        (["--fasta", "genome.fa", "--shard", "2"], "give a share and the number of shares, such as 2/8"),
        (["--fasta", "genome.fa", "--shard", "0/4"], "There is no share 0 of 4 of 1 sequences"),
        (["--fasta", "genome.fa", "--dna_feature_layer", "9"], "'dna_feature_layer' is 9, but the DNA encoder has 2"),
        (["--fasta", "genome.fa", "--tile", "999999"], "A tile of 999999 bases: the encoder reads 1 to"),
        (["--fasta", "genome.fa", "--output", "e.csv"], "e.csv: name a file that ends with .parquet, or a folder"),
        (["--fasta", "genome.fa", "--pooling", "median"], "'median' is not one of"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(tmp_path, fasta, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.bed").write_text("chr1\t9\t9\n")
    (tmp_path / "other.bed").write_text("chr2\t1\t9\n")
    (tmp_path / "far.bed").write_text("chr1\t300\t309\n")
    (tmp_path / "bad.fa").write_text(">a\nAJGT\n")
    (tmp_path / "rows.csv").write_text("dna\nACGT\n")
    header = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    other = {"A": "C"}.get(random_dna(300)[99], "A")
    (tmp_path / "other.vcf").write_text(f"{header}1\t100\t.\t{other}\tN\t.\t.\t.\n")
    output = [] if "--output" in words else ["--output", "e.parquet"]
    code, said = embed(*words, *output)
    assert code in (1, 2) and message in said and "Traceback" not in said
    assert not (tmp_path / "e.parquet").exists()


def test_ctrl_c_says_that_the_run_goes_on(tmp_path, fasta, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(embedding_runs, "embed_batch", interrupt)
    code, output = embed("--fasta", fasta, "--output", tmp_path / "e.parquet")
    assert code == 130 and "Stopped. Run the same command again to resume." in output


def test_help_teaches_with_examples():
    code, output = embed("--help")
    assert code == 0 and "--fasta sequences.fa --output embeddings.parquet" in output
    for option in ("--pooling", "--bed", "--vcf", "--both_strands", "--shard", "--cache_dir", "--tile"):
        assert option in output
