"""Models of expression that are exported or pushed: their genes and means go with them, and predictions stay."""

import json

import pandas
import pytest
import torch
from conftest import random_dna
from local_hub import USER, LocalHub
from processes import running_commands
from strangers import stranger

from textgenome import TextGenomeDNAConfig, TextGenomeDNAForSequenceClassification, TextGenomeDNAProcessor
from textgenome.data.expression import Gene
from textgenome.data.expression_rows import ModelGenes, load_genes, save_genes
from textgenome.data.haplotypes import HaplotypeReader, window_around
from textgenome.genome.genotypes import read_genotypes
from textgenome.hub_card import export_checkpoint
from textgenome.inference.predicting import predict
from textgenome.processing import build_dna_tokenizer


HYENA = {"model_type": "hyenadna", "d_model": 16, "d_inner": 16, "max_seq_len": 256, "initializer_range": 0.2}
HEAD = {"pooling": "tower", "combine": "mean", "problem_type": "regression", "id2label": {0: "expression"}}
WINDOW, BIN = 640, 4
GENES = [Gene("A", "chr1", 400, "+"), Gene("B", "chr1", 460, "-")]
# What somebody without this package does: states of the pieces, their means over bins, less those of the gene.
PREDICT = """
import json
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoProcessor

folder, windows = sys.argv[1], json.loads(sys.argv[2])
model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True).eval()
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
means = load_file(f"{folder}/expression_genes.safetensors")
found = []
with torch.no_grad():
    for gene, *haplotypes in windows:
        pieces = [[each[i : i + 256] for each in haplotypes] for i in range(0, 640, 256)]
        pieces = [processor(each, return_tensors="pt") for each in pieces]
        states = torch.cat([model.model(**piece).last_hidden_state[:, 0] for piece in pieces], 1)
        states = states.unflatten(1, (-1, model.config.state_bin)).mean(2) - means[gene]
        found.append(model(dna_features=states, dna_windows=torch.tensor([[0, 1]])).logits.item())
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A genome, and genotypes of three people on it."""
    folder = tmp_path_factory.mktemp("people")
    genome = random_dna(900, 1)
    (folder / "genome.fa").write_text(f">chr1\n{genome}\n")
    lines = ["##fileformat=VCFv4.2", "##contig=<ID=chr1>"]
    lines.append("\t".join("#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT P1 P2 P3".split()))
    for number, place in enumerate(range(200, 700, 50)):
        alternative = "A" if genome[place] != "A" else "C"
        genotypes = [f"{number % 2}|0", "0|1", f"1|{number % 3 % 2}"]
        lines.append("\t".join(["chr1", str(place + 1), ".", genome[place], alternative, *"...", "GT", *genotypes]))
    (folder / "people.vcf").write_text("\n".join(lines) + "\n")
    return {"fasta": folder / "genome.fa", "vcf": folder / "people.vcf"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    config = TextGenomeDNAConfig(dna_config=HYENA, state_bin=BIN, **HEAD)
    TextGenomeDNAForSequenceClassification(config).eval().save_pretrained(folder)
    TextGenomeDNAProcessor(build_dna_tokenizer("hyenadna", model_max_length=256), WINDOW).save_pretrained(folder)
    means = {number: torch.randn(WINDOW // BIN, 16) for number in range(len(GENES))}
    save_genes(folder, ModelGenes(GENES, WINDOW, False, False, means))
    return folder


def table_of(model, people, output):
    assert predict(str(model), output, **people) == 6
    return pandas.read_csv(output, sep="\t")


def test_genes_and_means_are_exported_and_predictions_stay(model, people, tmp_path):
    folder = export_checkpoint(model, tmp_path / "exported")
    assert load_genes(folder).means.keys() == {0, 1}
    before, after = (table_of(each, people, tmp_path / f"{each.name}.tsv") for each in (model, folder))
    assert before.prediction.nunique() > 4
    pandas.testing.assert_frame_equal(before, after)
    (folder / "expression_genes.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"expression_genes\.safetensors is missing, with the genes"):
        predict(str(folder), tmp_path / "none.tsv", **people)


def test_the_card_says_what_it_predicts_and_how(model, tmp_path):
    card = (export_checkpoint(model, tmp_path / "mine") / "README.md").read_text()
    assert "A predictor of what people express of genes, from their two haplotypes" in card
    assert "textgenome predict --model mine --vcf people.vcf.gz" in card
    code = card.partition("```python\n")[2].partition("```")[0].replace('"mine"', repr(str(tmp_path / "mine")))
    exec(code, {"torch": torch})


@pytest.mark.slow
def test_strangers_predict_what_the_trained_model_does(model, people, tmp_path):
    folder = export_checkpoint(model, tmp_path / "exported")
    reader, windows = HaplotypeReader(people["fasta"], read_genotypes(people["vcf"])), []
    for gene in GENES:
        window = reader(window_around("chr1", gene.start, WINDOW, gene.strand), gene.strand)
        windows += [[gene.name, *(window.haplotypes[which].sequence for which in row)] for row in window.index]
    result = stranger(PREDICT, folder, json.dumps(windows), folder=tmp_path)
    assert result.returncode == 0, result.stderr
    expected = table_of(model, people, tmp_path / "expected.tsv").prediction
    assert json.loads(result.stdout) == pytest.approx(list(expected), abs=1e-5)


@pytest.mark.slow
def test_what_was_pushed_predicts_from_the_hub(model, people, tmp_path):
    with LocalHub() as hub, running_commands(hub, tmp_path / "home") as run:
        pushed = run("push", model, f"{USER}/expression")
        assert pushed.exit_code == 0, pushed.output
        output, name = tmp_path / "hub.tsv", f"{USER}/expression"
        sources = [part for key, value in people.items() for part in (f"--{key}", value)]
        result = run("predict", name, *sources, "--output", output, HF_HUB_OFFLINE="0")
    assert result.exit_code == 0, result.output
    expected = table_of(model, people, tmp_path / "expected.tsv")
    pandas.testing.assert_frame_equal(pandas.read_csv(output, sep="\t"), expected)
    assert not (tmp_path / "hub.tsv.parts").exists(), "states of a model on the Hub are kept where they are asked for"
