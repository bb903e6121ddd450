import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pandas
import pytest
from answered_rows import ANSWERS, ROWS, write_answered
from conftest import ROOT, TINY_CHECKPOINT, conversation, random_dna, variant_row
from transformers import AutoModelForMultimodalLM, AutoProcessor
from transformers.utils import logging

from textgenome import TextGenomeDNAConfig, TextGenomeDNAForSequenceClassification, TextGenomeDNAProcessor
from textgenome.data.conversations import DNA_COLUMNS
from textgenome.data.descriptions import Description
from textgenome.data.locks import locked
from textgenome.evaluation import CONTROLS, compare_controls, evaluate_baselines, evaluate_model, small_cnn
from textgenome.evaluation.evaluating import Evaluation, change_rows
from textgenome.hub_card import export_checkpoint
from textgenome.inference import explain
from textgenome.inference.predictions import Predictions
from textgenome.modeling_textgenome import TextGenomeModel
from textgenome.processing import build_dna_tokenizer, chat_template


@pytest.fixture(autouse=True)
def one_epoch(monkeypatch):
    """The network that is a baseline has tests of its own."""
    monkeypatch.setattr(small_cnn, "EPOCHS", 1)


@pytest.fixture
def table(tmp_path):
    return write_answered(tmp_path / "rows")


def run(table, folder, controls=(), **options):
    options = {"batch_size": 2, "max_new_tokens": 3, **options}
    return evaluate_model(str(TINY_CHECKPOINT), table, "val", folder, list(controls), **options)


def predictions(folder):
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]


def test_all_that_is_written(table, tmp_path):
    metrics = run(table, tmp_path / "out", CONTROLS, baselines=True, mode="both", text_only_model=str(TINY_CHECKPOINT))
    assert json.loads(json.dumps(metrics)) == json.loads((tmp_path / "out" / "metrics.json").read_text())
    kinds = [each["kind"] for each in metrics["conditions"].values()]
    # These rows name no gene: that control is left out.
    assert kinds == ["model", *["control"] * (len(CONTROLS) - 1), "text-only", *["baseline"] * 5]
    assert "genes_masked" not in metrics["conditions"]
    for name, scores in metrics["conditions"].items():
        assert scores["rows"] == ROWS
        assert ("p_value" in scores) == (name != "as_is")
        assert ("scored_accuracy" in scores) == ("tokens_per_answer" in scores) == (scores["kind"] != "baseline")
    assert metrics["versions"]["textgenome"] and metrics["dataset_name"] == table
    written = predictions(tmp_path / "out")
    assert len(written) == ROWS * (kinds.count("control") + 2)
    assert all(set(record["scores"]) == set(ANSWERS) for record in written)
    assert (tmp_path / "out" / "report.html").exists()


def test_nothing_that_is_written_holds_a_sequence(table, tmp_path):
    run(table, tmp_path / "out", CONTROLS, mode="both")
    windows = [pandas.read_csv(f"{table}/val.csv")[name][0] for name in ("reference_sequence", "variant_sequence")]
    for path in (tmp_path / "out").iterdir():
        assert not any(window[:12].encode() in path.read_bytes() for window in windows)


class Killed(BaseException):
    pass


def test_a_killed_run_loses_and_repeats_nothing(table, tmp_path, monkeypatch):
    asked = []
    real = Predictions.write

    def write(self, records):
        asked.extend((record["condition"], record["row"]) for record in records)
        real(self, records)
        if len(asked) in kills:
            with self.part.open("ab") as file:
                file.write('\n{"condition": "as_is", "row": 6, "output": "é'.encode()[:-1])
            raise Killed

    monkeypatch.setattr(Predictions, "write", write)
    kills = {4, 9}
    for _ in kills:
        with pytest.raises(Killed):
            run(table, tmp_path / "out", ["dna_exchanged"])
    metrics = run(table, tmp_path / "out", ["dna_exchanged"])
    assert len(asked) == len(set(asked)) == 2 * ROWS
    kills = set()
    again = run(table, tmp_path / "whole", ["dna_exchanged"])
    assert again["conditions"] == metrics["conditions"]
    assert predictions(tmp_path / "out") == predictions(tmp_path / "whole")
    # Nothing is left to ask, but what a new control asks.
    asked.clear()
    run(table, tmp_path / "out", ["dna_exchanged", "pair_swapped"])
    assert {condition for condition, _ in asked} == {"pair_swapped"}
    asked.clear()
    run(table, tmp_path / "out", text_only_model=str(TINY_CHECKPOINT))
    assert {condition for condition, _ in asked} == {"text_only_model"}


