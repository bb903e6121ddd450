import json
import math
import os
import re
from urllib.parse import unquote

import pysam
import pytest
from conftest import TINY_CHECKPOINT, random_dna, variant_row

from textgenome.data.locks import locked
from textgenome.inference import ask_model, ask_table, ask_vcf, asking, extract_answer, generation
from textgenome.inference.answers import normalize_answer, split_output
from textgenome.inference.asking import ask_rows, open_fused
from textgenome.inference.predictions import Predictions


LABELS = ["glioma", "melanoma"]
QUESTION = 'What does "it" do?'
OPTIONS = {"batch_size": 2, "max_new_tokens": 3}
GENOME = random_dna(400)


@pytest.fixture
def table(tmp_path):
    rows = [variant_row(40, i) for i in range(5)]
    for row in rows:
        del row["answer"]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def calls(tmp_path):
    fasta, vcf = tmp_path / "genome.fa", tmp_path / "v.vcf"
    fasta.write_text(f">1\n{GENOME}\n")
    header = "##fileformat=VCFv4.2\n##contig=<ID=chr1>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    alts = [{"A": "C,*,AT", "C": "A,*,CT", "G": "A,*,GT", "T": "A,*,TC"}[GENOME[i]] for i in (99, 199)]
    lines = [f"chr1\t{i + 1}\t.\t{GENOME[i]}\t{alt}\t.\t.\t.\n" for i, alt in zip((99, 199), alts)]
    vcf.write_text(header + "".join(lines))
    return vcf, fasta


def answers(folder):
    return [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]


def said(monkeypatch, text):
    """Have the model say this, whatever it is asked."""

    def generate(model, processor, conversations, **options):
        return [text] * len(conversations)

    def generate_predictions(model, processor, rows, condition, predictions, **options):
        records = [{"condition": condition, "row": i, "output": text, "tokens": 1} for i in range(len(rows))]
        predictions.write(records)

    monkeypatch.setattr(asking, "generate", generate)
    monkeypatch.setattr(asking, "generate_predictions", generate_predictions)


def test_one_pair(tiny_model, tiny_processor, monkeypatch):
    row = variant_row()
    del row["answer"]
    (answer,) = ask_model(tiny_model, tiny_processor, [row], max_new_tokens=3)
    assert list(answer) == ["reasoning", "answer"]
    (answer,) = ask_model(tiny_model, tiny_processor, [row], LABELS, max_new_tokens=3)
    assert list(answer["scores"]) == LABELS
    for name in ("scores", "scores_without_dna"):
        assert list(answer[name]) == LABELS and math.isclose(sum(answer[name].values()), 1, rel_tol=1e-5)
    other = {**row, "variant_sequence": row["variant_sequence"][::-1]}
    both = ask_model(tiny_model, tiny_processor, [row, other], LABELS, max_new_tokens=3)
    assert both[0]["scores"] != both[1]["scores"]
    assert both[0]["scores_without_dna"] == both[1]["scores_without_dna"]
    said(monkeypatch, "<think>\nStep 1\n</think>\n\nAnswer: Glioma")
    assert ask_model(tiny_model, tiny_processor, [row]) == [{"reasoning": "Step 1", "answer": "Glioma"}]
    with pytest.raises(ValueError, match="Row 0, column 'question': the text is empty"):
        ask_model(tiny_model, tiny_processor, [{**row, "question": " "}])
    with pytest.raises(ValueError, match="Row 0, column 'variant_sequence'"):
        ask_model(tiny_model, tiny_processor, [{**row, "variant_sequence": row["reference_sequence"]}])


TOO_LONG = r"the prompt has \d{4} tokens, prompt and answer may have 1024 together"


