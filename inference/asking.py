"""Asking a trained model: about rows in memory, or about a table or a VCF file, into a folder, resumable."""

import math
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

from transformers import AutoModelForMultimodalLM, AutoProcessor, PreTrainedModel

from textgenome.data.conversations import BadRow, row_to_messages
from textgenome.data.files import write_rows
from textgenome.data.prompts import as_prompt, cut_windows
from textgenome.data.rows import fingerprint_rows, load_rows
from textgenome.data.settings import remember_settings
from textgenome.data.variants import read_variants
from textgenome.genome.vcf import annotate_vcf
from textgenome.inference.answers import normalize_answer, split_output
from textgenome.inference.checkpoints import fingerprint_weights, pin_revision, shown_in_training, thinks
from textgenome.inference.generation import generate
from textgenome.inference.predictions import (
    Predictions,
    generate_predictions,
    join_processes,
    score_predictions,
)
from textgenome.inference.scoring import score_labels
from textgenome.processing.processing_textgenome import TextGenomeProcessor


ASKED = "asked"


def load_model(model: str, revision: str = "main", dtype: str = "auto") -> tuple[PreTrainedModel, TextGenomeProcessor]:
    """Load a model, on the GPU where there is one, and its processor.

    Args:
        model: Folder or Hub id of a model, or folder of an adapter.
        revision: Of the model on the Hub.
        dtype: Of its weights.

    Raises:
        ValueError: If it is no fused model.
    """
    processor = AutoProcessor.from_pretrained(model, revision=revision)
    if not isinstance(processor, TextGenomeProcessor):
        raise ValueError(f"{model} is no fused model: its processor does not take text and DNA together.")
    loaded = AutoModelForMultimodalLM.from_pretrained(model, revision=revision, dtype=dtype)
    return loaded.to(join_processes().device), processor


def ask(
    model: PreTrainedModel,
    processor: TextGenomeProcessor,
    rows: list[Mapping],
    labels: list[str] | None = None,
    dna: str = "variant",
    dna_truncation: str = "variant_window",
    batch_size: int = 64,
    enable_thinking: bool = True,
    **generation_options,
) -> list[dict]:
    """Ask about rows; nothing is written.

    Args:
        model: The fused model.
        processor: Its processor.
        rows: Rows with `question`, `reference_sequence` and `variant_sequence`.
        labels: Answers to choose from.
        dna: How the model was trained.
        dna_truncation: How it was trained.
        batch_size: Rows at a time.
        enable_thinking: Whether the model reasons first.
        generation_options: For `model.generate`.

    Returns:
        For each row, in their order, `reasoning`, `answer` (None where the model gave none) and, with labels,
        `scores`: by label the probability among the labels, in the place of the answer (see `score_batch`).

    Raises:
        ValueError: If a row is none that the model could be asked about.
    """
    for number, row in enumerate(rows):
        try:
            row_to_messages(row, dna, dna_truncation, processor.dna_window, processor.dna_tokenizer, answered=False)
        except BadRow as error:
            raise ValueError(f"Row {number}, column {error.column!r}: {error}") from error
    prompts = [as_prompt(row) for row in cut_windows(rows, dna, dna_truncation, processor.dna_window)]
    options = {"batch_size": batch_size, "enable_thinking": enable_thinking, **generation_options}
    texts = generate(model, processor, prompts, **options)
    scores = score_labels(model, processor, prompts, labels, batch_size, outputs=texts) if labels else ()
    scores = dict(chain.from_iterable(scores))
    return [_as_answer(text, scores.get(i)) for i, text in enumerate(texts)]


def ask_table(
    model: str,
    dataset_name: str,
    output_dir: str | Path,
    split: str = "train",
    on_bad_row: str = "raise",
    revision: str = "main",
    **options,
) -> list[dict] | None:
    """Ask about the rows of a table, and write `answers.jsonl`.

    Args:
        model: See `load_model`.
        dataset_name: See `load_rows`; the rows need no answer.
        output_dir: Where to.
        split: Which of its splits; a file is one split, `train`.
        on_bad_row: See `load_rows`.
        revision: See `load_model`.
        options: See `ask_rows`.

    Returns:
        What `ask_rows` returns.
    """
    revision = pin_revision(model, revision)
    shown = conversation_options(model, revision)
    rows = load_rows(dataset_name, split, on_bad_row, numbered=True, answered=False, **shown).to_list()
    return ask_rows(model, rows, output_dir, revision=revision, **options)


