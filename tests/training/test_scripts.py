import os

import pytest

from textgenome.configuration.arguments import DataArguments, ModelArguments, TrainingArguments
from textgenome.configuration.dna_arguments import DNAArguments, DNAModelArguments, DNATrainingArguments
from textgenome.configuration.recipe_paths import find_recipe
from textgenome.training import dna
from textgenome.training.planning import plan_run
from textgenome.training.scripts import parse_arguments


def parse(*flags: str):
    kinds = (DNAArguments, DNATrainingArguments, DNAModelArguments)
    return parse_arguments(kinds, "dna", "What it does.", [*flags, "--use_cpu"])


def test_flags_win_over_the_recipe():
    rows, training, model = parse("--config", "starter", "--dna_window", "40", "--seed", "7")
    assert (rows.dataset_name, rows.dna_window, rows.task) == ("starter", 40, "classification")
    assert (training.seed, training.max_steps, training.output_dir) == (7, 360, "outputs/dna_starter")
    assert model.dna_config["n_layer"] == 2
    model = parse("--config", "starter", "--dna_model", "a/B")[2]
    assert model.dna_model == "a/B" and model.dna_config is None, "a model takes the place of what the recipe builds"


@pytest.mark.parametrize(
    "rows, encoder, folder",
    [
        ("wanglab/kegg", "BGI-HangzhouAI/Genos-1.2B", "outputs/kegg_genos-1.2b"),
        ("tables/my rows.csv", "models/Mine/", "outputs/my rows_mine"),
        ("rows.v2.JSONL.gz", None, "outputs/rows.v2"),
        ("tables/v1.0", None, "outputs/v1.0"),
    ],
)
def test_the_output_folder_is_named_after_rows_and_models(tmp_path, monkeypatch, rows, encoder, folder):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tables" / "v1.0").mkdir(parents=True)
    model = ["--dna_model", encoder] if encoder else ["--dna_config", "{}"]
    assert parse("--dataset_name", rows, *model)[1].output_dir == folder
    assert parse("--dataset_name", rows, *model, "--output_dir", "mine")[1].output_dir == "mine"
    assert not (tmp_path / "outputs").exists()


def test_other_rows_than_the_built_in_ones_get_a_folder_of_their_own():
    assert parse("--config", "starter", "--dataset_name", "rows/gue")[1].output_dir == "outputs/gue"
    assert parse("--config", "starter", "--dataset_name", "rows/gue", "--output_dir", "mine")[1].output_dir == "mine"
    assert parse("--config", "kegg_small", "--dataset_name", "rows/gue")[1].output_dir == "outputs/dna_kegg_small"


def test_a_recipe_saves_built_in_rows_but_no_others_unasked():
    assert parse("--config", "starter")[0].saved_examples == 3
    assert parse("--config", "starter", "--dataset_name", "rows/gue")[0].saved_examples == 0
    assert parse("--config", "starter", "--do_eval", "false")[0].saved_examples == 0
    assert parse("--config", "starter", "--dataset_name", "rows/gue", "--saved_examples", "2")[0].saved_examples == 2


def test_examples_of_a_task_without_a_table_are_refused():
    with pytest.raises(ValueError, match="saved_examples: only for tables of sequences, not for the task tracks"):
        dna.run(*parse("--config", "starter_tracks", "--saved_examples", "2"))


def test_contigs_that_are_named_take_the_place_of_the_regions_of_a_recipe(tmp_path):
    regions = parse("--config", "starter_tracks", "--test_contigs", "chr8")[0]
    assert regions.regions is None and regions.test_regions is None and regions.test_contigs == ["chr8"]
    own = parse("--config", "starter_tracks", "--test_contigs", "chr8", "--regions", "mine.bed")[0]
    assert own.regions == "mine.bed" and own.test_regions is None
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        find_recipe("starter_tracks", "dna").read_text().replace("outputs/genome/train.bed", "panel.bed")
    )
    assert parse("--config", str(recipe), "--test_contigs", "chr8")[0].regions == "panel.bed"


def test_a_recipe_that_is_not_named_is_asked_for(capsys):
    with pytest.raises(SystemExit):
        parse_arguments((DNAArguments, DNATrainingArguments, DNAModelArguments), "dna", "", ["--config"])
    assert "argument --config: expected a file or the name of a recipe" in capsys.readouterr().err


def test_help_keeps_the_lines_of_the_description_and_shows_defaults(capsys):
    with pytest.raises(SystemExit):
        parse_arguments((DNAArguments, DNATrainingArguments, DNAModelArguments), "dna", "One.\n\n    Two.", ["--help"])
    shown = capsys.readouterr().out
    assert "One.\n\n    Two.\n" in shown and "(default: classification)" in " ".join(shown.split())


@pytest.mark.parametrize(
    "recipe, message",
    [
        ("env:\n  HF_ENDPOINT: http://127.0.0.1:9\n", "sets env, which no recipe may. Set variables"),
        ('"env": {}\n', "sets env"),
        ("a: &a {HF_TOKEN: x}\nenv: *a\n", "sets env"),
        ("<<: {env: {HF_TOKEN: x}}\n", "sets env"),
        ("hub_token: hf_somebody\n", r"sets hub_token, which no recipe may. Log in"),
        ("seed: [1\n", "is not YAML: while parsing"),
        ("- seed\n", "is not a recipe"),
        ("", "is not a recipe"),
    ],
)
def test_a_recipe_sets_what_a_run_has_and_nothing_else(tmp_path, monkeypatch, recipe, message):
    (tmp_path / "recipe.yaml").write_text(f"dataset_name: starter\ndna_config: {{}}\n{recipe}" if recipe else "")
    if recipe.startswith("-"):
        (tmp_path / "recipe.yaml").write_text(recipe)
    environment = dict(os.environ)
    with pytest.raises(ValueError, match=message):
        parse("--config", str(tmp_path / "recipe.yaml"))
    with pytest.raises(ValueError, match=message):
        plan_run(tmp_path / "recipe.yaml")
    assert dict(os.environ) == environment


def test_code_of_a_repository_is_not_run_whatever_a_recipe_says():
    with pytest.raises(ValueError, match="trust_remote_code: training never runs code from a repository"):
        TrainingArguments(output_dir="out", use_cpu=True, bf16=False, trust_remote_code=True)


def test_rows_that_are_named_take_the_place_of_those_of_a_recipe():
    kinds = (DataArguments, TrainingArguments, ModelArguments)

    def read(*flags: str):
        rows, training, _ = parse_arguments(kinds, "sft", "", ["--use_cpu", "--config", *flags])
        return rows.dataset_name, [table.path for table in rows.datasets], training.output_dir

    assert read("starter", "--datasets", "a.csv", "rows/b.csv") == (None, ["a.csv", "rows/b.csv"], "outputs/a-b")
    assert read("starter_jobs", "--dataset_name", "rows/c.csv") == ("rows/c.csv", [], "outputs/c")
    assert read("starter_jobs")[1:] == (["starter", "starter_proteins", "starter_counts"], "outputs/starter_jobs")
