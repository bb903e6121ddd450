import json
import re
import shutil
from types import SimpleNamespace

import pytest
import yaml
from conftest import TINY_CHECKPOINT
from huggingface_hub import ModelCard, ModelCardData
from transformers import AutoConfig

from textgenome.evaluation.conditions import CONDITIONS
from textgenome.evaluation.metrics import METRICS as TITLES
from textgenome.evaluation.results import compare, summarize
from textgenome.hub_card import export_checkpoint
from textgenome.hub_card.card import write_card
from textgenome.inference.checkpoints import KINDS, fingerprint_weights


SCORES = {"rows": 240, "no_answer": 0.0125, "per_class": []}
METRICS = {
    "model": "/home/somebody/outputs/mine",
    "revision": "main",
    "dataset_name": "wanglab/kegg",
    "split": "validation",
    "data_fingerprint": "ab" * 32,
    "date": "2026-11-21T10:00:00+00:00",
    "verdict": "The model beats the baseline majority.",
    "unit": "row",
    "metric": "accuracy",
    "metrics": {name: TITLES[name]._asdict() for name in ("accuracy", "macro_f1", "no_answer")},
    "conditions": {
        "as_is": {
            **SCORES,
            **CONDITIONS["as_is"]._asdict(),
            "accuracy": 0.9958333333333333,
            "accuracy_interval": [0.9768, 0.9993],
            "macro_f1": 0.9957,
            "macro_f1_interval": [0.987, 1.0],
        },
        "dna_exchanged": {
            **SCORES,
            **CONDITIONS["dna_exchanged"]._asdict(),
            "accuracy": 0.15416,
            "accuracy_interval": [0.1142, 0.2052],
            "macro_f1": 0.151,
            "macro_f1_interval": [0.11, 0.2],
            "accuracy_difference": -0.8416,
            "p_value": 1.3e-60,
        },
        "majority": {
            **SCORES,
            **CONDITIONS["majority"]._asdict(),
            "accuracy": 0.1666,
            "accuracy_interval": [0.1249, 0.2189],
            "macro_f1": 0.047,
            "macro_f1_interval": [0.04, 0.06],
            "accuracy_difference": -0.8291,
            "p_value": 2e-59,
        },
    },
}
SETTINGS = {
    "dataset_name": "wanglab/kegg",
    "dataset_train_split": "train",
    "dna_window": 2048,
    "text_model": "Qwen/Qwen3-1.7B",
    "dna_model": "InstaDeepAI/nucleotide-transformer-2.5b-multi-species",
    "text_config": None,
    "lora_r": 16,
}
TRAINING = {"learning_rate": 5e-5, "max_steps": -1, "num_train_epochs": 5.0, "seed": 0, "output_dir": "/home/somebody"}
RESULTS = {
    "train_runtime": 90.0,
    "hardware": "1 x NVIDIA H200",
    "peak_memory_gb": 31.5,
    "train_tokens_per_second": 5e4,
}


@pytest.fixture
def run(tmp_path):
    """A checkpoint with what a training run and an evaluation leave beside it."""
    shutil.copytree(TINY_CHECKPOINT, tmp_path / "run")

    def write(**files) -> None:
        for name, content in files.items():
            path = tmp_path / "run" / ("evaluation/metrics.json" if name == "metrics" else f"{name}.json")
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps({"job": "training", **content} if name == "settings" else content))
        return tmp_path / "run"

    return write


def card_of(run, tmp_path, **options) -> ModelCard:
    return ModelCard.load(export_checkpoint(run, tmp_path / "out", **options) / "README.md")