def test_a_prompt_that_is_too_long_is_refused_before_anything_is_asked(
    calls, table, tmp_path, tiny_model, tiny_processor, monkeypatch
):
    monkeypatch.setattr(asking, "generate", None)
    monkeypatch.setattr(asking, "generate_predictions", None)
    model, question, out = str(TINY_CHECKPOINT), "Why? " * 900, tmp_path / "out"
    with pytest.raises(ValueError, match=f"Row 1, column 'question': {TOO_LONG}"):
        ask_model(tiny_model, tiny_processor, [variant_row(), variant_row(question=question)])
    with open(table, "a") as file:
        file.write(json.dumps(variant_row(question=question)) + "\n")
    with pytest.raises(ValueError, match=f"1 of 6 rows are bad.*\nrows.jsonl, row 5, column 'question': {TOO_LONG}"):
        ask_table(model, table, out, **OPTIONS)
    with pytest.raises(ValueError, match=f"Row 0: {TOO_LONG}"):
        ask_vcf(model, *calls, question, out, **OPTIONS)
    with pytest.raises(ValueError, match=f"Row 0: {TOO_LONG}"):
        ask_rows(open_fused(model), [variant_row(question=question)], out, **OPTIONS)
    assert not list(out.glob("*.jsonl"))


def test_a_prompt_that_is_too_long_is_left_out_as_other_bad_rows(table, tmp_path, monkeypatch):
    said(monkeypatch, "Answer: Glioma")
    rows = [json.dumps(variant_row(question="Why? " * 900)), open(table).read()]
    with open(table, "w") as file:
        file.write("\n".join(rows))
    written = ask_table(str(TINY_CHECKPOINT), table, tmp_path / "out", on_bad_row="skip", **OPTIONS)
    assert [answer["row"] for answer in written] == [1, 2, 3, 4, 5]


def test_the_score_is_that_of_the_label_as_it_is_spelt(calls, tmp_path, monkeypatch):
    said(monkeypatch, "Answer: Glioma")
    folder = tmp_path / "out"
    (answer, *_) = ask_vcf(str(TINY_CHECKPOINT), *calls, QUESTION, folder, labels=["Glioma", "glioma"], **OPTIONS)
    assert answer["scores"]["Glioma"] != answer["scores"]["glioma"]
    with pysam.VariantFile(str(folder / "answers.vcf.gz")) as file:
        info = next(file).info
    for field, name in {"TG_SCORE": "scores", "TG_SCORE_NO_DNA": "scores_without_dna"}.items():
        assert info[field][0] == pytest.approx(answer[name]["Glioma"], abs=1e-5)


def test_a_table_needs_no_answers(table, tmp_path, tiny_model, tiny_processor):
    written = ask_table(str(TINY_CHECKPOINT), table, tmp_path / "out", labels=LABELS, **OPTIONS)
    assert list(written) == answers(tmp_path / "out")
    assert [answer["row"] for answer in written] == list(range(5))
    rows = [json.loads(line) for line in open(table)]
    in_memory = ask_model(tiny_model, tiny_processor, rows, LABELS, **OPTIONS)
    for each, expected in zip(written, in_memory):
        for name in ("scores", "scores_without_dna"):
            assert each.pop(name) == pytest.approx(expected.pop(name))
        assert each == {"row": each["row"], **expected}


def test_the_prompts_of_a_table_are_checked_once(table, tmp_path, monkeypatch):
    said(monkeypatch, "Answer: Glioma")
    checked, check = [], generation.check_prompts

    def count(processor, conversations, *args):
        checked.extend(conversations)
        check(processor, conversations, *args)

    monkeypatch.setattr(generation, "check_prompts", count)
    monkeypatch.setattr(asking, "check_prompts", count)
    ask_table(str(TINY_CHECKPOINT), table, tmp_path / "out", **OPTIONS)
    assert len(checked) == 5


def test_answers_carry_the_numbers_of_the_rows_in_the_table(table, tmp_path, monkeypatch):
    said(monkeypatch, "Answer: Glioma")
    rows = [json.loads(line) for line in open(table)]
    rows[1]["variant_sequence"] = "X"
    rows[3]["answer"] = 1  # of no use here, so of no harm
    lines = [json.dumps(row) for row in rows]
    with open(table, "w") as file:
        file.write("\n".join([*lines[:2], "{", *lines[2:]]))
    written = ask_table(str(TINY_CHECKPOINT), table, tmp_path / "out", on_bad_row="skip", **OPTIONS)
    assert [answer["row"] for answer in written] == [0, 3, 4, 5]


