"""`datasets:` of `textgenome sft`: several tables in one run."""

import json

import pytest
import yaml
from conftest import TINY_CHECKPOINT, random_dna, variant_row
from runs import QUICK, log_of, write_rows

from textgenome.training import sft


@pytest.fixture
def recipe(tmp_path):
    """A recipe of two tables: pairs, and sequences with a template for a question and values as answers."""
    pairs = [variant_row(seed=i, answer="AB"[i % 2] * 2) for i in range(8)]
    values = [
        {"sequence": random_dna(20, seed=i), "gene": f"G{i}", "answer": f"{i}.5", "answer_type": "value"}
        for i in range(6)
    ]
    write_rows(tmp_path / "pairs", train=pairs, val=pairs)
    write_rows(tmp_path / "values", train=values, test=values)
    tables = [{"path": str(tmp_path / "pairs"), "job": "effect"}]
    tables.append({"path": str(tmp_path / "values"), "test_split": "test", "question": "How active is {gene}?"})
    settings = {**QUICK, "datasets": tables, "model_name_or_path": str(TINY_CHECKPOINT), "bf16": False}
    settings |= {"activation_checkpointing": False, "output_dir": str(tmp_path / "out")}
    return tmp_path / "recipe.yaml", settings


def run(recipe, **more):
    path, settings = recipe
    path.write_text(yaml.safe_dump({**settings, **more}))
    sft.main(["--config", str(path)])


def test_a_mixture_is_trained_on_and_each_table_is_evaluated(recipe, tmp_path, capsys):
    answered = {"generation_rows": 3, "max_new_tokens": 2, "do_eval": True}
    run(recipe, **answered, save_strategy="steps", save_steps=1)
    printed, out = capsys.readouterr().out, tmp_path / "out"
    assert "effect  unchanged      accuracy 0.000" in printed and "values  DNA exchanged  Pearson r" in printed
    metrics = json.loads((out / "eval_results.json").read_text())
    assert {
        "eval_effect_loss",
        "eval_values_loss",
        "effect_accuracy_as_is",
        "values_mean_absolute_error_dna_removed",
    } <= {*metrics}
    assert metrics["rows"] == 6
    assert len(log_of(out / "checkpoint-2")) == 2
    stored = json.loads((out / "settings.json").read_text())["datasets"]
    assert [table["job"] for table in stored] == ["effect", None]
    run(recipe, **answered, save_strategy="steps", save_steps=1)  # the same is resumed, another mixture is not
    tables = [{**table, "fraction": share} for table, share in zip(recipe[1]["datasets"], (0.8, 0.2))]
    with pytest.raises(ValueError, match=r"a run with other settings \(data_fingerprint"):
        run(recipe, datasets=tables)


def test_what_does_not_go_with_a_mixture_is_refused(recipe):
    for message, more in {
        "dataset_name, question: not with datasets": {"dataset_name": "starter", "question": "Why?"},
        "question_dropout: the jobs of a mixture have no question in common": {"question_dropout": 0.5},
        "Name the rows to train on": {"datasets": []},
    }.items():
        with pytest.raises(ValueError, match=message):
            run(recipe, **more)


def test_what_would_fail_after_training_is_refused_before(recipe, tmp_path):
    one_job = [{**table, "job": "both"} for table in recipe[1]["datasets"]]
    with pytest.raises(ValueError, match="The job 'both' has answers of the types text and value"):
        run(recipe, datasets=one_job)
    best = {"do_eval": True, "eval_strategy": "steps", "save_strategy": "steps", "load_best_model_at_end": True}
    with pytest.raises(ValueError, match="name metric_for_best_model: eval_effect_loss or eval_values_loss"):
        run(recipe, **best)


def test_only_some_tables_with_reasoning_are_refused(recipe, tmp_path):
    rows = [variant_row(seed=i, reasoning="Because.") for i in range(4)]
    write_rows(tmp_path / "reasoned", train=rows)
    tables = [{"path": str(tmp_path / "reasoned")}, recipe[1]["datasets"][1]]
    with pytest.raises(ValueError, match=r"only .*reasoned have reasoning: set reasoning_format: none"):
        run(recipe, datasets=tables)