def test_another_evaluation_is_refused(table, tmp_path):
    run(table, tmp_path / "out")
    with pytest.raises(ValueError, match=r"run with other settings \(generation\)"):
        run(table, tmp_path / "out", max_new_tokens=4)
    with pytest.raises(ValueError, match=r"other settings \(seed"):
        run(table, tmp_path / "out", seed=1)


TOO_LONG = r"the prompt has \d{4} tokens, prompt and answer may have 1024 together"


@pytest.mark.parametrize("mode", ["generate", "score"])
def test_a_prompt_that_is_too_long_is_refused_before_anything_is_asked(table, tmp_path, mode, monkeypatch):
    monkeypatch.setattr(Evaluation, "predict", None)
    control = {"controls": ["constant_question"], "description": {"constant_question": "Why? " * 900}}
    with pytest.raises(ValueError, match=f"constant question: Row 0: {TOO_LONG}"):
        run(table, tmp_path / "out", mode=mode, **control)
    pandas.DataFrame([variant_row(question="Why? " * 900)]).to_csv(f"{table}/val.csv", index=False)
    with pytest.raises(ValueError, match=f"val.csv, row 0, column 'question': {TOO_LONG}"):
        run(table, tmp_path / "other", mode=mode)


def test_labels_that_are_scored_stay_the_same_until_the_end(table, tmp_path):
    run(table, tmp_path / "out", mode="score")
    path = Path(table) / "train.csv"
    rows = pandas.read_csv(path)
    pandas.concat([rows, rows.head(1).assign(answer="new")]).to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"other settings \(labels\)"):
        run(table, tmp_path / "out", ["pair_swapped"], mode="score")
    assert {len(record["scores"]) for record in predictions(tmp_path / "out")} == {2}
    # Which labels there are does not matter to generation.
    run(table, tmp_path / "out", ["pair_swapped"])


def test_a_single_label_that_is_certain_of_itself_is_said(table, tmp_path, caplog):
    for path in Path(table).glob("*.csv"):
        pandas.read_csv(path).assign(answer="glioma").to_csv(path, index=False)
    logging.enable_propagation()
    metrics = run(table, tmp_path / "out", mode="score")
    logging.disable_propagation()
    assert metrics["conditions"]["as_is"]["accuracy"] == 1
    assert "All rows have one answer, 'glioma'" in caplog.text


def test_the_worst_mistakes_are_explained_if_asked_for(table, tmp_path, monkeypatch):
    monkeypatch.setattr("textgenome.evaluation.explained_mistakes.explain", partial(explain, bases=4))
    run(table, tmp_path / "out", explain_mistakes=2)
    report = (tmp_path / "out" / "report.html").read_text()
    assert report.count("What this mistake depends on.") == report.count("data:image/png") == 2
    run(table, tmp_path / "out")
    assert "data:image/png" not in (tmp_path / "out" / "report.html").read_text()


def test_a_folder_that_another_process_writes_to_is_refused(table, tmp_path):
    with locked(tmp_path / "out"):
        with pytest.raises(OSError, match="writes to it"):
            run(table, tmp_path / "out")
        with pytest.raises(OSError, match="writes to it"):
            evaluate_baselines(table, "val", tmp_path / "out")