def ask_vcf(
    model: str,
    vcf: str | Path,
    fasta: str | Path,
    question: str,
    output_dir: str | Path,
    window: int = 2048,
    on_bad_row: str = "raise",
    revision: str = "main",
    labels: list[str] | None = None,
    **options,
) -> list[dict] | None:
    """Ask about each ALT allele of a VCF file, and write `answers.jsonl` and `answers.vcf.gz`.

    In the VCF file, INFO has `TG_ANSWER` and, with labels, `TG_SCORE`, the probability of that answer among them.

    Args:
        model: See `load_model`.
        vcf: See `read_variants`; no pipe, for it is read twice.
        fasta: The genome.
        question: To be asked about each variant.
        output_dir: Where to.
        window: Most bases of a window around the variant; of these the model sees what its own window holds.
        on_bad_row: As in `read_variants`.
        revision: See `load_model`.
        labels: See `ask`.
        options: See `ask_rows`.

    Returns:
        What `ask_rows` returns.
    """
    if not Path(vcf).is_file():
        raise ValueError(f"{vcf}: it must be a file, for it is read twice, as a pipe cannot be.")
    revision = pin_revision(model, revision)
    shown = conversation_options(model, revision)
    with join_processes().main_process_first():  # it may have to write the index of the genome
        rows = list(read_variants(vcf, fasta, question, window, on_bad_row=on_bad_row, **shown))
    answers = ask_rows(model, rows, output_dir, labels, revision, **options)
    if answers is not None:
        fields = {"TG_ANSWER": ("String", f"Answer of {model} to: {question} (percent-encoded)")}
        if labels:
            fields["TG_SCORE"] = ("Float", f"Probability of TG_ANSWER among the labels: {', '.join(labels)}")
        values = {
            each["variant"]: {"TG_ANSWER": each["answer"], "TG_SCORE": _score_of_answer(each)} for each in answers
        }
        annotate_vcf(vcf, Path(output_dir) / "answers.vcf.gz", fields, values)
    return answers


def ask_rows(
    model: str,
    rows: list[Mapping],
    output_dir: str | Path,
    labels: list[str] | None = None,
    revision: str = "main",
    dtype: str = "auto",
    batch_size: int = 64,
    enable_thinking: bool | None = None,
    **generation_options,
) -> list[dict] | None:
    """Ask about rows, and write `answers.jsonl`; no sequence is written, but what the names of variants hold.

    The same call resumes a run that was killed. Processes under `accelerate launch` share the rows.

    Args:
        model: See `load_model`.
        rows: As in `ask`, and perhaps `variant`, a name, or `row`, a number.
        output_dir: Where to.
        labels: See `ask`, like the following.
        revision: See `load_model`.
        dtype: See `load_model`.
        batch_size: Rows at a time.
        enable_thinking: Whether the model reasons first, by default if it was trained to.
        generation_options: For `model.generate`.

    Returns:
        On the main process, for each row what `ask` returns, after its `variant` or else its number, `row`.

    Raises:
        ValueError: If there are no rows, one is none to ask about, or `output_dir` holds another run.
    """
    if not rows:
        raise ValueError("There is nothing to ask about.")
    state, output_dir, enable_thinking = join_processes(), Path(output_dir), thinks(model, enable_thinking)
    run = {
        "model": model,
        "revision": revision,
        "weights": fingerprint_weights(model),
        "data_fingerprint": fingerprint_rows(rows),
        "labels": labels,
        "dtype": dtype,
        "enable_thinking": enable_thinking,
        "generation": {"do_sample": False, **generation_options},
    }
    with state.main_process_first():
        remember_settings(run, output_dir, "asking")
    predictions = Predictions(output_dir)
    loaded, processor = load_model(model, revision, dtype)
    windows = cut_windows(rows, dna_window=processor.dna_window, **shown_in_training(model))
    options = {"batch_size": batch_size, "enable_thinking": enable_thinking, **generation_options}
    generate_predictions(loaded, processor, windows, ASKED, predictions, **options)
    if labels:
        score_predictions(loaded, processor, windows, ASKED, predictions, labels, batch_size, behind_reasoning=True)
    predictions.merge()
    if not state.is_main_process:
        return None
    answers = [
        {**_name_of(row, number), **_as_answer(record["output"], record.get("scores"))}
        for number, (row, record) in enumerate(zip(rows, predictions.of(ASKED)))
    ]
    write_rows(answers, output_dir / "answers.jsonl")
    return answers


def conversation_options(model: str, revision: str = "main") -> dict:
    """What `row_to_messages` must know of a model to check the rows that it is asked about."""
    processor = AutoProcessor.from_pretrained(model, revision=revision)
    shown = {"dna_window": processor.dna_window, "dna_tokenizer": processor.dna_tokenizer}
    return shown | shown_in_training(model)


def _name_of(row: Mapping, number: int) -> dict:
    return {"variant": row["variant"]} if row.get("variant") else {"row": row.get("row", number)}


def _as_answer(text: str, scores: Mapping[str, float] | None) -> dict:
    reasoning, answer = split_output(text)
    probabilities = {"scores": {label: math.exp(score) for label, score in scores.items()}} if scores else {}
    return {"reasoning": reasoning, "answer": answer, **probabilities}


def _score_of_answer(answer: Mapping) -> float | None:
    if answer["answer"] is None:
        return None
    scores = {normalize_answer(label): score for label, score in answer.get("scores", {}).items()}
    return scores.get(normalize_answer(answer["answer"]))


__all__ = ["ask", "ask_rows", "ask_table", "ask_vcf", "conversation_options", "load_model"]
