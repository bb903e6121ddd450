import re
from pathlib import Path

import pytest
from conftest import ROOT
from typer.testing import CliRunner

from textgenome.commands import app
from textgenome.configuration.recipe_paths import find_recipe
from textgenome.training.planning import ENGINES


STARTER = find_recipe("starter", "sft").read_text(encoding="utf-8")


def plan(*options: str) -> str:
    result = CliRunner().invoke(app, ["plan", *map(str, options)])
    assert result.exit_code == 0, result.output
    return result.output


def trained_parameters(text: str, dna: str) -> str:
    """What the table of sizes in the docs says."""
    sizes = Path(ROOT / "docs" / "encoders.md").read_text(encoding="utf-8")
    return re.search(rf"\| {text} \| {dna} \| [\d,]+ \| ([\d,]+) \|", sizes)[1]


@pytest.mark.parametrize("text, dna", [("Qwen3-4B", "Genos-1.2B"), ("Qwen3-8B", "Genos-10B")])
def test_recipes_for_pretrained_weights_need_no_network(text, dna):
    output = plan("--config", "kegg", "--text_model", f"Qwen/{text}", "--dna_model", f"BGI-HangzhouAI/{dna}")
    assert f"trained: {trained_parameters(text, dna)} (" in output
    assert "Steps: unknown" in output and "--dataset_name" in output
    assert re.findall(r"^(\S+) .* yes$", output, re.MULTILINE) == list(ENGINES)
    seconds = [
        float(each) for each in re.findall(r"^(?:H200|H100|A100|L40S) +([\d.]+) s, \d+% of its peak$", output, re.M)
    ]
    assert len(seconds) == 4 and 0 < seconds[0] < seconds[1] < seconds[2]


def test_an_engine_that_cannot_keep_the_filters_of_hyenadna_does_not_fit():
    models = ["--text_model", "Qwen/Qwen3-1.7B", "--dna_model", "LongSafari/hyenadna-large-1m-seqlen-hf"]
    output = plan("--config", "kegg", *models, "--gpus", "8")
    assert re.findall(r"^(\S+) .* no$", output, re.MULTILINE) == ["ZeRO-3", "FSDP2"]
    assert "ZeRO-3, FSDP2: no. " in output and "DDP is the simplest engine" in output


@pytest.mark.parametrize(
    "recipe, options, message",
    [
        ("text_config: [1\n", [], "recipe.yaml does not fit train_sft.py"),
        (find_recipe("starter", "dna").read_text(), [], "recipe.yaml does not fit train_sft.py: Give one"),
        (STARTER, ["--no_such_flag", "1"], "--no_such_flag"),
        (STARTER + "no_such_setting: 1\n", [], "no_such_setting"),
        ("dataset_name: starter\n", ["--dataset_name", "missing.csv"], "missing.csv is not a file or folder"),
    ],
    ids=["no YAML", "of another script", "unknown flag", "unknown setting", "no such rows"],
)
def test_what_is_wrong_is_said_without_a_traceback(tmp_path, recipe, options, message):
    (tmp_path / "recipe.yaml").write_text(recipe)
    result = CliRunner().invoke(app, ["plan", "--config", str(tmp_path / "recipe.yaml"), *options])
    assert result.exit_code and message in result.output and "Traceback" not in result.output


def test_the_recipe_of_genos_for_tracks_has_the_published_number_of_parameters(starter_genome, tmp_path):
    output = plan("--config", "genos_tracks", "--dna_model", "BGI-HangzhouAI/Genos-1.2B")
    assert "Parameters: 1,246,799,874, trained: 1,246,799,874 (100.0%)" in output
    assert "Rows: not at hand, taken to have 32,000 tokens" in output
    (weights, gradients, optimizer, activations, total) = map(
        float, re.search(r"^DDP +(.*) yes$", output, re.M)[1].split()
    )
    # Rows and columns of Adafactor, and the inputs of twelve layers beside one layer.
    assert weights == gradients == pytest.approx(4.987, abs=1e-3) and optimizer < 0.05 < activations < 40
    assert total == pytest.approx(weights + gradients + optimizer + activations, abs=0.01)

    (tmp_path / "out").mkdir()
    files = {"fasta": "genome.fa", "tracks": "tracks.tsv", "regions": "train.bed", "test_regions": "valid.bed"}
    flags = [part for name, file in files.items() for part in (f"--{name}", starter_genome / file)]
    output = plan("--config", "starter_tracks", *flags)
    windows = len((starter_genome / "train.bed").read_text().splitlines())
    assert f"Rows: {windows:,} of about 16,384 tokens" in output and "Steps: 720" in output


def test_rows_at_hand_tell_the_steps_and_small_gpus_what_fits():
    output = plan("--config", "starter", "--gpus", "2", "--gpu_memory", "0.1")
    rows, tokens = re.search(r"Rows: ([\d,]+) of about ([\d,]+) tokens", output).groups()
    assert int(rows.replace(",", "")) > 1000 and 60 < int(tokens) < 120
    assert "A step: 128 rows" in output and "Steps: 420" in output
    assert re.findall(r"^(\S+) .* no$", output, re.MULTILINE) == list(ENGINES)
    assert "No engine fits into 90% of 0.1 GB" in output