def rows_of(text: str, heading: str) -> list[list[str]]:
    """The rows of the first table below a heading."""
    section = re.split(r"^## ", text.split(f"## {heading}\n")[1], flags=re.MULTILINE)[0]
    lines = section[section.index("\n|") + 1 :].split("\n\n")[0].splitlines()[2:]  # a blank line ends a table
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_figures_are_those_of_the_evaluation(run, tmp_path):
    run(settings=SETTINGS, training_arguments=TRAINING, train_results=RESULTS)
    card = card_of(run(metrics=METRICS), tmp_path)
    results = {result.metric_type: result for result in card.data.eval_results}
    assert results["accuracy"].metric_value == 0.9958333333333333
    assert results["f1"].metric_value == 0.9957
    assert (results["f1"].dataset_type, results["f1"].dataset_split) == ("wanglab/kegg", "validation")
    rows = {row[0]: row[1:] for row in rows_of(card.text, "Results")}
    assert list(rows) == ["unchanged", "DNA exchanged", "majority"]
    assert CONDITIONS["dna_exchanged"].meaning in card.text and CONDITIONS["dna_removed"].meaning not in card.text
    assert rows["unchanged"] == ["model", "0.996 (0.977 to 0.999)", "-", "0.996 (0.987 to 1.000)", "0.013"]
    assert rows["DNA exchanged"][2] == "-0.842" and "The model beats the baseline majority." in card.text
    (entry,) = yaml.safe_load((tmp_path / "out" / ".eval_results" / "textgenome.yaml").read_text())
    assert entry["dataset"] == {"id": "wanglab/kegg", "task_id": "default"}
    assert entry["value"] == 0.9958333333333333


def test_metrics_are_read_from_where_one_says(run, tmp_path):
    (tmp_path / "elsewhere.json").write_text(json.dumps({**METRICS, "dataset_name": "/home/somebody/rows.csv"}))
    card = card_of(run(settings=SETTINGS), tmp_path, metrics=tmp_path / "elsewhere.json")
    assert card.data.eval_results[0].dataset_name == "rows.csv"
    assert "somebody" not in card.content
    assert not (tmp_path / "out" / ".eval_results").exists()


def test_without_an_evaluation_the_card_tells_what_training_measured(run, tmp_path):
    measured = {"accuracy_as_is": 0.9917, "accuracy_dna_removed": 0.17, "rows": 240}
    card = card_of(run(settings=SETTINGS, eval_results=measured), tmp_path)
    assert rows_of(card.text, "Results") == [["unchanged rows", "0.992"], ["DNA removed", "0.170"]]
    assert "on 240 held-out rows" in card.text and "Not measured." not in card.text
    assert card.text.index("## Results") < card.text.index("## How to load") < card.text.index("<details>")


def test_base_models_recipe_hardware_and_a_non_commercial_licence(run, tmp_path):
    checkpoint = run(settings=SETTINGS, training_arguments=TRAINING, train_results=RESULTS)
    config = json.loads((checkpoint / "config.json").read_text())
    config["base_models"] = {"Qwen/Qwen3-1.7B": "70d244cc86ccca08cf5af4e1e306ecf908b1ad5e"}
    (checkpoint / "config.json").write_text(json.dumps(config))
    card = card_of(checkpoint, tmp_path)
    assert rows_of(card.text, "Base models") == [
        ["Qwen/Qwen3-1.7B", "70d244cc86ccca08cf5af4e1e306ecf908b1ad5e", "apache-2.0"],
        ["InstaDeepAI/nucleotide-transformer-2.5b-multi-species", "not known", "cc-by-nc-sa-4.0"],
    ]
    assert card.data.license == "cc-by-nc-sa-4.0"
    assert "**Not for commercial use:** InstaDeepAI/nucleotide-transformer-2.5b-multi-species must not" in card.text
    assert card.data.base_model == ["Qwen/Qwen3-1.7B", "InstaDeepAI/nucleotide-transformer-2.5b-multi-species"]
    assert card.data.datasets == ["wanglab/kegg"]
    assert "Not measured." in card.text
    recipe = yaml.safe_load(re.search(r"```yaml\n(.*?)```", card.text, re.DOTALL)[1])
    names = ("dataset_name", "dna_window", "text_model", "dna_model")
    trainer = {"learning_rate": 5e-5, "num_train_epochs": 5.0, "seed": 0}
    assert recipe == {**{name: SETTINGS[name] for name in names}, "lora_r": 16, **trainer}
    assert "1 x NVIDIA H200; 1.5 minutes; 50,000 tokens a second; peak memory 31.5 GB." in card.text


def test_a_mixture_is_named_without_its_paths(run, tmp_path):
    tables = [{"path": "/home/somebody/rows.csv", "job": "effect"}, {"path": "wanglab/kegg"}]
    card = card_of(run(settings={**SETTINGS, "dataset_name": None, "datasets": tables}), tmp_path)
    assert card.data.datasets == ["wanglab/kegg"] and "somebody" not in card.text
    assert "`rows.csv, wanglab/kegg`" in card.text