def test_controls_are_joined_by_plus(table, tmp_path):
    both = "constant_question+dna_exchanged"
    metrics = run(table, tmp_path, ["dna_exchanged", both], description={"constant_question": "Why?"})
    assert list(metrics["conditions"]) == ["as_is", "dna_exchanged", both]
    assert metrics["conditions"][both]["title"] == "constant question, DNA exchanged"
    rows = [{"question": "What of BRCA1?", "reference_sequence": base, "variant_sequence": base} for base in "ACG"]
    changed = change_rows(rows, [both, "dna_exchanged"], CONTROLS, 0, Description("Why?"))
    assert {row["question"] for row in changed[both]} == {"Why?"}
    for column in DNA_COLUMNS:
        assert [row[column] for row in changed[both]] == [row[column] for row in changed["dna_exchanged"]]
        assert all(row[column] != own[column] for row, own in zip(changed[both], rows))


def test_another_table_says_what_its_controls_change(table, tmp_path):
    for path in Path(table).glob("*.csv"):
        rows = pandas.read_csv(path).assign(gene="TP53", question="Is this variant of TP53 harmful?")
        rows.to_csv(path, index=False)
    controls = ["constant_question", "genes_masked"]
    found = run(table, tmp_path / "found", controls)
    assert "genes_masked" not in found["conditions"]
    given = run(table, tmp_path / "given", controls, description={"locus_column": "gene", "constant_question": "Why?"})
    assert list(given["conditions"]) == ["as_is", *controls]
    assert (given["description"]["locus_column"], given["description"]["constant_question"]) == ("gene", "Why?")
    with pytest.raises(ValueError, match=r"other settings \(description\)"):
        run(table, tmp_path / "given", controls)


def test_sampling_is_seeded(table, tmp_path):
    options = {"do_sample": True, "temperature": 3.0}
    for name in "ab":
        run(table, tmp_path / name, **options)
    assert predictions(tmp_path / "a") == predictions(tmp_path / "b")
    run(table, tmp_path / "c", seed=1, **options)
    assert predictions(tmp_path / "a") != predictions(tmp_path / "c")


def trained_to_read(folder: Path, reasoning_format: str = "think", **reading) -> Path:
    """An exported model whose processor says how it was trained to read."""
    model = AutoModelForMultimodalLM.from_pretrained(TINY_CHECKPOINT)
    processor = AutoProcessor.from_pretrained(TINY_CHECKPOINT)
    processor.chat_template = chat_template(reasoning_format)
    for name, value in reading.items():
        setattr(processor, name, value)
    model.save_pretrained(folder / "run")
    processor.save_pretrained(folder / "run")
    return export_checkpoint(folder / "run", folder / "exported")


@pytest.fixture
def prompts(monkeypatch):
    """What was given to a model, decoded."""
    seen = []
    real = TextGenomeModel.forward

    def forward(self, input_ids=None, dna_input_ids=None, **inputs):
        if dna_input_ids is not None or input_ids.shape[1] > 1:
            seen.append((input_ids, dna_input_ids))
        return real(self, input_ids=input_ids, dna_input_ids=dna_input_ids, **inputs)

    monkeypatch.setattr(TextGenomeModel, "forward", forward)
    return seen


def test_an_exported_text_only_model_is_evaluated_as_it_was_trained(table, tmp_path, prompts):
    folder = trained_to_read(tmp_path, dna="none", reasons=False)
    metrics = evaluate_model(str(folder), table, "val", tmp_path / "out", list(CONTROLS), max_new_tokens=1)
    assert metrics["dna"] == "none" and metrics["enable_thinking"] is False
    assert prompts and all(dna is None for _, dna in prompts)
    # Without DNA there is none to change.
    assert list(metrics["conditions"]) == ["as_is", "constant_question"]


def test_an_exported_plain_reasoning_model_is_evaluated_as_it_was_trained(table, tmp_path, prompts, tiny_processor):
    folder = trained_to_read(tmp_path, "plain", dna_truncation="per_side", dna_window=24)
    metrics = evaluate_model(str(folder), table, "val", tmp_path / "out", [], max_new_tokens=1)
    assert metrics["enable_thinking"] is True
    assert (metrics["dna_truncation"], metrics["dna_window"]) == ("per_side", 24)
    assert all(dna.shape[-1] <= 24 for _, dna in prompts)
    assert not any("<think>" in text for ids, _ in prompts for text in tiny_processor.batch_decode(ids))


