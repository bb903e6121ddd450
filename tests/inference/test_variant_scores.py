import json
import math
import shutil
import subprocess

import pandas
import pytest
from conftest import random_dna
from dna_language_models import folder_of, tiny_language_model
from typer.testing import CliRunner

from textgenome.commands import app
from textgenome.inference import variant_scores
from textgenome.inference.likelihoods import score_variants


DNA = random_dna(600)
WINDOW = 60
HEADER = """##fileformat=VCFv4.2
##contig=<ID=1>
##INFO=<ID=CLNSIG,Number=.,Type=String,Description="significance">
##INFO=<ID=CADD,Number=A,Type=Float,Description="a score">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO
"""


def other_base(base: str) -> str:
    return "ACGT"["CGTA".index(base)]


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text(f">chr1\n{DNA}\n")
    return path


@pytest.fixture
def vcf(tmp_path):
    """A substitution every 20 bases, every third one pathogenic, one more with two alleles, a deletion, a symbol."""
    lines = []
    for i, place in enumerate(range(40, 560, 20)):
        label = "CLNSIG=" + ("Pathogenic" if i % 3 == 0 else "Benign")
        lines.append((place, DNA[place], other_base(DNA[place]), f"{label};CADD={i % 5}"))
    two = ",".join(sorted(set("ACGT") - {DNA[565]})[:2])
    lines += [(565, DNA[565], two, "."), (570, DNA[570:573], DNA[570], "CLNSIG=Benign;CADD=1")]
    lines.append((580, DNA[580], "<DEL>", "."))
    path = tmp_path / "calls.vcf"
    path.write_text(HEADER + "".join(f"1\t{p + 1}\t.\t{ref}\t{alt}\t.\t.\t{info}\n" for p, ref, alt, info in lines))
    return path


def run(*words) -> str:
    result = CliRunner().invoke(app, ["score", *map(str, words)])
    assert result.exit_code == 0, result.output
    return result.output


def refused(*words) -> str:
    result = CliRunner().invoke(app, ["score", *map(str, words)])
    assert result.exit_code == 1, result.output
    return result.output


def info_of(path) -> list[str]:
    import gzip

    lines = gzip.open(path, "rt").read().splitlines()
    return [line.split("\t")[7] for line in lines if not line.startswith("#")]


@pytest.mark.parametrize("kind", ["hyenadna", "caduceus"])
def test_the_copy_of_the_vcf_has_the_scores_of_its_alleles(kind, vcf, fasta, tmp_path, caplog):
    output = tmp_path / "scored.vcf.gz"
    words = ["--vcf", vcf, "--fasta", fasta, "--window", WINDOW, "--both_strands", "average", "--output", output]
    told = run("--model", folder_of(kind), *words, "--batch_size", "5")
    masked = kind == "caduceus"
    assert f"{28 if masked else 29} of 29 variants are scored in {output}" in told
    info = info_of(output)
    place = 100
    window = DNA[place - 29 : place + 31]
    pair = (window, window[:29] + other_base(DNA[place]) + window[30:])
    expected = score_variants(tiny_language_model(kind), [pair], both_strands="average")[0]
    assert float(info[3].split("TG_LLR=")[1]) == pytest.approx(expected, rel=1e-4)
    assert len(info[-3].split("TG_LLR=")[1].split(",")) == 2
    assert ("TG_LLR=." in info[-2]) == masked and "TG_LLR=." in info[-1]
    assert ("1 of 29 variants have no score: a masked model" in caplog.text) == masked
    assert "chr1" in caplog.text and "contigs are those of" in caplog.text and "1 symbolic alleles" in caplog.text
    assert not list(tmp_path.glob("*.scores"))
    if shutil.which("bcftools"):
        done = subprocess.run(["bcftools", "view", output], capture_output=True, text=True, check=True)
        assert "##INFO=<ID=TG_LLR,Number=A,Type=Float" in done.stdout and "[W::" not in done.stderr


