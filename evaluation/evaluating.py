"""Evaluating a model, or the baselines: predictions, metrics and the report, in a folder."""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from transformers import (
    PreTrainedModel,
    set_seed,
)
from transformers.utils import logging

from textgenome.data.conversations import check_pair
from textgenome.data.prompts import as_prompt, cut_windows, reading_options
from textgenome.data.rows import fingerprint_rows, list_splits, load_rows
from textgenome.data.settings import remember_settings
from textgenome.evaluation.baselines import predict_baselines
from textgenome.evaluation.conditions import AS_IS, TEXT_ONLY
from textgenome.evaluation.controls import CONTROLS, DNA_CONTROLS
from textgenome.evaluation.report import write_report
from textgenome.evaluation.results import compare, summarize, versions
from textgenome.inference.answers import extract_answer, normalize_answer
from textgenome.inference.checkpoints import (
    Checkpoint,
    fingerprint_weights,
    open_checkpoint,
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


logger = logging.get_logger(__name__)

PRIMARY_CONTROLS = ("dna_exchanged", "dna_removed")
# What counts in each mode: another mode may have left its own in the folder.
COUNTED = {
    "generate": ("output", "tokens"),
    "score": ("scores",),
    "both": ("output", "tokens", "scores"),
    "classify": ("scores",),
}


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
    checkpoint = open_checkpoint(model, revision)
    kind, processor = checkpoint.kind, checkpoint.processor
    text_only = None if text_only_model is None else open_checkpoint(text_only_model)
    thinks = getattr(processor, "reasons", False) if enable_thinking is None else enable_thinking
    reading, check = reading_options(processor), {"check": kind.check, "on_bad_row": on_bad_row}
    rows = load_rows(dataset_name, split, **check, **reading, dna_tokenizer=processor.dna_tokenizer).to_list()
    windows = cut_windows(rows, **reading)
    train_rows = load_train_rows(dataset_name, split, **check) if baselines else []
    settings = {
        "model": model,
        "revision": checkpoint.revision,
        "weights": fingerprint_weights(model),
        "dataset_name": dataset_name,
        "split": split,
        "data_fingerprint": fingerprint_rows(rows),
        "dtype": dtype,
        "enable_thinking": thinks,
        **reading,
        "seed": seed,
        "generation": {"do_sample": False, **generation_options},
    }
    if text_only:
        settings |= {"text_only_model": text_only_model, "text_only_weights": fingerprint_weights(text_only_model)}
    with state.main_process_first():
        remember_settings(settings, output_dir, "evaluation")
    predictions = Predictions(output_dir)
    mode = mode if kind.writes_text else "classify"
    labels = known_answers(dataset_name, rows, **check) if mode in ("score", "both") else []
    options = {"batch_size": batch_size, "enable_thinking": thinks, **generation_options}

    conditions = {AS_IS: windows, **change_rows(windows, controls, kind.writes_text, seed)}
    names = [*conditions]
    set_seed(seed)
    predict_conditions(checkpoint, dtype, conditions, predictions, mode, labels, **options)
    if text_only:
        names.append(TEXT_ONLY)
        conditions = {TEXT_ONLY: cut_windows(rows, dna="none")}
        set_seed(seed)
        predict_conditions(text_only, dtype, conditions, predictions, mode, labels, **options)
    predictions.merge()
    if not state.is_main_process:
        return None

    known = {name: predictions.of(name, COUNTED[mode]) for name in names}
    if baselines:
        known |= baseline_records(train_rows, rows)
    metrics = {**settings, "mode": mode, "recipe": training_settings(model) or None}
    metrics["conditions"] = summarize_conditions(known, [row["answer"] for row in rows], synonyms, seed)
    metrics |= {"wall_time_s": round(time.monotonic() - started, 1), **surroundings()}
    return write_results(output_dir, metrics, rows, known)


def change_rows(windows: list[dict], controls: list[str], reads_text: bool, seed: int) -> dict[str, list[dict]]:
    """The rows as each control shows them, by its name. One that changes nothing the model sees is left out."""
    conditions = {}
    for name in controls:
        changed = CONTROLS[name](windows, seed) if reads_text or name in DNA_CONTROLS else windows
        if changed == windows:
            logger.warning(f"{name}: it changes nothing that this model sees of these rows, and is left out.")
        else:
            conditions[name] = changed
    return conditions


def predict_conditions(
    checkpoint: Checkpoint,
    dtype: str,
    conditions: dict[str, list[dict]],
    predictions: Predictions,
    mode: str,
    labels: list[str],
    batch_size: int,
    **options,
) -> None:
    """Load a model and let it predict all rows under all conditions. The options are those of `generate_batches`."""
    model, processor = checkpoint.load(dtype).to(join_processes().device), checkpoint.processor
    for name, rows in conditions.items():
        if mode == "classify":
            classify_predictions(model, processor, rows, name, predictions, batch_size)
        if mode in ("generate", "both"):
            generate_predictions(model, processor, rows, name, predictions, batch_size=batch_size, **options)
        if mode in ("score", "both"):
            score_predictions(model, processor, rows, name, predictions, labels, batch_size)


def summarize_conditions(
    known: dict[str, list[dict]], truths: list[str], synonyms: dict[str, str] | None, seed: int
) -> dict[str, dict]:
    """Scores of each condition and, of all but the first, its difference to the model as it is."""
    return {
        name: {
            **summarize(name, records, truths, synonyms, seed),
            **(compare(records, known[AS_IS], truths) if name != AS_IS else {}),
        }
        for name, records in known.items()
    }


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
    batch_size: int = 64,
    seed: int = 0,
    **generation_options,
) -> dict[str, float]:
    """Accuracy by generation: of the unchanged rows, with the DNA exchanged between rows, and with it removed.

    Nothing is written.

    Args:
        model: The fused model.
        processor: Its processor, which knows how the model was trained to read rows.
        rows: Rows with the five columns of `row_to_messages`.
        batch_size: Rows at a time.
        seed: Which rows exchange their DNA.
        generation_options: For `model.generate`.

    Returns:
        The accuracies between 0 and 1 by the name of the condition, see `CONDITIONS`.
    """
    windows = cut_windows(rows, **reading_options(processor))
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
            enable_thinking=processor.reasons,
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
