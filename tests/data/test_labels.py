import gzip
import json

import pytest
import torch
from conftest import SHARED, random_dna, variant_row
from datasets import Dataset

from textgenome.data import BadRow
from textgenome.data.labelled_variants import read_labelled_variants
from textgenome.data.labels import check_form, check_labelled, encode_labels, find_classes, find_problem_type
from textgenome.data.rows import load_rows
from textgenome.processing import build_dna_tokenizer


SINGLE, SEVERAL, REGRESSION = "single_label_classification", "multi_label_classification", "regression"


@pytest.mark.parametrize(
    "labels, problem_type, names",
    [
        (["b", " a", "b"], SINGLE, ["a", "b"]),
        (["10", "9", "0"], SINGLE, ["0", "9", "10"]),
        ([1, 0, 1], SINGLE, ["0", "1"]),
        ([1.0, 0.0], SINGLE, ["0", "1"]),
        (["1", "x"], SINGLE, ["1", "x"]),
        (["a; b", "c"], SINGLE, ["a; b", "c"]),
        ([True, False], SINGLE, ["False", "True"]),
        ([0.5, 1, 2], REGRESSION, ["value"]),
        (["-1e-3", "2"], REGRESSION, ["value"]),
        (["0.5", "high"], SINGLE, ["0.5", "high"]),
        ([["a", "b"], [], ["c"]], SEVERAL, ["a", "b", "c"]),
        ([[0, 1, 1], [0, 0, 0]], SEVERAL, ["0", "1", "2"]),
        ([[3], [12, 3]], SEVERAL, ["3", "12"]),
    ],
)
def test_what_labels_are_and_what_they_are_called(labels, problem_type, names):
    assert find_problem_type(labels) == problem_type
    assert find_classes(labels, problem_type) == names


def test_labels_become_what_the_model_takes():
    ids = {"a": 0, "b": 1, "c": 2}
    assert encode_labels([" b", "c", "new"], ids, SINGLE).tolist() == [1, 2, -100]
    assert encode_labels([1.0, 0], {"0": 0, "1": 1}, None).tolist() == [1, 0]
    several = encode_labels([["a", "c"], "b; new", "", [1, 0, 0]], ids, SEVERAL)
    assert several.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 0, 0]] and several.dtype == torch.float32
    assert encode_labels(["0.5", 2], {"value": 0}, REGRESSION).tolist() == [0.5, 2]


@pytest.mark.parametrize(
    "row, problem_type, column, message",
    [
        ({"sequence": "ACGT"}, None, "answer", "needs `answer` or `label`"),
        ({"sequence": "ACGT", "label": " "}, None, "label", "the text is empty"),
        ({"sequence": "ACGT", "label": "a\nb"}, None, "label", "line break"),
        ({"sequence": "ACGT", "label": float("nan")}, None, "label", "the label is nan"),
        ({"sequence": "ACGT", "label": "high"}, REGRESSION, "label", "'high', but of a regression .* a finite number"),
        ({"sequence": "ACGT", "answer": "inf"}, REGRESSION, "answer", "finite number"),
        ({"sequence": "ACGT", "label": ["a"]}, SINGLE, "label", "a list of labels, but the model tells one class"),
        ({"sequence": "ACGT", "label": {"a": 1}}, None, "label", "expected text or a number, got dict"),
        ({"sequence": "ACXT", "label": 1}, None, "sequence", "'X' at position 3"),
        ({"sequence": "A" * 20, "label": 1}, None, "sequence", "20 tokens, but the encoder reads at most 16"),
        ({"reference_sequence": "ACGT", "label": 1}, None, "variant_sequence", "missing or has no value"),
        ({"reference_sequence": "ACGT", "variant_sequence": "ACGT", "label": 1}, None, "variant_sequence", "equal"),
    ],
)
def test_rows_that_a_head_cannot_learn_from(row, problem_type, column, message):
    with pytest.raises(BadRow, match=message) as error:
        check_labelled(row, problem_type, dna_tokenizer=build_dna_tokenizer("hyenadna", model_max_length=16))
    assert error.value.column == column


def test_good_rows_are_good():
    for label in ("a", 1, 0.5, True, ["a"], []):
        check_labelled({"sequence": "acgu", "label": label})
    check_labelled({"sequence": "ACGT", "label": ""}, SEVERAL)
    check_labelled(variant_row())
    check_labelled({"sequence": "A" * 20, "label": 1}, None, 16, build_dna_tokenizer(model_max_length=16), grows=True)


def test_a_table_of_pairs_and_single_sequences_is_refused():
    single, pair = {"sequence": "ACGT", "label": 1}, variant_row()
    assert check_form([[pair, pair]]) and not check_form([[single], [single]])
    with pytest.raises(ValueError, match="1 rows are pairs of a reference and a variant, 2 have one `sequence`"):
        check_form([[single, pair], [single]])