@pytest.mark.parametrize(
    "models, license",
    [
        (["Qwen/Qwen3-1.7B", "BGI-HangzhouAI/Genos-1.2B"], "apache-2.0"),
        (["Qwen/Qwen3-1.7B", "LongSafari/hyenadna-tiny-1k-seqlen-hf"], "other"),
        (["Qwen/Qwen3-1.7B", "somebody/unknown"], "other"),
        (["Qwen/Qwen3-1.7B", "/home/somebody/encoder"], "other"),
        ([None, None], "apache-2.0"),
    ],
)
def test_licence_of_the_card_follows_from_the_base_models(run, tmp_path, models, license):
    card = card_of(run(settings={**SETTINGS, **dict(zip(("text_model", "dna_model"), models))}), tmp_path)
    assert card.data.license == license
    assert card.data.get("license_name") == ("see-base-models" if license == "other" else None)
    assert "/home/somebody" not in card.content


def test_what_is_not_known_is_said_not_left_out(run, tmp_path):
    card = card_of(run(), tmp_path)
    text = re.sub(r"\s+", " ", card.text)
    for said in ("Not known.", "**Data:** not known.", "**Recipe:** not known.", "not recorded.", "Not measured."):
        assert said in text
    assert card.data.eval_results is None
    assert card.data.license == "unknown"
    assert_complete(card)


def test_a_checkpoint_of_a_run_knows_what_lies_one_folder_up(run, tmp_path):
    run(settings=SETTINGS, training_arguments=TRAINING)
    shutil.copytree(TINY_CHECKPOINT, tmp_path / "run" / "checkpoint-2")
    card = card_of(tmp_path / "run" / "checkpoint-2", tmp_path)
    assert card.data.datasets == ["wanglab/kegg"] and card.data.license == "cc-by-nc-sa-4.0"
    assert "learning_rate: 5.0e-05" in card.text


