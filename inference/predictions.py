"""What a model says to each row under each condition, kept in a file as it comes, so that a killed run resumes."""

import json
from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import torch
from accelerate import PartialState
from transformers import PreTrainedModel

from textgenome.data.files import write_rows
from textgenome.data.locks import locked
from textgenome.data.prompts import as_prompt, reading_options
from textgenome.data.rows import fingerprint_rows
from textgenome.data.settings import FRESH_START
from textgenome.data.stored_rows import ChangedRows
from textgenome.inference.answers import hide_bases
from textgenome.inference.checkpoints import Checkpoint, fingerprint_weights
from textgenome.inference.classification import classify_batches
from textgenome.inference.generation import generate_batches
from textgenome.inference.scoring import score_labels
from textgenome.processing.processing_textgenome import TextGenomeProcessor
from textgenome.processing.processing_textgenome_dna import TextGenomeDNAProcessor


FILE = "predictions.jsonl"
NOWHERE = -1
LONGEST_FILE = 2**44  # bytes


def join_processes() -> PartialState:
    """The state of the processes of a launcher. To be called before any other `PartialState` is made.

    Without a GPU they find each other only if told so. One that is done waits for the others, for hours if need be.
    """
    return PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(days=7))


def one_writer(folder: str | Path) -> AbstractContextManager:
    """The lock of a folder (see `locked`), which the main one of the processes that share the work holds for all."""
    return locked(Path(folder)) if PartialState().is_main_process else nullcontext()


def prediction_settings(
    checkpoint: Checkpoint, rows: Iterable[Mapping], dtype: str, enable_thinking: bool, generation_options: Mapping
) -> dict:
    """What predictions depend on: a run that is to go on must have the same.

    Args:
        checkpoint: The model.
        rows: That it is asked about.
        dtype: Data type of the weights.
        enable_thinking: Whether it reasons first.
        generation_options: For `model.generate`.
    """
    return {
        "model": checkpoint.name,
        "revision": checkpoint.revision,
        "weights": fingerprint_weights(checkpoint.name),
        "data_fingerprint": fingerprint_rows(rows),
        "dtype": dtype,
        "enable_thinking": enable_thinking,
        **reading_options(checkpoint.processor),
        "generation": {"do_sample": False, **generation_options},
    }


