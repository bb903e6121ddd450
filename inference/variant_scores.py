"""Scores of the variants of a file, into a file; a killed run resumes."""

import hashlib
import math
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from transformers.utils import logging

from textgenome.data.conversations import DNA_COLUMNS
from textgenome.data.files import refuse_unknown_table, write_table
from textgenome.data.forms import TableForm
from textgenome.data.sequences import SequenceRow, read_sequences
from textgenome.data.settings import remember_settings
from textgenome.data.variants import read_values
from textgenome.genome.annotating import annotate_vcf, check_vcf
from textgenome.genome.intervals import printable
from textgenome.genome.progress import Progress
from textgenome.inference.checkpoints import fingerprint_weights, without_path
from textgenome.inference.language_models import DNALanguageModel, load_language_model
from textgenome.inference.likelihoods import check_window, score_windows
from textgenome.inference.predictions import Predictions, join_processes, one_writer


logger = logging.get_logger(__name__)

KEY = "TG_LLR"
SCORED = "scored"
_VCF = ".vcf.gz"
_BASES = ("sequence", *DNA_COLUMNS, "messages")


@dataclass(frozen=True)
class VariantScoring:
    """The variants of a VCF file, or the pairs of a table, and what is to score them: see `open_scoring`."""

    language_model: DNALanguageModel
    source: Mapping
    window: int
    both_strands: str
    dtype: str
    revision: str | None

    def rows(self) -> Iterator[SequenceRow]:
        """The pairs, cut to windows, in the order of the file, which is read anew.

        Raises:
            ValueError: If rows are bad, or one holds no pair.
        """
        for row in read_sequences(**self.source, window=self.window):
            if row.variant is None:
                raise ValueError(f"Row {row.name} is one sequence: a score needs {' and '.join(DNA_COLUMNS)}.")
            yield row

    @property
    def settings(self) -> dict:
        """What scores depend on, but for the rows: a run that is to go on must have the same."""
        name = self.language_model.name
        weights = {"model": name, "revision": self.revision, "weights": fingerprint_weights(name)}
        return {**weights, "dtype": self.dtype, "window": self.window, "both_strands": self.both_strands}

    @property
    def description(self) -> str:
        kind = "of the window" if self.language_model.is_causal else "of the changed tokens, masked, in a window"
        strands = ", mean of both strands" if self.both_strands == "average" else ""
        return (
            "Natural logarithm of the likelihood ratio of variant to reference, "
            f"{kind} of {self.window} bases{strands}, by {without_path(self.language_model.name)}"
        )

    def write(self, output: str | Path, batch_size: int = 8) -> list[float | None] | None:
        """Score all rows, and write the scores.

        What is scored is kept in the folder `OUTPUT.scores`, from which the same call resumes a run that was killed.
        Processes under `accelerate launch` share the rows.

        Args:
            output: New file. `.vcf.gz` is the VCF file with `TG_LLR` in INFO; a table (.tsv, .csv, .jsonl or .parquet)
                has a row for each variant. No sequence is written but REF and ALT of a VCF file.
            batch_size: Pairs at a time.

        Returns:
            On the main process, the score of each row, see `score_windows`.

        Raises:
            OSError: If a file cannot be read or written, or another process writes to `output`.
            ValueError: If rows are bad, or an unfinished run with other settings is in the way.
        """
        state, work = join_processes(), Path(f"{output}.scores")
        check_output(output, self.source["vcf"])
        with state.main_process_first():  # it may have to write the index of the genome
            number, fingerprint = _fingerprint(self.rows())
        if str(output).endswith(_VCF):
            check_vcf(self.source["vcf"])
        with one_writer(work):
            if state.is_main_process:
                remember_settings({**self.settings, "data_fingerprint": fingerprint}, work, "scoring")
            predictions = Predictions(work)
            self.language_model.model.to(state.device)
            self._score_missing(number, predictions, batch_size)
            predictions.merge()
            if not state.is_main_process:
                return None
            scores = [None] * number
            for record in predictions.of(SCORED):
                scores[record["row"]] = record["scores"][KEY]
            self._write(scores, output)
        shutil.rmtree(work)
        return scores

    def _score_missing(self, number: int, predictions: Predictions, batch_size: int) -> None:
        missing = set(predictions.missing(SCORED, number, "scores"))
        rows = ((place, (row.sequence, row.variant)) for place, row in enumerate(self.rows()) if place in missing)
        with Progress(total=len(missing), desc="Scoring variants", unit="variant") as progress:
            while batch := dict(islice(rows, batch_size)):
                scores = score_windows(self.language_model, [*batch.values()], self.window, self.both_strands)
                records = [
                    {"condition": SCORED, "row": place, "scores": {KEY: score}}
                    for place, score in zip(batch, scores)
                    if score is not None
                ]
                if records:
                    predictions.write(records)
                progress.update(len(batch))

    def _write(self, scores: list[float | None], output: str | Path) -> None:
        without = scores.count(None)
        if without:
            logger.warning(
                f"{without} of {len(scores)} variants have no score: a masked model compares tokens in their places, "
                "and these change how many there are, as insertions and deletions do."
            )
        if str(output).endswith(_VCF):
            values = ((row.name, {KEY: score}) for row, score in zip(self.rows(), scores))
            annotate_vcf(self.source["vcf"], output, {KEY: ("Float", self.description)}, values)
        else:
            form = self.source.get("form")
            bases = {*_BASES, *(source for name, source in (form.columns if form else {}).items() if name in _BASES)}
            rows = ({**_columns(row, bases), KEY: score} for row, score in zip(self.rows(), scores))
            write_table(list(rows), output)


