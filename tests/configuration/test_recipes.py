"""The recipes of the package, and the command lines of the published pairs beside them."""

import re
import shlex

import pytest
import torch
import yaml

from textgenome import (
    TextGenomeConfig,
    TextGenomeDNAConfig,
    TextGenomeDNAForSequenceClassification,
    TextGenomeForConditionalGeneration,
)
from textgenome.configuration.base_models import base_model_config
from textgenome.configuration.recipe_paths import RECIPES, find_recipe
from textgenome.training import dna, grpo, sft
from textgenome.training.expression import check_flags
from textgenome.training.scripts import parse_arguments


KINDS = {
    "sft": (sft.DataArguments, sft.TrainingArguments, sft.ModelArguments),
    "dna": (dna.DNAArguments, dna.DNATrainingArguments, dna.DNAModelArguments),
    "grpo": (grpo.GRPOArguments, grpo.GRPOTrainingArguments, grpo.GRPOModelArguments),
}
FILES = sorted(RECIPES.glob("*/*.yaml"))
COMMANDS = [
    line
    for script in ("sft", "dna")
    for line in re.findall(r"^textgenome .*", (RECIPES / script / "README.md").read_text(), re.MULTILINE)
]
CONVERTED = {"evo2_1b_base": "arcinstitute/evo2_1b_base"}
UNRELEASED = "PATH/TO/021-8B"


def parse(script: str, *flags: str):
    return parse_arguments(KINDS[script], script, "", [*flags, "--bf16", "false", "--use_cpu"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: "-".join(path.parts[-2:]))
def test_recipes_name_only_known_settings(path):
    script, settings = path.parent.name, yaml.safe_load(path.read_text())
    models = {"sft": ["--text_model", "a/B", "--dna_model", "c/D"], "dna": ["--dna_model", "c/D"]}
    named = [] if {"dna_config", "dna_model", "model_name_or_path"} & settings.keys() else models[script]
    table = None if {"dataset_name", "datasets", "task"} & settings.keys() else "wanglab/kegg"
    rows, training, _ = parse(script, "--config", path.stem, *named, *(["--dataset_name", table] if table else []))
    assert rows.dataset_name == settings.get("dataset_name", table)
    assert training.learning_rate == settings["learning_rate"]
    of_rows, of_models = settings.get("task", "kegg"), {"sft": "_b_d", "dna": "_d"}[script] if named else ""
    assert training.output_dir == settings.get("output_dir", f"outputs/{of_rows}{of_models}")


def test_every_published_pair_has_a_command_line():
    pairs = {tuple(re.findall(r"--(?:text|dna)_model (\S+)", line)) for line in COMMANDS}
    encoders = {pair[-1] for pair in pairs}
    languages = {f"Qwen/Qwen3-{size}" for size in ("1.7B", "4B", "8B")}
    fused = {(language, encoder) for language in languages for encoder in encoders}
    # 021-8B was published with four encoders.
    assert pairs - {pair for pair in pairs if UNRELEASED in pair} == fused | {(encoder,) for encoder in encoders}
    assert len(encoders) == 5 and len(pairs) == len(COMMANDS) == 19 + 5


@pytest.mark.parametrize("line", COMMANDS)
def test_the_command_lines_build_their_models_without_a_network(line):
    _, script, *flags = shlex.split(line, comments=True)
    _, training, models = parse(script, *flags)
    names = [name.rpartition("/")[2].lower() for name in models.base_models]
    assert training.output_dir == "/".join(["outputs", "_".join(["kegg", *names])])
    encoder = base_model_config(CONVERTED.get(models.dna_model, models.dna_model))
    with torch.device("meta"):
        if script == "dna":
            model = TextGenomeDNAForSequenceClassification(TextGenomeDNAConfig(dna_config=encoder, num_labels=37))
            assert model.classifier[-1].weight.shape == (37, encoder.hidden_size)
        elif models.text_model != UNRELEASED:
            config = TextGenomeConfig(text_config=base_model_config(models.text_model), dna_config=encoder)
            model = TextGenomeForConditionalGeneration(config)
            assert model.model.projector.linear.weight.shape == (config.text_config.hidden_size, encoder.hidden_size)


def test_settings_of_the_authors_of_the_tower_are_known_flags():
    text = (RECIPES / "dna" / "README.md").read_text().partition("## Expression from haplotypes")[2]
    shared = shlex.split(" ".join(re.search(r"`(--config starter_expression.*?)`", text, re.DOTALL)[1].split()))
    rows = {name: shlex.split(flags) for name, flags in re.findall(r"^\| (\S+) \| `(--dna_model .*)` \|$", text, re.M)}
    assert list(rows) == ["NT-v2-500m", "Caduceus-Ph", "Evo2-7B", "Enformer", "Borzoi"]
    for name, flags in rows.items():
        for regime in ("reference", "individuals"):
            task, training, models = parse("dna", *shared, *flags, "--regime", regime)
            is_whole = name in ("Enformer", "Borzoi")
            assert (task.expression_head, models.freeze_dna_encoder) == (
                ("center", False) if is_whole else ("tower", True)
            )
            assert task.window == (11_000 if name == "NT-v2-500m" else 64_000)
            assert (training.learning_rate, training.num_train_epochs) == (1e-6 if is_whole else 1e-4, 40)
            check_flags(task, training)


def test_a_recipe_is_found_by_file_or_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_recipe("starter", "sft") == RECIPES / "sft" / "starter.yaml"
    assert find_recipe("starter", "dna") == RECIPES / "dna" / "starter.yaml"
    (tmp_path / "starter").mkdir()  # is no file
    assert find_recipe("starter", "sft") == RECIPES / "sft" / "starter.yaml"
    (tmp_path / "mine.yaml").write_text("")
    assert find_recipe("mine.yaml", "sft").samefile(tmp_path / "mine.yaml")
    with pytest.raises(
        FileNotFoundError,
        match="mine is neither a file nor one of the recipes kegg, kegg_joined, kegg_qlora, kegg_small, kegg_smol",
    ):
        find_recipe("mine", "sft")