def test_scores_are_the_same_in_a_table_and_again_in_a_scored_file(vcf, fasta, tmp_path):
    words = ["--model", folder_of("genos"), "--fasta", fasta, "--window", WINDOW]
    run(*words, "--vcf", vcf, "--output", tmp_path / "one.vcf.gz")
    run(*words, "--vcf", tmp_path / "one.vcf.gz", "--output", tmp_path / "two.vcf.gz")
    assert info_of(tmp_path / "one.vcf.gz") == info_of(tmp_path / "two.vcf.gz")
    run(*words, "--vcf", vcf, "--output", tmp_path / "scores.parquet")
    table = pandas.read_parquet(tmp_path / "scores.parquet")
    assert list(table) == ["variant", "contig", "position", "reference", "alternative", "TG_LLR"]
    assert table["variant"][0] == f"1:41:{DNA[40]}:{other_base(DNA[40])}"
    values = [value for each in info_of(tmp_path / "one.vcf.gz") for value in each.split("TG_LLR=")[1].split(",")]
    assert [float(value) for value in values if value != "."] == pytest.approx(table["TG_LLR"].to_list(), rel=1e-4)


def test_pairs_of_a_table_keep_their_columns_but_no_sequence(tmp_path):
    rows = [
        {
            "reference_sequence": DNA[i : i + 41],
            "variant_sequence": DNA[i : i + 20] + other_base(DNA[i + 20]) + DNA[i + 21 : i + 41],
            "answer": "benign",
            "gene": f"G{i}",
        }
        for i in range(5)
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["--model", folder_of("hyenadna"), "--dataset_name", tmp_path / "pairs.jsonl"]
    run(*words, "--output", tmp_path / "scores.tsv")
    table = pandas.read_csv(tmp_path / "scores.tsv", sep="\t")
    assert set(table) == {"answer", "gene", "row", "TG_LLR"}
    pairs = [(row["reference_sequence"], row["variant_sequence"]) for row in rows]
    assert table["TG_LLR"].to_list() == pytest.approx(score_variants(tiny_language_model("hyenadna"), pairs), abs=1e-5)
    names = {"reference_sequence": "ref", "variant_sequence": "alt"}
    renamed = ({names.get(name, name): value for name, value in row.items()} for row in rows)
    (tmp_path / "renamed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in renamed))
    form = ["--columns", "reference_sequence=ref,variant_sequence=alt", "--output", tmp_path / "renamed.tsv"]
    run(*words[:-1], tmp_path / "renamed.jsonl", *form)
    assert (tmp_path / "renamed.tsv").read_text() == (tmp_path / "scores.tsv").read_text()
    assert "only the variants of a VCF file can be written" in refused(*words, "--output", tmp_path / "s.vcf.gz")
    (tmp_path / "one.jsonl").write_text(json.dumps({"sequence": DNA[:50]}) + "\n")
    words[-1] = tmp_path / "one.jsonl"
    assert "Row 0 is one sequence: a score needs" in refused(*words, "--output", tmp_path / "one.tsv")


def test_a_killed_run_loses_and_repeats_nothing(vcf, fasta, tmp_path, monkeypatch):
    words = ["--model", folder_of("hyenadna"), "--vcf", vcf, "--fasta", fasta, "--window", WINDOW, "--batch_size", "4"]
    run(*words, "--output", tmp_path / "whole.tsv")
    score, scored = variant_scores.score_windows, []

    def interrupted(language_model, pairs, *rest):
        if len(scored) == 12:
            raise KeyboardInterrupt
        scored.extend(pairs)
        return score(language_model, pairs, *rest)

    monkeypatch.setattr(variant_scores, "score_windows", interrupted)
    result = CliRunner().invoke(app, ["score", *map(str, words), "--output", str(tmp_path / "again.tsv")])
    assert result.exit_code and not (tmp_path / "again.tsv").exists()
    assert (tmp_path / "again.tsv.scores").is_dir()
    assert DNA[100:113] not in "".join(path.read_text() for path in (tmp_path / "again.tsv.scores").glob("*.json*"))
    first = list(scored)
    monkeypatch.setattr(variant_scores, "score_windows", lambda *given: scored.extend(given[1]) or score(*given))
    told = refused(*words[:-3], "40", "--batch_size", "4", "--output", tmp_path / "again.tsv")
    assert "holds a run with other settings (data_fingerprint, window)" in told
    run(*words, "--output", tmp_path / "again.tsv")
    assert len(first) == 12 and len(scored) == 29 and len(set(scored)) == 29
    assert (tmp_path / "again.tsv").read_text() == (tmp_path / "whole.tsv").read_text()


def test_labels_are_compared_with_the_scores_and_with_trivial_rows(vcf, fasta, tmp_path):
    words = ["--model", folder_of("hyenadna"), "--vcf", vcf, "--fasta", fasta, "--window", "18"]
    words += ["--labels", "CLNSIG", "--compare", "INFO/CADD"]
    told = run(*words, "--output", tmp_path / "scores.tsv")
    assert "Positive: Pathogenic (9). Negative: Benign (18).\n" in told
    assert "Left out, for they lack a score or a label: 2.\n" in told
    for name in ("model", "model, substitutions alone", "inserted bases", "GC", "CpG transition", "INFO/CADD"):
        assert f"\n{name} " in told
    told = refused(*words, "--positive", "Harmful", "--output", tmp_path / "other.tsv")
    assert "No row has the label 'Harmful'. The labels are Benign, Pathogenic." in told
    told = refused(*words[:-4], "--labels", "CLNSG", "--output", tmp_path / "other.tsv")
    assert "no column or key of INFO is named 'CLNSG'" in told


def test_what_cannot_be_scored_is_named(vcf, fasta, tmp_path):
    words = ["--model", folder_of("hyenadna"), "--vcf", vcf, "--window", WINDOW, "--output", tmp_path / "out.vcf.gz"]
    other = tmp_path / "other.fa"
    other.write_text(f">chr1\n{random_dna(600, seed=1)}\n")
    told = refused(*words, "--fasta", other)
    assert f"{vcf}, 1:41, ALT 1, column 'REF': it is {DNA[40]}, but the genome has" in told
    assert "REF differs from" in told and "Is it another assembly?" in told and "of 29 alleles (" in told
    assert "Give --dataset_name TABLE; or --fasta" in refused(*words)
    assert "A window of 200 bases is longer than" in refused(*words, "--fasta", fasta, "--window", "200")
    (tmp_path / "out.vcf.gz").write_text("mine")
    assert "is there already" in refused(*words, "--fasta", fasta)
    empty = tmp_path / "empty.vcf"
    empty.write_text(HEADER)
    words[3] = empty
    assert "There is no variant to score" in refused(*words[:-1], tmp_path / "new.tsv", "--fasta", fasta)


def test_skipped_alleles_have_no_score(vcf, fasta, tmp_path, caplog):
    text = vcf.read_text().replace(f"1\t61\t.\t{DNA[60]}\t", f"1\t61\t.\t{other_base(other_base(DNA[60]))}\t")
    vcf.write_text(text)
    words = ["--model", folder_of("hyenadna"), "--vcf", vcf, "--fasta", fasta, "--window", WINDOW]
    told = run(*words, "--on_bad_row", "skip", "--output", tmp_path / "out.vcf.gz")
    assert "28 of 28 variants are scored" in told
    assert "REF differs from" in caplog.text and "in 1 of 29 alleles (3.4%)" in caplog.text
    assert info_of(tmp_path / "out.vcf.gz")[1].endswith("TG_LLR=.")
    assert all(math.isfinite(float(each.split("TG_LLR=")[1])) for each in info_of(tmp_path / "out.vcf.gz")[2:20])
