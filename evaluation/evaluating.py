"""Evaluating a model, or the baselines: predictions, metrics and the report, in a folder."""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from transformers import (
    AutoModelForMultimodalLM,
    AutoModelForSequenceClassification,
    AutoProcessor,
    PreTrainedModel,
    set_seed,
)
from transformers.utils import logging

from textgenome.data.conversations import check_pair, row_to_messages
from textgenome.data.prompts import as_prompt, cut_windows
from textgenome.data.rows import fingerprint_rows, list_splits, load_rows
from textgenome.data.settings import remember_settings
from textgenome.evaluation.baselines import predict_baselines
from textgenome.evaluation.conditions import AS_IS, TEXT_ONLY
from textgenome.evaluation.controls import CONTROLS, DNA_CONTROLS
from textgenome.evaluation.report import write_report
from textgenome.evaluation.results import compare, summarize, versions
from textgenome.inference.answers import extract_answer, normalize_answer
from textgenome.inference.checkpoints import (
    fingerprint_weights,
    pin_revision,
    shown_in_training,
    thinks,
    training_settings,
)
from textgenome.inference.generation import generate
from textgenome.inference.predictions import (
    Predictions,
    classify_predictions,
    generate_predictions,
    join_processes,
    score_predictions,
)
from textgenome.processing.processing_textgenome import TextGenomeProcessor
from textgenome.processing.processing_textgenome_dna import TextGenomeDNAProcessor


logger = logging.get_logger(__name__)

PRIMARY_CONTROLS = ("dna_exchanged", "dna_removed")


