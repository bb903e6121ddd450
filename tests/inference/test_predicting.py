import json
import math
import subprocess

import pandas
import pysam
import pytest
from conftest import random_dna
from typer.testing import CliRunner

from textgenome import TextGenomeDNAConfig, TextGenomeDNAForSequenceClassification, TextGenomeDNAProcessor
from textgenome.commands import app
from textgenome.inference import classify, predictions
from textgenome.inference.checkpoints import load_checkpoint
from textgenome.inference.predicting import predict
from textgenome.processing import build_dna_tokenizer


HYENA = {"model_type": "hyenadna", "d_model": 16, "d_inner": 16, "max_seq_len": 64, "initializer_range": 0.2}
GENOME = {"chr1": random_dna(300, 1), "chr2": random_dna(60, 2)}


def save_model(folder, **head):
    config = {"dna_config": HYENA, "num_sequences": 1, "pooling": "max", "id2label": {0: "low", 1: "high"}, **head}
    TextGenomeDNAForSequenceClassification(TextGenomeDNAConfig(**config)).save_pretrained(folder)
    tokenizer = build_dna_tokenizer("hyenadna", model_max_length=64)
    TextGenomeDNAProcessor(tokenizer, dna_window=32).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def single(tmp_path):
    return save_model(tmp_path / "single")


@pytest.fixture
def pairs(tmp_path):
    return save_model(tmp_path / "pairs", num_sequences=2)