def open_scoring(
    model: str,
    dataset_name: str | None = None,
    split: str = "train",
    vcf: str | Path | None = None,
    fasta: str | Path | None = None,
    window: int | None = None,
    both_strands: str = "none",
    on_bad_row: str = "raise",
    dtype: str = "auto",
    revision: str | None = "main",
    form: TableForm | None = None,
) -> VariantScoring:
    """Load a language model to score the variants of a VCF file, or the pairs of a table.

    Args:
        model: Folder or Hub id of a language model of DNA.
        dataset_name: A table of pairs, see `read_sequences`.
        split: Of the table.
        vcf: In place of a table a VCF file; no pipe, for it is read several times.
        fasta: Its genome.
        window: See `score_variants`.
        both_strands: See `score_variants`.
        on_bad_row: `raise` or `skip` bad rows or alleles. Those that are skipped get no score.
        dtype: Data type of the weights.
        revision: Of a model on the Hub.
        form: Of the table: columns with other names. Neither these nor their copies are written.

    Raises:
        OSError: If there is no such model.
        ValueError: If the model has no head that predicts bases, or the window is longer than it reads.
    """
    join_processes()
    if vcf is not None and not Path(vcf).is_file():
        raise ValueError(f"{vcf}: it must be a file, for it is read several times, as a pipe cannot be.")
    source = {"dataset_name": dataset_name, "split": split, "form": form}
    source |= {"vcf": vcf, "fasta": fasta, "on_bad_row": on_bad_row}
    language_model = load_language_model(model, revision, dtype)
    return VariantScoring(
        language_model, source, check_window(language_model, window), both_strands, dtype, language_model.revision
    )


def check_output(output: str | Path, vcf: str | Path | None) -> None:
    """Raise ValueError where the scores of these variants cannot be written."""
    if not str(output).endswith(_VCF):
        refuse_unknown_table(output)
    elif vcf is None:
        raise ValueError(f"{output}: only the variants of a VCF file can be written as one. Name a table.")
    elif Path(output).exists():
        raise ValueError(f"{output} is there already. Remove it, or name another file.")


def _fingerprint(rows: Iterator[SequenceRow]) -> tuple[int, str]:
    """How many rows there are, and a hash of them. All are read before any is scored, so that bad ones are told."""
    digest, number = hashlib.sha256(), 0
    for row in rows:
        digest.update(f"{row.name}\n{row.sequence}\n{row.variant}\n".encode())
        number += 1
    if not number:
        raise ValueError("There is no variant to score.")
    return number, digest.hexdigest()


def _columns(row: SequenceRow, bases: Collection[str]) -> dict:
    """What a table has of a row: its columns, but for those that hold `bases`."""
    if row.place is None:
        return {name: value for name, value in row.columns.items() if name not in bases}
    contig, position, reference, alternative = row.name.rsplit(":", 3)
    place = {"contig": contig, "position": int(position)}
    return {"variant": row.name, **place, "reference": reference, "alternative": alternative}


def read_column(rows: list[SequenceRow], name: str, vcf: str | Path | None) -> list[str | None]:
    """What the file that rows come from says of each: text, or None.

    Args:
        rows: See `VariantScoring.rows`.
        name: A key of INFO, perhaps after `INFO/`, or a column of the VCF file or table.
        vcf: The VCF file, or None of a table.

    Raises:
        ValueError: If there is no such key or column.
    """
    if vcf is not None:
        values = read_values(vcf, name.removeprefix("INFO/"))
        return [values.get(row.name) for row in rows]
    if rows and name not in rows[0].columns:
        raise ValueError(f"The table has no column {name!r}, only {', '.join(rows[0].columns)}.")
    values = [row.columns[name] for row in rows]
    return [None if value is None or not str(value).strip() else str(value).strip() for value in values]


def read_numbers(rows: list[SequenceRow], name: str, vcf: str | Path | None) -> list[float | None]:
    """The same as numbers; NaN is None.

    Raises:
        ValueError: If a value is not a number. The message names the variant.
    """
    numbers = []
    for row, value in zip(rows, read_column(rows, name, vcf)):
        try:
            number = None if value is None else float(value)
        except ValueError as error:
            raise ValueError(f"{name} of {row.name} is not a number: {printable(value[:40])!r}.") from error
        numbers.append(None if number is None or math.isnan(number) else number)
    return numbers


__all__ = ["KEY", "VariantScoring", "check_output", "open_scoring", "read_column", "read_numbers"]
