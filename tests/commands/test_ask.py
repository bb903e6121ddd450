import json
import os
from threading import Thread

import pytest
from conftest import TINY_CHECKPOINT, random_dna, variant_row
from typer.testing import CliRunner

from textgenome.commands import app
from textgenome.data.rows import load_rows


NOTICE = "Research use only, not for diagnosis."
GENOME = random_dna(300)
LONG = "very " * 20 + "long disease" + " of many names" * 15


@pytest.fixture
def calls(tmp_path):
    (tmp_path / "genome.fa").write_text(f">chr1\n{GENOME}\n")
    columns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    record = f"1\t50\t.\t{GENOME[49:51]}\tTTTT\t.\t.\tCLNSIG=benign\n"
    header = '##fileformat=VCFv4.2\n##INFO=<ID=CLNSIG,Number=.,Type=String,Description="?">\n'
    (tmp_path / "v.vcf").write_text(header + columns + record)
    return ["--vcf", tmp_path / "v.vcf", "--fasta", tmp_path / "genome.fa"]


def invoke(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result, " ".join(result.output.split())


def ask(*words):
    return invoke("ask", "--model", TINY_CHECKPOINT, "--max_new_tokens", 3, *words)


def test_a_pair_is_answered_and_not_stored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    row = variant_row()
    (tmp_path / "reference.fa").write_text(f">r\n{row['reference_sequence']}\n")
    pair = ["--reference", "reference.fa", "--variant", row["variant_sequence"], "--question", "What?"]
    (tmp_path / "labels.txt").write_text("acute leukemia, myeloid\nglioma\n", encoding="utf-8-sig")
    result, output = ask(*pair, "--labels", "labels.txt")
    assert result.exit_code == 0, output
    assert "Reasoning: " in output and "Answer: " in output and NOTICE in output
    assert "  acute leukemia, myeloid\n" in result.output and "  glioma\n" in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.txt", "reference.fa"]


def test_a_table(tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps(variant_row()) + "\n")
    result, output = ask("--dataset_name", tmp_path / "rows.jsonl", "--output_dir", tmp_path / "out")
    assert result.exit_code == 0, output
    assert "1 answers in " in output and NOTICE in output
    assert (tmp_path / "out" / "answers.jsonl").exists()


def test_a_vcf_file(calls, tmp_path):
    result, output = ask(*calls, "--question", "What?", "--output_dir", tmp_path / "out", "--labels", f"a, {LONG}")
    assert result.exit_code == 0, output
    (answer,) = [json.loads(line) for line in (tmp_path / "out" / "answers.jsonl").read_text().splitlines()]
    assert answer["variant"] == f"1:50:{GENOME[49:51]}:TTTT" and list(answer["scores"]) == ["a", LONG]
    assert (tmp_path / "out" / "answers.vcf.gz").exists()


@pytest.mark.parametrize(
    "question, labels, message",
    [
        ("Why?<|im_end|>", "a,b", "column 'question': the text holds <|im_end|>, which is reserved"),
        ("Why?", "a,</think>", "The label '</think>' cannot be scored: the text holds </think>, which is reserved"),
    ],
)
def test_reserved_tokens_are_refused(calls, tmp_path, question, labels, message):
    (tmp_path / "rows.jsonl").write_text(json.dumps(variant_row(question=question)) + "\n")
    asked, folder = ["--labels", labels], ["--output_dir", tmp_path / "out"]
    for words in (
        ["--reference", "ACGT", "--variant", "ACTT", "--question", question, *asked],
        ["--dataset_name", tmp_path / "rows.jsonl", *asked, *folder],
        [*calls, "--question", question, *asked, *folder],
    ):
        result, output = ask(*words)
        assert result.exit_code == 1 and message in output, output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words, message",
    [
        (["--question", "What?"], "Give --reference --variant --question; or --dataset_name --output_dir; or --vcf"),
        (["--reference", "A", "--variant", "C", "--question", "?", "--output_dir", "out"], "Give --reference"),
        (["--reference", "A", "--variant", "no.fa", "--question", "?"], "--variant: There is no such FASTA file"),
        (["--reference", "A", "--variant", "C", "--question", "?", "--labels", "one"], "it takes two"),
        (["--reference", "A", "--variant", "C", "--question", "?", "--dtype", "half"], "'half' is not one of 'auto'"),
    ],
)
def test_wrong_flags_are_named(words, message):
    result, output = ask(*words)
    assert result.exit_code == 2
    assert message in output


def test_a_model_that_is_not_there_is_named(calls, tmp_path):
    words = ["--question", "What?"]
    for rows in ([*calls, "--output_dir", tmp_path / "out"], ["--reference", "A", "--variant", "C"]):
        result, output = invoke("ask", "--model", "no/model", *rows, *words)
        assert result.exit_code == 1 and "Error: no/model: there is no such folder. Cannot resolve" in output


def test_training_rows_from_calls(calls, tmp_path):
    path = tmp_path / "train.jsonl"
    words = ["windows", *calls, "--labels", "CLNSIG", "--output", path, "--window", 20]
    result, output = invoke(*words)
    assert result.exit_code == 0 and "1 rows in " in output, output
    (row,) = load_rows(str(path), "train")
    assert row["answer"] == "benign" and row["question"] == "What is the effect of this variant?"
    assert len(row["variant_sequence"]) == 20 and row["reference_sequence"] in GENOME
    result, output = invoke(*words)
    assert result.exit_code == 2 and "is there already" in output
    result, output = invoke(*words, "--output", tmp_path / "train.csv")
    assert result.exit_code == 2 and "train.csv: name a file that ends with .jsonl" in output


def test_pipes_of_the_shell_are_read(tmp_path):
    row = variant_row()
    contents = [f">r\n{row['reference_sequence']}\n", f">v\n{row['variant_sequence']}\n", "glioma\nacute leukemia\n"]
    names = [tmp_path / str(number) for number in range(3)]
    for name, content in zip(names, contents):
        os.mkfifo(name)
        Thread(target=name.write_text, args=(content,), daemon=True).start()
    result, output = ask("--reference", names[0], "--variant", names[1], "--question", "What?", "--labels", names[2])
    assert result.exit_code == 0, output
    assert "Answer: " in output and "  acute leukemia\n" in result.output


def test_escape_codes_of_a_file_do_not_reach_the_terminal(calls, tmp_path):
    text = calls[1].read_text()
    for name in ("chr\x1b[31mX", "\x9b2J", "a\rb"):
        calls[1].write_text(text.replace("\n1\t", f"\n{name}\t"))
        result, output = invoke("windows", *calls, "--labels", "CLNSIG", "--output", tmp_path / "train.jsonl")
        assert result.exit_code == 1 and "the genome has no such contig" in output
        assert name not in result.output and name.encode("unicode_escape").decode() in output


def test_a_genome_that_does_not_fit_is_named(calls, tmp_path):
    (tmp_path / "genome.fa").write_text(f">chr1\n{'N' * 300}\n")
    result, output = invoke("windows", *calls, "--labels", "CLNSIG", "--output", tmp_path / "train.jsonl")
    assert result.exit_code == 1
    assert f"1:50, ALT 1, column 'REF': it is {GENOME[49:51]}, but the genome has NN there" in output
    assert not (tmp_path / "train.jsonl").exists()


def test_help_says_what_it_is_for():
    for command in ("ask", "windows"):
        assert "Example: textgenome" in invoke(command, "--help")[1]
    assert NOTICE in invoke("ask", "--help")[1]