@pytest.fixture
def table(tmp_path):
    rows = [{"name": f"row {i}", "sequence": random_dna(20 + i, i)} for i in range(7)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(tmp_path / "rows.jsonl")


@pytest.fixture
def genome(tmp_path):
    (tmp_path / "genome.fa").write_text("".join(f">{name}\n{dna}\n" for name, dna in GENOME.items()))
    base = GENOME["chr1"][149]
    others = [letter for letter in "ACGT" if letter != base]
    (tmp_path / "calls.vcf").write_text(
        "##fileformat=VCFv4.2\n##contig=<ID=1,length=300>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        f"1\t150\trs1\t{base}\t{others[0]},{others[1]}\t.\t.\t.\n1\t151\t.\t{GENOME['chr1'][150]}\t<DEL>\t.\t.\t.\n"
    )
    (tmp_path / "some.bed").write_text("chr1\t10\t50\tfirst\t0\t-\nchr2\t0\t60\n")
    return tmp_path


def read(path):
    if path.suffix == ".jsonl":
        return pandas.read_json(path, lines=True, dtype={"name": str})
    readers = {".parquet": pandas.read_parquet, ".csv": pandas.read_csv}
    return readers[path.suffix](path)


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_a_table_gets_the_probabilities_that_the_model_gives(single, table, tmp_path, ending):
    output = tmp_path / f"p.{ending}"
    assert predict(single, output, dataset_name=table, batch_size=2) == 7
    found, rows = read(output), [json.loads(line) for line in open(table)]
    expected = classify(*load_checkpoint(single), rows)
    assert list(found.columns) == ["name", "answer", "probability_low", "probability_high"]
    assert list(found.name) == [row["name"] for row in rows]
    assert list(found.answer) == [max(each, key=each.get) for each in expected]
    assert list(found.probability_high) == pytest.approx([math.exp(each["high"]) for each in expected], abs=1e-6)
    assert not (tmp_path / f"p.{ending}.parts").exists()


def test_records_and_regions_of_a_genome_are_predicted(single, genome, tmp_path):
    with pytest.raises(
        ValueError, match=r"chr1: its 300 bases are at least 300 tokens, .* at most 64: name stretches"
    ):
        predict(single, tmp_path / "p.csv", fasta=genome / "genome.fa")
    assert predict(single, tmp_path / "p.csv", fasta=genome / "genome.fa", on_bad_row="skip") == 1
    assert predict(single, tmp_path / "q.csv", fasta=genome / "genome.fa", bed=genome / "some.bed") == 2
    records, regions = read(tmp_path / "p.csv"), read(tmp_path / "q.csv")
    assert list(records.name) == ["chr2"] and list(regions.name) == ["first", "chr2:1-60"]
    assert records.probability_low[0] == pytest.approx(regions.probability_low[1])
    turned = GENOME["chr1"][10:50].translate(str.maketrans("ACGT", "TGCA"))[::-1]
    (alone,) = classify(*load_checkpoint(single), [{"sequence": turned}])
    assert regions.probability_low[0] == pytest.approx(math.exp(alone["low"]), abs=1e-6)


def test_a_vcf_file_is_copied_with_what_the_model_says(pairs, genome, tmp_path):
    output = tmp_path / "p.vcf.gz"
    assert predict(pairs, output, vcf=genome / "calls.vcf", fasta=genome / "genome.fa") == 2
    predict(pairs, tmp_path / "p.csv", vcf=genome / "calls.vcf", fasta=genome / "genome.fa")
    table = read(tmp_path / "p.csv")
    with pysam.VariantFile(str(output)) as file:
        first, second = file
        assert first.info["TG_ANSWER"] == tuple(table.answer)
        scores = [row[f"probability_{row.answer}"] for _, row in table.iterrows()]
        assert first.info["TG_SCORE"] == pytest.approx(scores, rel=1e-4)
        assert second.info.get("TG_ANSWER") == (".",)
        assert "Research use only, not for diagnosis" in str(file.header)
    assert subprocess.run(["bcftools", "view", output], capture_output=True).returncode == 0


def test_values_and_several_labels(genome, tmp_path):
    regression = {"num_sequences": 2, "id2label": {0: "value"}, "problem_type": "regression", "label_mean": 50.0}
    source = {"vcf": genome / "calls.vcf", "fasta": genome / "genome.fa"}
    model = save_model(tmp_path / "values", **regression)
    predict(model, tmp_path / "values.csv", **source)
    predict(model, tmp_path / "values.vcf.gz", **source)
    values = list(read(tmp_path / "values.csv").value)
    assert all(abs(value - 50) < 20 for value in values)
    with pysam.VariantFile(str(tmp_path / "values.vcf.gz")) as file:
        assert next(file).info["TG_VALUE"] == pytest.approx(values, rel=1e-4)

    model = save_model(tmp_path / "several", num_sequences=2, problem_type="multi_label_classification")
    predict(model, tmp_path / "several.csv", **source)
    for _, row in pandas.read_csv(tmp_path / "several.csv", keep_default_na=False).iterrows():
        assert row.answer == ";".join(name for name in ("low", "high") if row[f"probability_{name}"] > 0.5)


def test_a_run_that_is_stopped_goes_on_where_it_was(single, table, tmp_path, monkeypatch):
    whole, output, given = tmp_path / "whole.csv", tmp_path / "p.csv", []
    predict(single, whole, dataset_name=table, batch_size=2)
    batches = predictions.classify_batches

    def stop(model, processor, rows, batch_size, **options):
        for number, batch in enumerate(batches(model, processor, rows, batch_size, **options)):
            if number == 2:
                raise KeyboardInterrupt
            yield batch

    def count(model, processor, rows, batch_size, **options):
        given.extend(rows)
        return batches(model, processor, rows, batch_size, **options)

    monkeypatch.setattr(predictions, "classify_batches", stop)
    with pytest.raises(KeyboardInterrupt):
        predict(single, output, dataset_name=table, batch_size=2)
    assert not output.exists()
    monkeypatch.setattr(predictions, "classify_batches", count)
    predict(single, output, dataset_name=table, batch_size=2)
    assert len(given) == 3 and output.read_text() == whole.read_text()


def test_the_rest_of_another_run_is_not_gone_on_with(single, table, tmp_path, monkeypatch):
    def stop(*args, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(predictions, "classify_batches", stop)
        predict(single, tmp_path / "p.csv", dataset_name=table)
    (tmp_path / "rows.jsonl").write_text('{"sequence": "ACGT"}\n')
    with pytest.raises(ValueError, match=r"run with other settings \(data_fingerprint\)"):
        predict(single, tmp_path / "p.csv", dataset_name=table)


@pytest.mark.parametrize(
    "request_of, message",
    [
        ({"output": "p.txt"}, r"name a file that ends with"),
        ({"output": "p.vcf.gz"}, r"of the variants of another one, named by --vcf"),
        ({"output": "rows.jsonl"}, "is there already"),
        ({"dataset_name": None}, "Give --dataset_name TABLE; or --fasta"),
        ({"split": "test"}, "no split 'test'"),
        ({"model": "pairs"}, "pairs reads pairs of a reference and a variant, which row 0 is not"),
    ],
)
def test_what_cannot_be_predicted_says_why(single, pairs, table, tmp_path, request_of, message):
    request = {"model": "single", "output": "p.csv", "dataset_name": table, **request_of}
    with pytest.raises(ValueError, match=message):
        predict(tmp_path / request.pop("model"), tmp_path / request.pop("output"), **request)


def test_bad_rows_are_named_or_left_out(single, tmp_path):
    (tmp_path / "rows.csv").write_text(f"name,sequence\ngood,ACGT\nlong,{'A' * 65}\nbad,ACXT\n")
    with pytest.raises(ValueError, match=r"rows.csv, row 2, column 'sequence': .*'X' at position 3"):
        predict(single, tmp_path / "p.csv", dataset_name=str(tmp_path / "rows.csv"))
    assert predict(single, tmp_path / "p.csv", dataset_name=str(tmp_path / "rows.csv"), on_bad_row="skip") == 1
    assert list(read(tmp_path / "p.csv").name) == ["good"]


def test_the_command_says_what_was_written(single, table, tmp_path):
    arguments = ["predict", single, "--dataset_name", table, "--output", str(tmp_path / "p.csv")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0 and f"7 rows in {tmp_path / 'p.csv'}" in result.output
    assert "Research use only, not for diagnosis." in result.output


def test_a_model_that_writes_text_is_asked(tmp_path):
    from conftest import TINY_CHECKPOINT

    with pytest.raises(ValueError, match="Ask it by `textgenome ask`"):
        predict(TINY_CHECKPOINT, tmp_path / "p.csv", fasta="x.fa")