def evaluate_model(
    model: str,
    dataset_name: str,
    split: str,
    output_dir: str | Path,
    controls: list[str],
    baselines: bool = False,
    text_only_model: str | None = None,
    mode: str = "generate",
    synonyms: dict[str, str] | None = None,
    revision: str = "main",
    dtype: str = "auto",
    batch_size: int = 64,
    enable_thinking: bool | None = None,
    on_bad_row: str = "raise",
    seed: int = 0,
    **generation_options,
) -> dict | None:
    """Evaluate a model on a table, and write `metrics.json`, `predictions.jsonl` and `report.html`.

    What was asked already is not asked again: the same call resumes a run that was killed, and adds controls to one
    that is finished. Processes under `accelerate launch` share the rows.

    Args:
        model: Folder or Hub id of a fused or a DNA-only model, or folder of an adapter.
        dataset_name: See `load_rows`.
        split: Which of its splits.
        output_dir: Where to.
        controls: Names in `CONTROLS`. One that changes nothing that the model sees is left out.
        baselines: Whether to fit the trivial baselines on the train split, too.
        text_only_model: A model that was trained by the same recipe with `dna: none`.
        mode: Of a fused model: `generate`, `score` (rank the known answers, without generation), or `both`.
        synonyms: See `score_answers`.
        revision: Of the model on the Hub.
        dtype: Of its weights.
        batch_size: Rows at a time.
        enable_thinking: Whether the model reasons first; by default if it was trained to, as far as that is known.
        on_bad_row: See `load_rows`.
        seed: Of controls, sampling and bootstrap.
        generation_options: For `model.generate`.

    Returns:
        The content of `metrics.json`, on the main process.

    Raises:
        ValueError: If a row cannot be asked about, or if `output_dir` holds another run.
    """
    started, state, output_dir = time.monotonic(), join_processes(), Path(output_dir)
    revision = pin_revision(model, revision)
    processor = AutoProcessor.from_pretrained(model, revision=revision)
    dna_only = isinstance(processor, TextGenomeDNAProcessor)
    shown, enable_thinking = shown_in_training(model), thinks(model, enable_thinking)
    check = {"check": check_pair if dna_only else row_to_messages, "on_bad_row": on_bad_row}
    rows = load_rows(
        dataset_name,
        split,
        **check,
        **({} if dna_only else shown),
        dna_window=processor.dna_window,
        dna_tokenizer=processor.dna_tokenizer,
    ).to_list()
    windows = cut_windows(rows, dna_window=processor.dna_window, **shown)
    truths = [row["answer"] for row in rows]
    train_rows = load_train_rows(dataset_name, split, **check) if baselines else []
    labels = known_answers(dataset_name, rows, **check) if mode != "generate" and not dna_only else []
    run = {
        "model": model,
        "revision": revision,
        "weights": fingerprint_weights(model),
        "dataset_name": dataset_name,
        "split": split,
        "data_fingerprint": fingerprint_rows(rows),
        "dtype": dtype,
        "enable_thinking": enable_thinking,
        **shown,
        "seed": seed,
        "generation": {"do_sample": False, **generation_options},
    }
    if text_only_model is not None:
        run |= {"text_only_model": text_only_model, "text_only_weights": fingerprint_weights(text_only_model)}
    with state.main_process_first():
        remember_settings(run, output_dir, "evaluation")
    predictions = Predictions(output_dir)

    def ask(name: str, revision: str, conditions: dict[str, list[dict]]) -> None:
        set_seed(seed)
        processor = AutoProcessor.from_pretrained(name, revision=revision)
        classifies = isinstance(processor, TextGenomeDNAProcessor)
        auto_class = AutoModelForSequenceClassification if classifies else AutoModelForMultimodalLM
        loaded = auto_class.from_pretrained(name, revision=revision, dtype=dtype).to(state.device)
        for condition, given in conditions.items():
            if classifies:
                classify_predictions(loaded, processor, given, condition, predictions, batch_size)
                continue
            if mode != "score":
                options = {"batch_size": batch_size, "enable_thinking": enable_thinking, **generation_options}
                generate_predictions(loaded, processor, given, condition, predictions, **options)
            if mode != "generate":
                score_predictions(loaded, processor, given, condition, predictions, labels, batch_size)

    conditions = {AS_IS: windows}
    for name in controls:
        changed = windows if dna_only and name not in DNA_CONTROLS else CONTROLS[name](windows, seed)
        if changed == windows:
            logger.warning(f"{name}: of these rows it leaves this model nothing else to see. It is left out.")
        else:
            conditions[name] = changed
    names = [*conditions]
    ask(model, revision, conditions)
    if text_only_model is not None:
        names.append(TEXT_ONLY)
        ask(text_only_model, "main", {TEXT_ONLY: cut_windows(rows, dna="none")})
    predictions.merge()
    if not state.is_main_process:
        return None

    # What another mode has left in the folder does not count.
    counted = {"generate": ("output", "tokens"), "score": ("scores",), "both": ("output", "tokens", "scores")}[mode]
    counted = ("scores",) if dna_only else counted
    known = {
        name: [{key: record[key] for key in ("row", *counted) if key in record} for record in predictions.of(name)]
        for name in names
    }
    if baselines:
        known |= baseline_records(train_rows, rows)
    metrics = {**run, "mode": "classify" if dna_only else mode, "recipe": training_settings(model) or None}
    metrics["conditions"] = {
        name: {
            **summarize(name, records, truths, synonyms, seed),
            **(compare(records, known[AS_IS], truths) if name != AS_IS else {}),
        }
        for name, records in known.items()
    }
    metrics |= {"wall_time_s": round(time.monotonic() - started, 1), **surroundings()}
    return write_results(output_dir, metrics, rows, known)