def as_csv(rows, delimiter):
    return "".join(delimiter.join(map(str, row)) + "\n" for row in [("sequence", "label"), *rows])


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "tsv", "jsonl", "parquet", "fa", "fasta.gz"])
def test_every_format_gives_the_same_rows(tmp_path, ending):
    rows = [(random_dna(30, i), i % 2) for i in range(4)]
    path = tmp_path / f"rows.{ending}"
    if ending == "parquet":
        Dataset.from_list([{"sequence": dna, "label": label} for dna, label in rows]).to_parquet(path)
    else:
        kind = ending.partition(".")[0]
        text = {
            "csv": as_csv(rows, ","),
            "tsv": as_csv(rows, "\t"),
            "jsonl": "".join(json.dumps({"sequence": dna, "label": label}) + "\n" for dna, label in rows),
        }.get(kind) or "".join(f">row{i}|{label} of a test\n{dna}\n" for i, (dna, label) in enumerate(rows))
        data = text.encode()
        path.write_bytes(gzip.compress(data) if ending.endswith("gz") else data)
    loaded = load_rows(str(path), "train", check=check_labelled)
    assert [(row["sequence"], int(row["label"])) for row in loaded] == rows


def test_a_record_of_fasta_without_a_label_is_named(tmp_path):
    (tmp_path / "rows.fa").write_text(">a|1\nACGT\n>b\nACGT\n")
    with pytest.raises(ValueError, match=r"rows.fa, row 1, column 'answer': .* needs `answer` or `label`"):
        load_rows(str(tmp_path / "rows.fa"), "train", check=check_labelled)


def test_splits_are_known_by_all_their_names(tmp_path):
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.csv").write_text(f"sequence,label\nACGT,{split}\n")
    for word, split in {"dev": "dev", "val": "dev", "validation": "dev", "valid": "dev", "testing": "test"}.items():
        assert load_rows(str(tmp_path), word, check=check_labelled)["label"][:] == [split]


def test_public_tasks_load_as_they_are():
    folder = SHARED / "data" / "gue" / "prom_core_tata"
    if not folder.exists():
        pytest.skip("the public GUE tasks are not beside this checkout (../shared/data/gue)")
    splits = [load_rows(str(folder), split, check=check_labelled) for split in ("train", "dev", "test")]
    assert list(map(len, splits)) == [4904, 613, 613]
    assert find_classes(splits[0]["label"], find_problem_type(splits[0]["label"])) == ["0", "1"]


GENOME = {"chr1": random_dna(200, 1), "chr2": random_dna(200, 2)}
HEADER = """##fileformat=VCFv4.2
##INFO=<ID=CLNSIG,Number=.,Type=String,Description="significance">
##contig=<ID=1>
##contig=<ID=2>
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO
"""


@pytest.fixture
def genome(tmp_path):
    (tmp_path / "genome.fa").write_text("".join(f">{name}\n{dna}\n" for name, dna in GENOME.items()))
    lines = []
    for contig in ("1", "2"):
        for place in (20, 90, 150):
            base = GENOME[f"chr{contig}"][place]
            label = "benign" if place > 100 else "pathogenic"
            lines.append(f"{contig}\t{place + 1}\t.\t{base}\t{'A' if base != 'A' else 'C'}\t.\t.\tCLNSIG={label}\n")
    (tmp_path / "calls.vcf").write_text(HEADER + "".join(lines))
    (tmp_path / "some.bed").write_text("chr1\t0\t100\n")
    return {"vcf": tmp_path / "calls.vcf", "fasta": tmp_path / "genome.fa", "labels": "CLNSIG", "window": 32}


def test_variants_are_held_out_by_contig_or_region(genome, tmp_path):
    rows, test_rows = read_labelled_variants(**genome, test_contigs=["chr2"])
    assert [row["variant"].split(":")[:2] for row in rows] == [["1", "21"], ["1", "91"], ["1", "151"]]
    assert set(rows["answer"]) == set(test_rows["answer"]) == {"benign", "pathogenic"}
    rows, test_rows = read_labelled_variants(**genome, test_regions=tmp_path / "some.bed")
    assert [len(rows), len(test_rows)] == [4, 2] and test_rows["answer"][:] == ["pathogenic"] * 2
    rows, test_rows = read_labelled_variants(**genome, regions=tmp_path / "some.bed")
    assert len(rows) == 2 and test_rows is None


@pytest.mark.parametrize(
    "options, message",
    [
        ({"fasta": None}, "need --fasta"),
        ({"labels": None}, "need --labels"),
        ({"labels": "AF"}, "no column or key of INFO is named 'AF'"),
        ({"test_contigs": ["chr1", "chr2"]}, "no variant is left to train on"),
        ({"test_contigs": ["chr3"]}, "no variant is left to evaluate on"),
    ],
)
def test_variants_that_cannot_be_learnt_say_why(genome, options, message):
    with pytest.raises(ValueError, match=message):
        read_labelled_variants(**{**genome, **options})