def test_a_dna_only_model_goes_into_the_same_table(table, tmp_path):
    dna_config = {"d_model": 16, "d_inner": 16, "n_layer": 1, "max_seq_len": 64, "initializer_range": 0.3}
    for path in Path(table).glob("*.csv"):
        pandas.read_csv(path).drop(columns=["question", "reasoning"]).to_csv(path, index=False)
    config = TextGenomeDNAConfig(dna_config=dna_config, id2label=dict(enumerate(ANSWERS)))
    TextGenomeDNAForSequenceClassification(config).save_pretrained(tmp_path / "classifier")
    tokenizer = build_dna_tokenizer("hyenadna", model_max_length=64)
    TextGenomeDNAProcessor(tokenizer, dna_window=32).save_pretrained(tmp_path / "classifier")
    arguments = (str(tmp_path / "classifier"), table, "val", tmp_path / "out", list(CONTROLS))
    metrics = evaluate_model(*arguments, baselines=True, explain_mistakes=1)
    report = (tmp_path / "out" / "report.html").read_text()
    assert report.count("What this mistake depends on.") == report.count("data:image/png") == 1
    # It sees no question, and cannot do without DNA.
    shown = ["as_is", "dna_exchanged", "dna_shuffled", "pair_swapped", "reference_only", "reverse_complement"]
    baselines = ["majority", "substitution", "kmers", "small_cnn", "labels_shuffled"]
    assert list(metrics["conditions"]) == [*shown, *baselines]
    assert {len(record["scores"]) for record in predictions(tmp_path / "out")} == {len(ANSWERS)}
    assert (metrics["task"], metrics["metric"], metrics["duplicates"]["exact"]) == ("classification", "mcc", 0)
    assert evaluate_model(*arguments, baselines=True)["conditions"] == metrics["conditions"]


def save_head(folder, **config):
    dna_config = {"d_model": 16, "d_inner": 16, "n_layer": 1, "max_seq_len": 64, "initializer_range": 0.3}
    config = TextGenomeDNAConfig(dna_config=dna_config, num_sequences=1, **config)
    TextGenomeDNAForSequenceClassification(config).save_pretrained(folder)
    TextGenomeDNAProcessor(build_dna_tokenizer("hyenadna", model_max_length=64)).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(
    ("problem_type", "id2label", "label"),
    [
        ("single_label_classification", {0: "0", 1: "1"}, lambda i: i % 2),
        ("multi_label_classification", {0: "x", 1: "y"}, lambda i: "x;y" if i % 3 else "x"),
        ("regression", {0: "value"}, lambda i: i / 3),
    ],
)
def test_heads_of_one_sequence_a_row(tmp_path, problem_type, id2label, label):
    (tmp_path / "rows").mkdir()
    for split, first in (("train", 100), ("dev", 0)):
        rows = [{"sequence": random_dna(40, seed=first + i), "label": label(i)} for i in range(8)]
        pandas.DataFrame(rows).to_csv(tmp_path / "rows" / f"{split}.csv", index=False)
    model = save_head(tmp_path / "model", problem_type=problem_type, id2label=id2label)
    metrics = evaluate_model(model, str(tmp_path / "rows"), "dev", tmp_path / "out", list(CONTROLS), baselines=True)
    conditions = list(metrics["conditions"])
    assert conditions[:4] == ["as_is", "dna_exchanged", "dna_shuffled", "reverse_complement"]
    assert {"kmers", "small_cnn", "labels_shuffled"} < set(conditions)
    assert metrics["conditions"]["as_is"]["units"] == 8
    alone = evaluate_baselines(str(tmp_path / "rows"), "dev", tmp_path / "alone", problem_type=problem_type)
    for name in ("kmers", "small_cnn"):
        decisive = metrics["metric"]
        assert alone["conditions"][name][decisive] == metrics["conditions"][name][decisive]