def evaluate_baselines(
    dataset_name: str,
    split: str,
    output_dir: str | Path,
    synonyms: dict[str, str] | None = None,
    on_bad_row: str = "raise",
    seed: int = 0,
) -> dict:
    """Fit the trivial baselines on the train split, and write what `evaluate_model` writes. It takes no model.

    The table needs no `question`; the baselines that do are left out without.
    """
    started, check = time.monotonic(), {"check": check_pair, "on_bad_row": on_bad_row}
    rows = load_rows(dataset_name, split, **check).to_list()
    truths = [row["answer"] for row in rows]
    known = baseline_records(load_train_rows(dataset_name, split, **check), rows)
    metrics = {
        "dataset_name": dataset_name,
        "split": split,
        "data_fingerprint": fingerprint_rows(rows),
        "seed": seed,
        "conditions": {name: summarize(name, records, truths, synonyms, seed) for name, records in known.items()},
        "wall_time_s": round(time.monotonic() - started, 1),
        **surroundings(),
    }
    return write_results(Path(output_dir), metrics, rows, known)


def compare_controls(
    model: PreTrainedModel,
    processor: TextGenomeProcessor,
    rows: list[Mapping],
    dna: str = "variant",
    dna_truncation: str = "variant_window",
    enable_thinking: bool = True,
    batch_size: int = 64,
    seed: int = 0,
    **generation_options,
) -> dict[str, float]:
    """Accuracy by generation: of the unchanged rows, with the DNA exchanged between rows, and with it removed.

    Nothing is written.

    Args:
        model: The fused model.
        processor: Its processor.
        rows: Rows with the five columns of `row_to_messages`.
        dna: How the model was trained; with `none` there is no DNA to exchange or remove.
        dna_truncation: How it was trained.
        enable_thinking: Whether it was trained to reason first.
        batch_size: Rows at a time.
        seed: Which rows exchange their DNA.
        generation_options: For `model.generate`.

    Returns:
        The accuracies between 0 and 1 by the name of the condition, see `CONDITIONS`.
    """
    shown = {"dna": dna, "dna_truncation": dna_truncation, "dna_window": processor.dna_window}
    windows = cut_windows(rows, **shown)
    truths = [row["answer"] for row in rows]
    accuracies = {}
    for name in (AS_IS, *PRIMARY_CONTROLS):
        given = windows if name == AS_IS else CONTROLS[name](windows, seed)
        if name != AS_IS and given == windows:
            continue  # without DNA, or with one row, there is nothing to change
        texts = generate(
            model,
            processor,
            [as_prompt(row) for row in given],
            batch_size=batch_size,
            enable_thinking=enable_thinking,
            description=name,
            **generation_options,
        )
        right = [extract_answer(text) == normalize_answer(truth) for text, truth in zip(texts, truths)]
        accuracies[name] = sum(right) / len(right)
    return accuracies


def baseline_records(train_rows: list[Mapping], rows: list[Mapping]) -> dict[str, list[dict]]:
    return {
        name: [{"row": row, "answer": normalize_answer(answer)} for row, answer in enumerate(answers)]
        for name, answers in predict_baselines(train_rows, rows).items()
    }


def load_train_rows(dataset_name: str, evaluated_split: str, **check) -> list[dict]:
    if list_splits(dataset_name) == ["train"]:
        raise ValueError(f"{dataset_name} has one split: baselines would be fitted to the rows they are evaluated on.")
    if evaluated_split == "train":
        raise ValueError("The baselines are fitted to the split train: evaluate on another one.")
    return [row for row in load_rows(dataset_name, "train", **check).to_list() if row.get("messages") is None]


def known_answers(dataset_name: str, rows: list[dict], **check) -> list[str]:
    """The answers of the train split, if there is one, and of the rows."""
    train = load_rows(dataset_name, "train", **check).to_list() if "train" in list_splits(dataset_name) else []
    return sorted({row["answer"].strip() for row in (*train, *rows) if row.get("answer") is not None})


def surroundings() -> dict:
    return {"versions": versions(), "date": datetime.now(UTC).isoformat(timespec="seconds")}


def write_results(folder: Path, metrics: dict, rows: list[Mapping], known: dict[str, list[dict]]) -> dict:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    write_report(folder / "report.html", metrics, rows, known)
    return metrics