def test_a_pipe_is_refused_before_anything_is_asked(calls, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe: it must be a file, for it is read twice"):
        ask_vcf(str(TINY_CHECKPOINT), tmp_path / "pipe", calls[1], QUESTION, tmp_path / "out", **OPTIONS)


def test_a_run_of_a_model_on_the_hub_is_of_one_commit(calls, table, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("textgenome.inference.checkpoints.pin_revision", lambda _, revision: f"commit of {revision}")
    monkeypatch.setattr(asking, "_ask_rows", lambda checkpoint, *words, **options: asked.append(checkpoint.revision))
    ask_table(str(TINY_CHECKPOINT), table, tmp_path / "out")
    ask_vcf(str(TINY_CHECKPOINT), *calls, QUESTION, tmp_path / "out")
    assert asked == ["commit of main"] * 2


def test_each_allele_of_a_vcf_file(calls, tmp_path, monkeypatch):
    said(monkeypatch, "<think>\nStep 1\n</think>\n\nAnswer: Glioma.")
    model, folder = str(TINY_CHECKPOINT), tmp_path / "out"
    ask_vcf(model, *calls, QUESTION, folder, labels=LABELS, **OPTIONS)
    written = answers(folder)
    assert len(written) == 4
    assert re.fullmatch(r"chr1:100:[ACGT]:[ACGT]", written[0]["variant"])
    assert {answer["answer"] for answer in written} == {"Glioma."}
    with pysam.VariantFile(str(folder / "answers.vcf.gz")) as file:
        assert 'What does \\"it\\" do?' in str(file.header)
        assert "##textgenome=Research use only, not for diagnosis\n" in str(file.header)
        records = list(file)
    assert [record.info["TG_ANSWER"] for record in records] == [("Glioma.", ".", "Glioma.")] * 2
    scores = [score for record in records for score in record.info["TG_SCORE"]]
    assert scores[1] is None and scores[0] == pytest.approx(written[0]["scores"]["glioma"], abs=1e-5)


def with_sample(vcf, key, kind, value):
    """The file with the genotypes of one sample."""
    declared = f'##FORMAT=<ID={key},Number=1,Type={kind},Description="?">\n#CHROM'
    lines = vcf.read_text().replace("#CHROM", declared).replace("INFO\n", "INFO\tFORMAT\tone\n")
    vcf.write_text(re.sub(r"\t\.\n", f"\t.\t{key}\t{value}\n", lines))


@pytest.mark.parametrize(
    "kind, value, reason",
    [("Integer", "131.7", "Invalid character '.' in 'GQ' FORMAT"), ("String", "1:2", "Incorrect number of FORMAT")],
)
def test_what_the_copy_needs_is_checked_before_anything_is_asked(calls, tmp_path, monkeypatch, kind, value, reason):
    vcf, fasta = calls
    with_sample(vcf, "GQ", kind, value)
    monkeypatch.setattr(asking, "ask_rows", lambda *words, **options: pytest.fail("the model was asked"))
    with pytest.raises(ValueError, match=rf"v.vcf, line 5: {reason}.* at chr1:100"):
        ask_vcf(str(TINY_CHECKPOINT), vcf, fasta, QUESTION, tmp_path / "out", **OPTIONS)
    assert not (tmp_path / "out").exists()


def test_the_copy_differs_in_nothing_but_the_answers(calls, tmp_path, monkeypatch):
    said(monkeypatch, "Answer: Glioma")
    vcf, fasta = calls
    info = "CLNDN=Lef\xe8vre;AC=4.5;AF=0.123456789;."
    lines = [line.removesuffix(".") + info if line[0] != "#" else line for line in vcf.read_text().splitlines()]
    vcf.write_bytes("\n".join([*lines, ""]).encode("latin1"))
    ask_vcf(str(TINY_CHECKPOINT), vcf, fasta, QUESTION, tmp_path / "out", **OPTIONS)
    copy = pysam.BGZFile(str(tmp_path / "out" / "answers.vcf.gz")).read().decode("latin1").splitlines()
    assert [line for line in copy if not line.startswith(("##textgenome=", "##INFO=<ID=TG_ANSWER"))] == [
        line if line[0] == "#" else line.removesuffix(";.") + ";TG_ANSWER=Glioma,.,Glioma" for line in lines
    ]


@pytest.mark.parametrize("spelt", ["p.Arg5*", "amyotrophic lateral sclerosis (ALS)", "del(5q)", "<5 %"])
def test_an_answer_is_written_as_it_was_spelt(calls, tmp_path, monkeypatch, spelt):
    said(monkeypatch, f"**Answer: {spelt}**")
    written = ask_vcf(str(TINY_CHECKPOINT), *calls, QUESTION, tmp_path / "out", **OPTIONS)
    assert {answer["answer"] for answer in written} == {spelt}
    with pysam.VariantFile(str(tmp_path / "out" / "answers.vcf.gz")) as file:
        assert {unquote(record.info["TG_ANSWER"][0]) for record in file} == {spelt}


def test_without_labels_there_is_no_score(calls, tmp_path, monkeypatch):
    said(monkeypatch, "It is not clear.")
    ask_vcf(str(TINY_CHECKPOINT), *calls, QUESTION, tmp_path / "out", **OPTIONS)
    assert answers(tmp_path / "out")[0].items() >= {"reasoning": "It is not clear.", "answer": None}.items()
    with pysam.VariantFile(str(tmp_path / "out" / "answers.vcf.gz")) as file:
        assert "TG_SCORE" not in file.header.info
        assert [record.info["TG_ANSWER"] for record in file] == [(".", ".", ".")] * 2


def test_a_folder_that_another_process_writes_to_is_refused(calls, table, tmp_path):
    with locked(tmp_path / "out"):
        for asks in (
            lambda: ask_table(str(TINY_CHECKPOINT), table, tmp_path / "out", **OPTIONS),
            lambda: ask_vcf(str(TINY_CHECKPOINT), *calls, QUESTION, tmp_path / "out", **OPTIONS),
        ):
            with pytest.raises(OSError, match="writes to it"):
                asks()


class Killed(BaseException):
    pass


def test_a_killed_run_loses_and_repeats_nothing(calls, tmp_path, monkeypatch):
    asked = []
    real = Predictions.write

    def write(self, records):
        asked.extend(record["row"] for record in records)
        real(self, records)
        if len(asked) == 2:
            raise Killed

    monkeypatch.setattr(Predictions, "write", write)
    with pytest.raises(Killed):
        ask_vcf(str(TINY_CHECKPOINT), *calls, QUESTION, tmp_path / "out", **OPTIONS)
    assert not (tmp_path / "out" / "answers.jsonl").exists()
    ask_vcf(str(TINY_CHECKPOINT), *calls, QUESTION, tmp_path / "out", **OPTIONS)
    assert sorted(asked) == list(range(4))
    whole = ask_vcf(str(TINY_CHECKPOINT), *calls, QUESTION, tmp_path / "whole", **OPTIONS)
    assert answers(tmp_path / "out") == list(whole)
    with pytest.raises(ValueError, match=r"other settings \(data_fingerprint"):
        ask_vcf(str(TINY_CHECKPOINT), *calls, "Why?", tmp_path / "out", **OPTIONS)


def test_what_is_written_holds_no_window(calls, tmp_path):
    ask_vcf(str(TINY_CHECKPOINT), *calls, QUESTION, tmp_path / "out", **OPTIONS)
    for path in (tmp_path / "out").iterdir():
        content = pysam.BGZFile(str(path)).read() if path.suffix in (".gz", ".tbi") else path.read_bytes()
        assert not any(GENOME[i : i + 13].encode() in content for i in range(len(GENOME) - 12))


@pytest.mark.parametrize(
    "text, reasoning, answer",
    [
        ("<think>\nStep 1\n</think>\n\nAnswer: APOE loss", "Step 1", "APOE loss"),
        ("Step 1\n**Answer:** X.\n", "Step 1", "X."),
        ("<think>\nAnswer: no\n</think>Answer: yes<|im_end|>more", "Answer: no", "yes"),
        ("<think>\nAnswer: no", "Answer: no", None),
        ("Answer: a\nAnswer: b\nthat is it", "Answer: a", "b"),
        ("Answer:", "", None),
        ("", "", None),
    ],
)
def test_reasoning_and_answer(text, reasoning, answer):
    assert split_output(text) == (reasoning, answer)
    assert (answer and normalize_answer(answer)) == extract_answer(text)
