"""Evaluating a model, or the baselines: predictions, metrics and the report, in a folder."""

import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property, partial
from itertools import chain
from operator import eq
from pathlib import Path

from transformers import (
    PreTrainedModel,
    set_seed,
)
from transformers.utils import logging

from textgenome.data.descriptions import Description, find_description
from textgenome.data.forms import TableForm
from textgenome.data.labels import is_pair
from textgenome.data.prompts import as_prompt, check_options, cut_each, cut_window, cut_windows, reading_options
from textgenome.data.rows import list_splits, load_rows, read_rows
from textgenome.data.settings import remember_settings
from textgenome.data.stored_rows import ChangedRows, StoredRows
from textgenome.evaluation.conditions import AS_IS, TEXT_ONLY, find_condition
from textgenome.evaluation.controls import CONTROLS, DNA_CONTROLS, SEQUENCE_CONTROLS
from textgenome.evaluation.evaluating_baselines import baseline_records, load_train_rows, write_results
from textgenome.evaluation.explained_mistakes import explain_mistakes
from textgenome.evaluation.report_parts import Figure
from textgenome.evaluation.results import compare, summarize
from textgenome.evaluation.sequence_results import SequenceTable, cut_sequences, write_sequence_results
from textgenome.inference.checkpoints import (
    Checkpoint,
    fingerprint_weights,
    open_checkpoint,
    training_settings,
)
from textgenome.inference.generation import check_prompts, check_question, generate, most_positions
from textgenome.inference.predictions import (
    Predictions,
    classify_predictions,
    generate_predictions,
    join_processes,
    one_writer,
    prediction_settings,
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


@dataclass
class Evaluation:
    """An evaluation of a model on a table, which `run` carries out.

    What was predicted already is not predicted again: the same evaluation resumes a run that was killed, and adds
    controls to one that is finished. Processes under `accelerate launch` share the rows.

    Args:
        model: Folder or Hub id of a fused or a DNA-only model, or folder of an adapter.
        dataset_name: See `load_rows`.
        split: Which of its splits.
        output_dir: Folder for the results.
        controls: Names in `CONTROLS`, or several of them joined by `+`. One that changes nothing that the model sees
            is left out.
        baselines: Whether to fit the baselines on the train split, too.
        text_only_model: A model that was trained by the same recipe with `dna: none`.
        mode: Of a fused model: `generate`, `score` (rank the known answers, without generation), or `both`.
        synonyms: See `score_answers`.
        revision: Of the model on the Hub.
        dtype: Data type of the weights.
        batch_size: Rows at a time.
        enable_thinking: Whether the model reasons first; by default if it was trained to.
        on_bad_row: See `load_rows`.
        seed: Of controls, sampling and bootstrap.
        explain_mistakes: How many of the worst mistakes to explain, by pictures in the report that show bases.
        description: Attributes of `Description` that replace those of the data set, unless they are None.
        generation_options: For `model.generate`.
        form: Which columns to read in place of the usual ones.
        tables: In place of what the splits hold, the rows to evaluate and those to fit baselines on.

    Raises:
        ValueError: If the model cannot read a row, or if `output_dir` holds another run.
    """

    model: str
    dataset_name: str
    split: str
    output_dir: str | Path
    controls: list[str]
    baselines: bool = False
    text_only_model: str | None = None
    mode: str = "generate"
    synonyms: dict[str, str] | None = None
    revision: str = "main"
    dtype: str = "auto"
    batch_size: int = 64
    enable_thinking: bool | None = None
    on_bad_row: str = "raise"
    seed: int = 0
    explain_mistakes: int = 0
    description: dict[str, str | None] = field(default_factory=dict)
    generation_options: dict = field(default_factory=dict)
    tables: tuple[Sequence[Mapping], list[Mapping]] | None = None
    form: TableForm | None = None

    def __post_init__(self):
        self.state, self.output_dir = join_processes(), Path(self.output_dir)
        self.checkpoint = open_checkpoint(self.model, self.revision)
        self.text_only = open_checkpoint(self.text_only_model) if self.text_only_model else None
        self.kind, processor = self.checkpoint.kind, self.checkpoint.processor
        self.mode = self.mode if self.kind.writes_text else "classify"
        if self.enable_thinking is None:
            self.enable_thinking = getattr(processor, "reasons", False)
        self.reading = reading_options(processor)
        self.check = {"check": self.kind.check, "on_bad_row": self.on_bad_row, "form": self.form}
        if self.mode == "classify":
            self.check["problem_type"] = self.checkpoint.config.problem_type
        checks = {**self.check, **check_options(processor)}
        if self.kind.writes_text:
            checks |= {"check": check_question, "processor": processor, "enable_thinking": self.enable_thinking}
            checks["positions"] = most_positions(self.checkpoint.config)
        self.rows, self.train_rows = self.tables or self.load_tables(checks)
        self.described = find_description(self.rows, **self.description)

    def load_tables(self, checks: dict) -> tuple[Sequence[dict], list[dict]]:
        """The rows to evaluate, and those to fit baselines on, if any are asked for or duplicates can be found."""
        if self.kind.writes_text:
            rows = StoredRows(read_rows(self.dataset_name, self.split, **checks), same_columns=True)
        else:
            rows = load_rows(self.dataset_name, self.split, **checks).to_list()
        train_rows = []
        finds_duplicates = self.mode == "classify" and "train" in list_splits(self.dataset_name) != ["train"]
        if self.baselines or (finds_duplicates and self.split != "train"):
            train_rows = load_train_rows(self.dataset_name, self.split, **self.check)
        return rows, train_rows

    @property
    def settings(self) -> dict:
        """What the predictions depend on."""
        settings = {
            "dataset_name": self.dataset_name,
            "split": self.split,
            "seed": self.seed,
            "description": asdict(self.described),
            **prediction_settings(
                self.checkpoint, self.rows, self.dtype, self.enable_thinking, self.generation_options
            ),
        }
        if self.mode != "generate":
            settings["labels"] = self.labels
        if self.text_only:
            settings["text_only_model"] = self.text_only_model
            settings["text_only_revision"] = self.text_only.revision
            settings["text_only_weights"] = fingerprint_weights(self.text_only_model)
        return settings

    def run(self) -> dict | None:
        """Predict and measure, and write `metrics.json`, `predictions.jsonl` and `report.html`.

        Returns:
            The content of `metrics.json`, on the main process.

        Raises:
            OSError: If another process writes to `output_dir`.
            ValueError: If `output_dir` holds another run.
        """
        with one_writer(self.output_dir):
            return self._run()

    def _run(self) -> dict | None:
        started, settings = time.monotonic(), self.settings
        windows = self.cut(self.rows)
        if self.state.is_main_process:
            remember_settings(settings, self.output_dir, "evaluation")
            if len(settings.get("labels", "more")) == 1:
                logger.warning(f"All rows have one answer, {settings['labels'][0]!r}: any model scores it as certain.")
        predictions = Predictions(self.output_dir)
        reads = CONTROLS if self.kind.writes_text else DNA_CONTROLS if is_pair(windows[0]) else SEQUENCE_CONTROLS
        conditions = change_rows(windows, self.controls, reads, self.seed, self.described)
        asked = [(self.checkpoint, {AS_IS: windows, **conditions})]
        if self.text_only:
            asked.append((self.text_only, {TEXT_ONLY: ChangedRows(self.rows, partial(cut_window, dna="none"))}))
        for checkpoint, changed in asked if self.kind.writes_text else ():
            self.check_lengths(checkpoint, changed)
        for checkpoint, changed in asked:
            self.predict(checkpoint, changed, predictions)
        predictions.merge()
        if not self.state.is_main_process:
            return None
        names = [AS_IS, *conditions, *([TEXT_ONLY] if self.text_only else [])]
        known = {name: predictions.of(name, COUNTED[self.mode]) for name in names}
        if self.mode == "classify":
            return self.write_classes(windows, known, started)
        if self.baselines:
            known |= baseline_records(self.train_rows, self.rows)
        truths = [sys.intern(row["answer"]) for row in self.rows]
        metrics = {**settings, "mode": self.mode, "recipe": training_settings(self.model) or None}
        metrics["conditions"] = summarize_conditions(known, truths, self.synonyms, self.seed)
        metrics["wall_time_s"] = round(time.monotonic() - started, 1)
        loci = [self.described.locus(row) for row in self.rows]
        loci, explain = loci if any(loci) else None, self.explain_of(windows)
        return write_results(self.output_dir, metrics, self.rows, known, loci, explain)

    def cut(self, rows: Sequence[Mapping]) -> Sequence[dict]:
        """The rows as the model reads them."""
        if self.kind.writes_text:
            return StoredRows(cut_each(rows, **self.reading))
        return cut_sequences(rows, **self.reading)

    def write_classes(self, windows: list[dict], known: dict[str, list[dict]], started: float) -> dict:
        """Measure what a head on DNA predicts, beside the baselines."""
        loci = [self.described.locus(row) for row in self.rows] if self.described.locus_column else None
        problem_type = self.checkpoint.config.problem_type
        table = SequenceTable(self.cut(self.train_rows), windows, self.labels, problem_type, loci)
        scores = {name: table.as_scores(records) for name, records in known.items()}
        scores |= table.predict_baselines(self.seed) if self.baselines else {}
        facts = {**self.settings, "mode": self.mode, "recipe": training_settings(self.model) or None}
        facts["wall_time_s"] = round(time.monotonic() - started, 1)
        return write_sequence_results(self.output_dir, table, scores, facts, self.seed, self.explain_of(windows))

    def explain_of(self, windows: Sequence[Mapping]) -> Callable[[Sequence[Mapping]], list[Figure]] | None:
        """What explains mistakes about rows, if that is asked for."""
        if not self.explain_mistakes:
            return None
        options = {"dtype": self.dtype, "batch_size": self.batch_size}
        if self.kind.writes_text:
            options |= {"enable_thinking": self.enable_thinking}
            options |= {"max_new_tokens": self.generation_options.get("max_new_tokens", 1024)}
        return partial(
            explain_mistakes, checkpoint=self.checkpoint, rows=windows, count=self.explain_mistakes, **options
        )

    def check_lengths(self, checkpoint: Checkpoint, conditions: dict[str, Sequence[dict]]) -> None:
        """Raise `ValueError` for a prompt that leaves no room for an answer: a control may make it longer."""
        for name, rows in conditions.items():
            try:
                positions = most_positions(checkpoint.config)
                check_prompts(checkpoint.processor, map(as_prompt, rows), positions, self.enable_thinking)
            except ValueError as error:
                raise ValueError(f"{find_condition(name).title}: {error}") from error

    def predict(self, checkpoint: Checkpoint, conditions: dict[str, Sequence[dict]], predictions: Predictions) -> None:
        """Load a model and let it predict all rows under all conditions."""
        set_seed(self.seed)
        model, processor = checkpoint.load(self.dtype).to(self.state.device), checkpoint.processor
        options = {"enable_thinking": self.enable_thinking, **self.generation_options}
        for name, rows in conditions.items():
            if self.mode == "classify":
                classify_predictions(model, processor, rows, name, predictions, self.batch_size)
            if self.mode in ("generate", "both"):
                generate_predictions(model, processor, rows, name, predictions, batch_size=self.batch_size, **options)
            if self.mode in ("score", "both"):
                score_predictions(model, processor, rows, name, predictions, self.labels, self.batch_size)

    @cached_property
    def labels(self) -> list[str]:
        """The answers that are ranked."""
        if self.mode == "classify":
            return list(self.checkpoint.config.label2id)
        return known_answers(self.dataset_name, self.rows, **self.check)


def evaluate_model(
    model: str, dataset_name: str, split: str, output_dir: str | Path, controls: list[str], **options
) -> dict | None:
    """Evaluate a model on a table. The options are the fields of `Evaluation`; others are for `model.generate`."""
    named = {each.name for each in fields(Evaluation)}
    generation_options = {name: options.pop(name) for name in [*options] if name not in named}
    evaluation = Evaluation(
        model, dataset_name, split, output_dir, controls, generation_options=generation_options, **options
    )
    return evaluation.run()


def change_rows(
    windows: Sequence[dict], controls: list[str], reads: Collection[str], seed: int, description: Description
) -> dict[str, Sequence[dict]]:
    """The rows as each control shows them, by its name. One that changes nothing the model sees is left out.

    `reads` are the controls that change what a model of this kind sees.
    """
    conditions = {}
    for name in controls:
        changed = windows
        for part in name.split("+"):
            if part in reads:
                changed = StoredRows(CONTROLS[part](changed, seed, description))
        if all(map(eq, changed, windows)):
            logger.warning(f"{name} is left out: it changes nothing that this model reads in these rows.")
        else:
            conditions[name] = changed
    return conditions


def summarize_conditions(
    known: dict[str, Sequence[dict]], truths: list[str], synonyms: dict[str, str] | None, seed: int
) -> dict[str, dict]:
    """Scores of each condition and, of all but the first, its difference to the model as it is."""
    return {
        name: {
            **summarize(name, records, truths, synonyms, seed),
            **(compare(records, known[AS_IS], truths, seed) if name != AS_IS else {}),
        }
        for name, records in known.items()
    }


def compare_controls(
    model: PreTrainedModel, processor: TextGenomeProcessor, rows: list[Mapping], **options
) -> dict[str, float]:
    """Accuracy by generation: of the unchanged rows, with the DNA exchanged between rows, and with it removed.

    Nothing is written. The arguments are those of `answer_controls`.

    Returns:
        The accuracies between 0 and 1 by the name of the condition, see `CONDITIONS`.
    """
    return accuracies_of(answer_controls(model, processor, rows, **options), rows)


def answer_controls(
    model: PreTrainedModel,
    processor: TextGenomeProcessor,
    rows: list[Mapping],
    batch_size: int = 64,
    seed: int = 0,
    **generation_options,
) -> dict[str, list[str]]:
    """What a model writes of the unchanged rows, with the DNA exchanged between rows, and with it removed.

    Args:
        model: The fused model.
        processor: Its processor, which knows how the model was trained to read rows.
        rows: Rows with the five columns of `row_to_messages`, or `sequence` in place of the pair.
        batch_size: Rows at a time.
        seed: Which rows exchange their DNA.
        generation_options: For `model.generate`.

    Returns:
        A text for each row by the name of the condition; those that change nothing are left out.
    """
    windows, texts = cut_windows(rows, **reading_options(processor)), {}
    for name in (AS_IS, *PRIMARY_CONTROLS):
        given = windows if name == AS_IS else list(CONTROLS[name](windows, seed))
        if name != AS_IS and given == windows:
            continue  # without DNA, or with one row, there is nothing to change
        texts[name] = generate(
            model,
            processor,
            [as_prompt(row) for row in given],
            batch_size=batch_size,
            enable_thinking=processor.reasons,
            description=name,
            **generation_options,
        )
    return texts


def accuracies_of(texts: Mapping[str, list[str]], rows: Sequence[Mapping]) -> dict[str, float]:
    """The share of right answers by condition."""
    from textgenome.evaluation.answer_metric import AnswerMetric  # takes seconds to import

    truths = [row["answer"] for row in rows]
    # In memory: processes that answer the same rows would lock each other's files.
    return {
        name: AnswerMetric(keep_in_memory=True).compute(predictions=each, references=truths)["accuracy"]
        for name, each in texts.items()
    }


def known_answers(dataset_name: str, rows: Iterable[Mapping], **check) -> list[str]:
    """The answers of the train split, if there is one, and of the rows."""
    train = read_rows(dataset_name, "train", **check) if "train" in list_splits(dataset_name) else ()
    return sorted({row["answer"].strip() for row in chain(train, rows) if row.get("answer") is not None})