class Predictions:
    """The predictions in a folder. Processes that share the work write a file each, until `merge`.

    A record says of a `condition` and the number of a `row` what is known: `output` and `tokens` of a generation,
    `scores` of the labels. Sequences that a model writes are hidden. In memory is only where each line begins.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.part = folder / f"predictions.{PartialState().process_index}.part.jsonl"
        self._read()
        PartialState().wait_for_everyone()  # before any of them writes: all must agree on what is missing

    def _read(self) -> None:
        self._files: dict[Path, BinaryIO] = {}
        # By condition and field: for each row, in which file and where in it the line is that tells it last.
        self._places: dict[str, dict[str, array]] = {}
        for path in [self.folder / FILE, *sorted(self.folder.glob("predictions.*.part.jsonl"))]:
            if not path.exists():
                continue
            end = 0
            for number, line in enumerate(self._open(path), 1):
                start, end = end, end + len(line)
                try:
                    record = json.loads(line)
                except ValueError:
                    continue  # the line that a kill cut off: its row is asked again
                if not is_record(record):
                    raise ValueError(f"{path}, line {number} is not a prediction of this version. {FRESH_START}")
                self._add(record, path, start)

    def _open(self, path: Path) -> BinaryIO:
        if path not in self._files:
            self._files[path] = path.open("rb")
        return self._files[path]

    def _add(self, record: Mapping, path: Path, start: int) -> None:
        fields, row = self._places.setdefault(record["condition"], {}), record["row"]
        for name in record.keys() - {"condition", "row"}:
            places = fields.setdefault(name, array("q"))
            places.extend([NOWHERE] * (row + 1 - len(places)))
            places[row] = [*self._files].index(path) * LONGEST_FILE + start

    def _place(self, condition: str, name: str, row: int) -> int:
        places = self._places.get(condition, {}).get(name, ())
        return places[row] if row < len(places) else NOWHERE

    def of(self, condition: str, fields: Collection[str] | None = None) -> Sequence[dict]:
        """What is known of a condition, by row: all of it, or the number of the row and these fields."""
        known = self._places.get(condition, {})
        rows = range(max(map(len, known.values()), default=0))
        rows = array("q", (row for row in rows if any(self._place(condition, name, row) >= 0 for name in known)))
        return ChangedRows(rows, partial(self.record, condition, fields=fields))

    def record(self, condition: str, row: int, fields: Collection[str] | None = None) -> dict:
        """What is known of a row under a condition, as `of` gives it."""
        names = self._places.get(condition, {}) if fields is None else fields
        places = {name: self._place(condition, name, row) for name in names}
        lines = {place: self._line(place) for place in {*places.values()} - {NOWHERE}}
        found = {name: lines[place][name] for name, place in places.items() if place in lines}
        return {**({"condition": condition} if fields is None else {}), "row": row, **found}

    def _line(self, place: int) -> dict:
        number, start = divmod(place, LONGEST_FILE)
        file = [*self._files.values()][number]
        file.seek(start)
        return json.loads(file.readline())

    def missing(self, condition: str, rows: int, kind: str) -> list[int]:
        """Which rows have no `output`, or no `scores`, yet, of those that fall to this process."""
        state = PartialState()
        todo = [row for row in range(rows) if self._place(condition, kind, row) == NOWHERE]
        return todo[state.process_index :: state.num_processes]

    def write(self, records: list[dict]) -> None:
        """Add records, each with its `condition` and `row`, to the file of this process."""
        with self.part.open("ab") as file:
            if file.tell():
                file.write(b"\n")  # a line that a kill cut off must not swallow the next one
            self._open(self.part)
            for record in records:
                self._add(record, self.part, file.tell())
                file.write(f"{json.dumps(record)}\n".encode())

    def merge(self) -> None:
        """Put what all processes wrote into one file, and read it on the main one. To be called by all of them."""
        state = PartialState()
        state.wait_for_everyone()
        if state.is_main_process:
            self._read()
            conditions = sorted(self._places)
            write_rows(chain.from_iterable(map(self.of, conditions)), self.folder / FILE)
            for path in self.folder.glob("predictions.*.part.jsonl"):
                path.unlink()
            self._read()
        state.wait_for_everyone()


def is_record(record) -> bool:
    """Whether a value has the form of what `Predictions` writes."""
    kinds = {"condition": str, "row": int, "output": str, "tokens": int, "scores": dict}
    return (
        isinstance(record, dict)
        and {"condition", "row"} < record.keys()
        and ("output" in record) == ("tokens" in record)
        and record.get("scores") != {}
        and all(isinstance(record[name], kinds[name]) for name in record.keys() & kinds.keys())
        and record["row"] >= 0
        and all(isinstance(score, float | int) for score in record.get("scores", {}).values())
    )


def generate_predictions(
    model: PreTrainedModel,
    processor: TextGenomeProcessor,
    rows: Sequence[Mapping],
    condition: str,
    predictions: Predictions,
    **options,
) -> None:
    """Ask about the rows that have no output yet under this condition.

    Args:
        model: The fused model.
        processor: Its processor.
        rows: All rows, as the condition shows them.
        condition: Its name.
        predictions: Where to.
        options: See `generate_batches`.
    """
    places = predictions.missing(condition, len(rows), "output")
    prompts = ChangedRows(rows, as_prompt, places)
    for batch in generate_batches(model, processor, prompts, description=condition, **options):
        predictions.write(
            [
                {"condition": condition, "row": places[i], "output": hide_bases(text), "tokens": n}
                for i, text, n in batch
            ]
        )


def score_predictions(
    model: PreTrainedModel,
    processor: TextGenomeProcessor,
    rows: Sequence[Mapping],
    condition: str,
    predictions: Predictions,
    labels: list[str],
    batch_size: int,
    behind_reasoning: bool = False,
) -> None:
    """Rank the labels for the rows that have no scores yet under this condition: at once, or after what the model
    wrote before its answer. See `score_labels`."""
    places = predictions.missing(condition, len(rows), "scores")
    prompts = ChangedRows(rows, as_prompt, places)
    said = partial(predictions.record, condition, fields=("output",))
    outputs = ChangedRows(places, lambda row: said(row)["output"]) if behind_reasoning else None
    for batch in score_labels(model, processor, prompts, labels, batch_size, condition, outputs):
        predictions.write([{"condition": condition, "row": places[i], "scores": scores} for i, scores in batch])


def classify_predictions(
    model: PreTrainedModel,
    processor: TextGenomeDNAProcessor,
    rows: Sequence[Mapping],
    condition: str,
    predictions: Predictions,
    batch_size: int,
) -> None:
    """Classify, by a DNA-only model, the rows that have no scores yet under this condition. See `classify_batches`."""
    places = predictions.missing(condition, len(rows), "scores")
    given = ChangedRows(rows, dict, places)
    for batch in classify_batches(model, processor, given, batch_size, are_windows=True, description=condition):
        predictions.write([{"condition": condition, "row": places[i], "scores": scores} for i, scores in batch])


__all__ = [
    "Predictions",
    "classify_predictions",
    "generate_predictions",
    "join_processes",
    "one_writer",
    "prediction_settings",
    "score_predictions",
]
