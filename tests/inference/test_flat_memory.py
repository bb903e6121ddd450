"""What is held in memory does not grow with the number of alleles: their windows stay on disk."""

import tracemalloc
from itertools import product

import pytest
from conftest import TINY_CHECKPOINT, random_dna

from textgenome.data.files import write_rows
from textgenome.data.prompts import as_prompt
from textgenome.data.variants import read_variants
from textgenome.evaluation import evaluate_model, evaluating
from textgenome.inference import ask_vcf, asking


WINDOW = 2048
FEW, MANY = 20, 100
LEAST = 2 * WINDOW  # bytes of the windows of an allele


def say_no(model, processor, rows, condition, predictions, **options):
    """In place of a model: reads all prompts, one after the other."""
    for number, row in enumerate(rows):
        assert as_prompt(row)
        predictions.write([{"condition": condition, "row": number, "output": "Answer: no", "tokens": 3}])


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    """A genome, and by number of alleles a VCF file and a table of them."""
    folder, bases = tmp_path_factory.mktemp("cohorts"), random_dna(3000)
    (folder / "genome.fa").write_text(f">1\n{bases}\n")
    places = [(i, other) for i, other in product(range(1000, 1200), "ACGT") if other != bases[i]]
    found = {}
    for number in (FEW, MANY):
        vcf = folder / f"{number}.vcf"
        lines = [f"1\t{i + 1}\tid{i % 2}\t{bases[i]}\t{other}\t.\t.\t.\n" for i, other in places[:number]]
        header = "##fileformat=VCFv4.2\n##contig=<ID=1>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        vcf.write_text(header + "".join(lines))
        rows = read_variants(vcf, folder / "genome.fa", window=WINDOW, labels="ID", dna_window=WINDOW)
        write_rows(rows, folder / f"{number}.jsonl")
        found[number] = vcf, folder / f"{number}.jsonl"
    return folder / "genome.fa", found


def ask(fasta, vcf, table, out):
    ask_vcf(str(TINY_CHECKPOINT), vcf, fasta, "Harmful?", out, window=WINDOW)


def evaluate(fasta, vcf, table, out):
    evaluate_model(str(TINY_CHECKPOINT), str(table), "train", out, ["dna_exchanged"])


def cut(fasta, vcf, table, out):
    out.mkdir()
    write_rows(read_variants(vcf, fasta, window=WINDOW, labels="ID", dna_window=WINDOW), out / "rows.jsonl")


@pytest.mark.parametrize("run", [ask, evaluate, cut])
def test_no_windows_are_held(cohorts, tmp_path, monkeypatch, run):
    for module in (asking, evaluating):
        monkeypatch.setattr(module, "generate_predictions", say_no)
    fasta, found = cohorts
    peaks = {}
    run(fasta, *found[FEW], tmp_path / "first")  # imports and caches
    for number in found:
        tracemalloc.start()
        try:
            run(fasta, *found[number], tmp_path / str(number))
            peaks[number] = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert (peaks[MANY] - peaks[FEW]) / (MANY - FEW) < LEAST / 4
