"""Asking a trained model: about rows in memory, or about a table or a VCF file, into a folder, resumable."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

from transformers import PreTrainedConfig, PreTrainedModel

from textgenome.data.conversations import BadRow
from textgenome.data.files import write_rows
from textgenome.data.forms import TableForm
from textgenome.data.prompts import as_prompt, check_options, cut_each, cut_window, cut_windows, reading_options
from textgenome.data.rows import read_rows
from textgenome.data.settings import remember_settings
from textgenome.data.stored_rows import ChangedRows, StoredRows
from textgenome.data.variants import read_variants
from textgenome.genome.annotating import NOTICE, annotate_vcf, check_vcf
from textgenome.inference.answers import normalize_answer, split_output
from textgenome.inference.checkpoints import Checkpoint, open_checkpoint, without_path
from textgenome.inference.generation import check_prompts, check_question, generate, most_positions
from textgenome.inference.predictions import (
    Predictions,
    generate_predictions,
    join_processes,
    one_writer,
    prediction_settings,
    score_predictions,
)
from textgenome.inference.scoring import check_labels, score_labels
from textgenome.inference.without_dna import WITHOUT_DNA, leave_out_dna, question_of
from textgenome.processing.processing_dna import DNA_WINDOW
from textgenome.processing.processing_textgenome import TextGenomeProcessor


ASKED = "asked"


def open_fused(name: str, revision: str | None = "main") -> Checkpoint:
    """Open a model that writes text.

    Raises:
        ValueError: If it is another kind of model.
    """
    checkpoint = open_checkpoint(name, revision)
    if not checkpoint.kind.writes_text:
        raise ValueError(f"{name} is a {checkpoint.kind.model_class.__name__}: it has no language model to ask.")
    return checkpoint


def ask_model(
    model: PreTrainedModel,
    processor: TextGenomeProcessor,
    rows: list[Mapping],
    labels: list[str] | None = None,
    batch_size: int = 64,
    enable_thinking: bool | None = None,
    **generation_options,
) -> list[dict]:
    """Ask about rows, in the way the model was trained to read them; nothing is written.

    Args:
        model: The fused model.
        processor: Its processor.
        rows: Rows with `question`, `reference_sequence` and `variant_sequence`.
        labels: Answers to choose from.
        batch_size: Rows at a time.
        enable_thinking: Whether the model reasons first, by default if it was trained to.
        generation_options: For `model.generate`.

    Returns:
        For each row, in their order, `reasoning`, `answer` (None where the model gave none) and, with labels,
        `scores`: by label the probability among the labels, in the place of the answer (see `score_batch`); and
        `scores_without_dna`, the same if the question is asked without DNA.

    Raises:
        ValueError: If the model cannot be asked about a row, or a label cannot be scored.
    """
    check_labels(labels or [], processor)
    thinks = processor.reasons if enable_thinking is None else enable_thinking
    checks = _checks(processor, model.config, thinks)
    for number, row in enumerate(rows):
        try:
            check_question(row, **checks)
        except BadRow as error:
            raise ValueError(f"Row {number}, column {error.column!r}: {error}") from error
    windows = cut_windows(rows, **reading_options(processor))
    references = leave_out_dna(windows) if labels else []
    prompts = [as_prompt(row) for row in [*windows, *references]]
    options = {"batch_size": batch_size, "enable_thinking": thinks, **generation_options}
    texts = generate(model, processor, prompts, **options)
    scores = score_labels(model, processor, prompts, labels, batch_size, outputs=texts) if labels else ()
    scores = dict(chain.from_iterable(scores))
    priors = {each["question"]: scores[i] for i, each in enumerate(references, len(rows))}
    return [_as_answer(texts[i], scores.get(i), priors.get(question_of(row))) for i, row in enumerate(rows)]


def ask_table(
    model: str,
    dataset_name: str,
    output_dir: str | Path,
    split: str = "train",
    on_bad_row: str = "raise",
    revision: str = "main",
    enable_thinking: bool | None = None,
    form: TableForm | None = None,
    **options,
) -> Sequence[dict] | None:
    """Ask about the rows of a table, and write `answers.jsonl`.

    Args:
        model: Folder or Hub id of a model, or folder of an adapter.
        dataset_name: See `load_rows`; the rows need no answer.
        output_dir: Where to.
        split: Which of its splits; a file is one split, `train`.
        on_bad_row: See `load_rows`.
        revision: Of a model on the Hub.
        enable_thinking: See `ask`.
        form: See `load_rows`.
        options: See `ask_rows`.

    Returns:
        What `ask_rows` returns.
    """
    checkpoint = open_fused(model, revision)
    thinks = checkpoint.processor.reasons if enable_thinking is None else enable_thinking
    checks = _checks(checkpoint.processor, checkpoint.config, thinks)
    rows = StoredRows(read_rows(dataset_name, split, on_bad_row, check_question, numbered=True, form=form, **checks))
    return ask_rows(checkpoint, rows, output_dir, enable_thinking=thinks, are_checked=True, **options)


def ask_vcf(
    model: str,
    vcf: str | Path,
    fasta: str | Path,
    question: str,
    output_dir: str | Path,
    window: int = DNA_WINDOW,
    on_bad_row: str = "raise",
    revision: str = "main",
    labels: list[str] | None = None,
    **options,
) -> Sequence[dict] | None:
    """Ask about each ALT allele of a VCF file, and write `answers.jsonl` and `answers.vcf.gz`.

    In the VCF file, INFO has `TG_ANSWER` and, with labels, `TG_SCORE`, the probability of that answer among them, and
    `TG_SCORE_NO_DNA`, its probability if the question is asked without DNA.

    Args:
        model: Folder or Hub id of a model, or folder of an adapter.
        vcf: See `read_variants`; no pipe, for it is read twice.
        fasta: The genome.
        question: To be asked about each variant; see `read_variants` for `{GENE}` in it.
        output_dir: Where to.
        window: Most bases of a window around the variant; of these the model sees what its own window holds.
        on_bad_row: As in `read_variants`.
        revision: Of a model on the Hub.
        labels: See `ask_model`.
        options: See `ask_rows`.

    Returns:
        What `ask_rows` returns.
    """
    if not Path(vcf).is_file():
        raise ValueError(f"{vcf}: it must be a file, for it is read twice, as a pipe cannot be.")
    checkpoint = open_fused(model, revision)
    checks = check_options(checkpoint.processor)
    with join_processes().main_process_first():  # it may have to write the index of the genome
        rows = StoredRows(read_variants(vcf, fasta, question, window, on_bad_row=on_bad_row, **checks))
    check_vcf(vcf)
    fields = {"TG_ANSWER": ("String", f"Answer of {without_path(model)} to: {question} (percent-encoded)")}
    if labels:
        fields["TG_SCORE"] = ("Float", f"Probability of TG_ANSWER among the labels: {', '.join(labels)}")
        fields["TG_SCORE_NO_DNA"] = ("Float", "Its probability if the question is asked without DNA")
    with one_writer(output_dir):
        answers = _ask_rows(checkpoint, rows, Path(output_dir), labels, **options)
        if answers is not None:
            values = ((each["variant"], _info_of(each)) for each in answers)
            annotate_vcf(vcf, Path(output_dir) / "answers.vcf.gz", fields, values)
    return answers


def ask_rows(
    checkpoint: Checkpoint,
    rows: Sequence[Mapping],
    output_dir: str | Path,
    labels: list[str] | None = None,
    **options,
) -> Sequence[dict] | None:
    """Ask about rows, and write `answers.jsonl`; no sequence is written, but what the names of variants hold.

    The same call resumes a run that was killed. Processes under `accelerate launch` share the rows.

    Args:
        checkpoint: See `open_fused`.
        rows: As in `ask_model`, and perhaps `variant`, a name, or `row`, a number.
        output_dir: Where to.
        labels: See `ask_model`.
        options: `dtype`, the data type of the weights; `are_checked`, if each row has passed `check_question`; and
            further arguments of `ask_model`.

    Returns:
        On the main process, for each row what `ask_model` returns, after its `variant` or else its number, `row`. The
        answers are read from a file when they are asked for, so that those to a cohort take no memory.

    Raises:
        OSError: If another process writes to `output_dir`.
        ValueError: If there are no rows, the model cannot be asked about one, a label cannot be scored, or
            `output_dir` holds another run.
    """
    join_processes()
    with one_writer(output_dir):
        return _ask_rows(checkpoint, rows, Path(output_dir), labels, **options)


def _ask_rows(
    checkpoint: Checkpoint,
    rows: Sequence[Mapping],
    output_dir: Path,
    labels: list[str] | None = None,
    dtype: str = "auto",
    batch_size: int = 64,
    enable_thinking: bool | None = None,
    are_checked: bool = False,
    **generation_options,
) -> Sequence[dict] | None:
    if not rows:
        raise ValueError("There is nothing to ask about.")
    state, processor = join_processes(), checkpoint.processor
    check_labels(labels or [], processor)
    thinks = processor.reasons if enable_thinking is None else enable_thinking
    reading = reading_options(processor)
    if not are_checked:
        prompts = map(as_prompt, cut_each(rows, **reading))
        check_prompts(processor, prompts, most_positions(checkpoint.config), thinks)
    windows = ChangedRows(rows, partial(cut_window, **reading))
    settings = prediction_settings(checkpoint, rows, dtype, thinks, generation_options)
    if state.is_main_process:
        remember_settings({**settings, "labels": labels}, output_dir, "asking")
    predictions = Predictions(output_dir)
    model = checkpoint.load(dtype).to(state.device)
    options = {"batch_size": batch_size, "enable_thinking": thinks, **generation_options}
    generate_predictions(model, processor, windows, ASKED, predictions, **options)
    references = leave_out_dna(rows) if labels else []
    if labels:
        generate_predictions(model, processor, references, WITHOUT_DNA, predictions, **options)
        for shown, condition in ((windows, ASKED), (references, WITHOUT_DNA)):
            score_predictions(model, processor, shown, condition, predictions, labels, batch_size, True)
    predictions.merge()
    if not state.is_main_process:
        return None
    asked = zip(references, predictions.of(WITHOUT_DNA))
    priors = {each["question"]: record["scores"] for each, record in asked}
    answers = StoredRows(
        {**_name_of(row, i), **_as_answer(said["output"], said.get("scores"), priors.get(question_of(row)))}
        for i, (row, said) in enumerate(zip(rows, predictions.of(ASKED)))
    )
    write_rows(answers, output_dir / "answers.jsonl")
    return answers


def _checks(processor: TextGenomeProcessor, config: PreTrainedConfig, enable_thinking: bool) -> dict:
    """The options of `check_question` for a model."""
    checks = {"processor": processor, "positions": most_positions(config), "enable_thinking": enable_thinking}
    return {**checks, **check_options(processor), "answered": False}


def _name_of(row: Mapping, number: int) -> dict:
    return {"variant": row["variant"]} if row.get("variant") else {"row": row.get("row", number)}


def _as_answer(text: str, scores: Mapping[str, float] | None, prior: Mapping[str, float] | None) -> dict:
    reasoning, answer = split_output(text)
    known = {name: given for name, given in (("scores", scores), ("scores_without_dna", prior)) if given}
    probabilities = {name: {label: math.exp(score) for label, score in given.items()} for name, given in known.items()}
    return {"reasoning": reasoning, "answer": answer, **probabilities}


def _info_of(answer: Mapping) -> dict:
    """The fields of a VCF file; `annotate_vcf` writes those that it is told of."""
    with_dna, without = (_score_of_answer(answer, name) for name in ("scores", "scores_without_dna"))
    return {"TG_ANSWER": answer["answer"], "TG_SCORE": with_dna, "TG_SCORE_NO_DNA": without}


def _score_of_answer(answer: Mapping, name: str) -> float | None:
    if answer["answer"] is None:
        return None
    scores = answer.get(name, {})
    folded = {normalize_answer(label): score for label, score in scores.items()}
    return scores.get(answer["answer"], folded.get(normalize_answer(answer["answer"])))


__all__ = ["NOTICE", "ask_model", "ask_rows", "ask_table", "ask_vcf", "open_fused"]