@pytest.mark.parametrize("reasons, begun", [(True, ""), (False, "<think>\n\n</think>\n\n")])
def test_without_reasoning_an_empty_think_block_is_continued(tiny_model, reasons, begun):
    processor = AutoProcessor.from_pretrained(TINY_CHECKPOINT)
    processor.dna, processor.reasons = "none", reasons
    prompts = []
    tiny_model.model.register_forward_pre_hook(
        lambda _, args, kwargs: prompts.extend(kwargs["input_ids"]), with_kwargs=True
    )
    rows = [variant_row(seed=i) for i in range(2)]
    accuracies = compare_controls(tiny_model, processor, rows, max_new_tokens=1)
    assert [processor.decode(prompt).split("assistant\n")[1] for prompt in prompts] == [begun] * 2
    assert not any("dna" in processor.decode(prompt) for prompt in prompts)
    assert list(accuracies) == ["as_is"]


def test_modes_do_not_mix(table, tmp_path):
    run(table, tmp_path / "out")
    scored = run(table, tmp_path / "out", ["pair_swapped"], mode="score")
    assert scored["conditions"] == run(table, tmp_path / "alone", ["pair_swapped"], mode="score")["conditions"]


def test_conversations_and_lone_rows(table, tmp_path):
    messages = conversation("ACGT", answer="Answer: x")
    (tmp_path / "mine.jsonl").write_text(json.dumps({"messages": messages}) + "\n")
    with pytest.raises(ValueError, match="Row 0, column 'messages'"):
        evaluate_model(str(TINY_CHECKPOINT), str(tmp_path / "mine.jsonl"), "train", tmp_path / "out", [])
    pandas.read_csv(f"{table}/val.csv").head(1).to_csv(f"{table}/val.csv", index=False)
    metrics = run(table, tmp_path / "out", CONTROLS)
    assert "dna_exchanged" not in metrics["conditions"] and "pair_swapped" in metrics["conditions"]


def test_controls_give_the_model_other_dna_and_none(tiny_model, tiny_processor):
    seen = []
    tiny_model.model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs.get("dna_input_ids")), with_kwargs=True
    )
    rows = [variant_row(seed=i, answer="?", reasoning="Step 1") for i in range(4)]
    accuracies = compare_controls(tiny_model, tiny_processor, rows, max_new_tokens=1)
    # No answer is never right.
    assert accuracies == {"as_is": 0.0, "dna_exchanged": 0.0, "dna_removed": 0.0}
    as_is, exchanged, removed = seen
    assert as_is.shape == exchanged.shape and not (as_is == exchanged).all()
    assert removed is None


SHARED = """
import json, sys
from pathlib import Path
from accelerate import PartialState
from textgenome.evaluation import evaluate_model
from textgenome.inference import explain
from textgenome.inference.predictions import Predictions

model, table, folder, controls = sys.argv[1:]
asked, write = [], Predictions.write

def remember(self, records):
    asked.extend((record["condition"], record["row"]) for record in records)
    write(self, records)

Predictions.write = remember
evaluate_model(model, table, "val", folder, controls.split(","), mode="both", batch_size=2, max_new_tokens=3)
Path(folder).with_name(f"asked-{PartialState().process_index}.json").write_text(json.dumps(asked))
"""


@pytest.mark.slow
def test_two_processes_share_the_rows(table, tmp_path):
    run(table, tmp_path / "one", ["dna_exchanged"], mode="both")
    script = tmp_path / "evaluate.py"
    script.write_text(SHARED)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", script]
    command += [TINY_CHECKPOINT, table, tmp_path / "two", "dna_exchanged"]
    result = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for found, expected in zip(predictions(tmp_path / "two"), predictions(tmp_path / "one"), strict=True):
        # Other rows beside it change the last digits of a row's scores.
        assert found.pop("scores") == pytest.approx(expected.pop("scores"), abs=1e-4)
        assert found == expected
    assert not list((tmp_path / "two").glob("*.part.jsonl"))
    # Each is asked twice, to generate and to score, by one process.
    first, second = ({tuple(row) for row in json.loads(path.read_text())} for path in tmp_path.glob("asked-*.json"))
    assert not first & second and len(first | second) == 2 * ROWS
    # One process goes on where two have stopped.
    metrics = run(table, tmp_path / "two", ["dna_exchanged", "pair_swapped"], mode="both")
    assert metrics["conditions"]["pair_swapped"]["rows"] == ROWS