def test_settings_that_were_changed_on_the_way_are_told_if_they_were_trained_with(run, tmp_path):
    changes = [
        {"step": 0, "before": {"seed": 1}},
        {"step": 20, "before": {"max_steps": 30, "text_model": "/home/somebody/qwen"}},
        {"step": 50, "before": {"max_steps": 50, "lora_alpha": 8}},
    ]
    settings = {**SETTINGS, **TRAINING, "max_steps": 70, "seed": 2, "lora_alpha": 16, "changes": changes}
    checkpoint = run(settings=settings, training_arguments={"seed": 3}, train_results={**RESULTS, "train_steps": 50})
    text = card_of(checkpoint, tmp_path).text
    first, *others = [yaml.safe_load(code) for code in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    assert (first["max_steps"], first["seed"], first["lora_alpha"]) == (50, 2, 8), "nothing was trained behind step 50"
    assert others == [{"max_steps": 30, "text_model": "qwen"}]
    assert "Until step 20 it was trained with others" in text


def test_figures_of_other_weights_are_left_out_or_refused(run, tmp_path):
    checkpoint = run(metrics={**METRICS, "weights": fingerprint_weights(str(TINY_CHECKPOINT))})
    assert "| unchanged |" in card_of(checkpoint, tmp_path).text
    metrics = {**METRICS, "weights": "0" * 64}
    shutil.rmtree(tmp_path / "out")
    assert "Not measured." in card_of(run(metrics=metrics), tmp_path).text
    (tmp_path / "elsewhere.json").write_text(json.dumps(metrics))
    with pytest.raises(ValueError, match="was measured with other weights"):
        export_checkpoint(run(), tmp_path / "other", metrics=tmp_path / "elsewhere.json")


@pytest.mark.parametrize("base, made_up", [(None, True), ("somebody/model", False), ("/home/somebody/model", False)])
def test_a_starter_model_is_free_of_genomes_only_if_it_began_at_random(run, tmp_path, base, made_up):
    settings = {"dataset_name": "starter", "dataset_train_split": "train", "model_name_or_path": base}
    assert ("no genome of anybody" in card_of(run(settings=settings), tmp_path).text) == made_up


def test_a_licence_with_a_name_of_its_own_keeps_it(run, tmp_path, monkeypatch):
    of_hub = SimpleNamespace(card_data={"license": "other", "license_name": "llama3.1"})
    monkeypatch.setattr("textgenome.hub_card.card.model_info", lambda *_, **__: of_hub)
    card = card_of(run(settings={**SETTINGS, "dna_model": None}), tmp_path)
    assert (card.data.license, card.data.license_name) == ("other", "llama3.1")
    assert rows_of(card.text, "Base models")[0][-1] == "llama3.1"


def test_a_file_that_is_gone_is_no_data_set_of_the_hub(run, tmp_path):
    card = card_of(run(settings={**SETTINGS, "dataset_name": "somebody/rows.csv"}), tmp_path)
    assert card.data.datasets is None
    assert "`rows.csv`" in card.text and "somebody/rows.csv" not in card.content


def assert_complete(card: ModelCard) -> None:
    """No empty field, no placeholder; the metadata says what the Hub needs to know."""
    text = card.text.replace('"out", None', "").replace("None: all weights began at random", "")
    for empty in ("None", "nan", "{{", "{%", "[More", "TODO", "| |", "||", "()"):
        assert empty not in text, empty
    assert all(value not in (None, "", [], {}) for value in card.data.to_dict().values())
    assert card.data.pipeline_tag == "any-to-any"
    assert "custom_code" in card.data.tags
    for said in ("Research use only, not for diagnosis", "## Privacy", "## Citation", "## Intended use"):
        assert said in card.text


def test_card_of_a_starter_run_shows_what_the_evaluation_summarized(run, tmp_path):
    truths = ["splice site", "no effect"] * 6
    answers = {"as_is": truths[:9] + ["other", None, "other"], "dna_removed": ["no effect"] * 12, "majority": truths}
    records = {name: [{"answer": answer} for answer in each] for name, each in answers.items()}
    scores = {name: summarize(name, each, truths) for name, each in records.items()}
    for name in ("dna_removed", "majority"):
        scores[name] |= compare(records[name], records["as_is"], truths)
    run(settings={"dataset_name": "starter", "dataset_train_split": "train"}, training_arguments=TRAINING)
    run(train_results=RESULTS, metrics={**METRICS, "dataset_name": "starter", "conditions": scores})
    card = card_of(tmp_path / "run", tmp_path)
    assert_complete(card)
    assert card.data.license == "apache-2.0"
    assert {result.metric_value for result in card.data.eval_results} == {0.75, scores["as_is"]["macro_f1"]}
    shown = {row[0]: row[2].split()[0] for row in rows_of(card.text, "Results")}
    assert shown == {"unchanged": "0.750", "DNA removed": "0.500", "majority": "1.000"}


def test_card_of_an_adapter_names_its_base(tmp_path):
    (tmp_path / "adapter").mkdir()
    config = AutoConfig.from_pretrained(TINY_CHECKPOINT)
    write_card(tmp_path / "adapter", tmp_path, config, KINDS[0], "mine", base="somebody/base")
    card = ModelCard.load(tmp_path / "adapter" / "README.md")
    assert isinstance(card.data, ModelCardData)
    assert card.data.base_model == ["somebody/base"]
    assert (card.data.library_name, card.data.base_model_relation) == ("peft", "adapter")
    assert "PeftModel.from_pretrained(base, name, revision=revision)" in card.text


def test_what_a_stranger_wrote_into_settings_stays_text(run, tmp_path):
    settings = {
        **SETTINGS,
        "dataset_name": "<img src=x onerror=alert(1)>.csv",
        "dataset_train_split": "train`\n\n# Safe for diagnosis | <script>",
        "dna_tokenizer": "a\n```\n<b>out of the fence</b>",
    }
    results = {**RESULTS, "hardware": "<script>alert(1)</script>\n## Certified"}
    card = card_of(run(settings=settings, training_arguments=TRAINING, train_results=results), tmp_path)
    text = re.sub(r"^(`{3,})yaml\n.*?^\1$", "", card.text, flags=re.DOTALL | re.MULTILINE)
    assert not re.search(r"<(img|script|b)\b", text)
    assert not re.search(r"^#+ (Safe|Certified)", text, re.MULTILINE)
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize("name", ['x"; import os; "', "two\nlines", "a\\b", "<b>", "\u2028"])
def test_a_name_that_breaks_the_card_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="cannot have the character"):
        export_checkpoint(TINY_CHECKPOINT, tmp_path / name)
    assert list(tmp_path.iterdir()) == []
