"""Evaluating the baselines alone, and what that has in common with evaluating a model."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from textgenome.data.descriptions import Description
from textgenome.data.forms import TableForm
from textgenome.data.labels import check_labelled, find_classes, find_problem_type, row_label
from textgenome.data.locks import locked
from textgenome.data.rows import fingerprint_rows, list_splits, load_rows
from textgenome.evaluation.baselines import predict_baselines
from textgenome.evaluation.conditions import AS_IS
from textgenome.evaluation.jobs import score_jobs
from textgenome.evaluation.report import Figure, write_report
from textgenome.evaluation.reporting import save_metrics
from textgenome.evaluation.results import answer_of, describe_answers, summarize
from textgenome.evaluation.samples import save_samples
from textgenome.evaluation.sequence_results import SequenceTable, cut_sequences, write_sequence_results
from textgenome.inference.answers import is_right, normalize_answer


def evaluate_baselines(
    dataset_name: str,
    split: str,
    output_dir: str | Path,
    synonyms: dict[str, str] | None = None,
    on_bad_row: str = "raise",
    seed: int = 0,
    problem_type: str | None = None,
    locus_column: str | None = None,
    form: TableForm | None = None,
) -> dict:
    """Fit the baselines on the train split, and write what `evaluate_model` writes. It takes no model.

    Rows with a `question` get the baselines of answers (see `predict_baselines`), all others those of sequences or
    pairs (see `predict_sequence_baselines`).

    Args:
        dataset_name: See `load_rows`.
        split: Which of its splits.
        output_dir: Folder for the results.
        synonyms: See `score_answers`.
        on_bad_row: See `load_rows`.
        seed: Of all that is drawn at random.
        problem_type: In the words of transformers, by default what the labels are, see `find_problem_type`. If it is
            given, questions are not read.
        locus_column: Column with the locus of a row, of rows without a question: loci are resampled.
        form: See `load_rows`.
    """
    started, check = time.monotonic(), {"check": check_labelled, "on_bad_row": on_bad_row, "form": form}
    rows = load_rows(dataset_name, split, **check, problem_type=problem_type).to_list()
    train_rows = load_train_rows(dataset_name, split, **check, problem_type=problem_type)
    facts = {"dataset_name": dataset_name, "split": split, "data_fingerprint": fingerprint_rows(rows), "seed": seed}
    asks = problem_type is None and all(row.get("question") is not None for row in rows)
    known = baseline_records(train_rows, rows) if asks else {}
    with locked(Path(output_dir)):
        if not asks:
            problem_type = problem_type or find_problem_type(map(row_label, train_rows))
            names = find_classes(map(row_label, train_rows), problem_type)
            loci = [Description(locus_column=locus_column).locus(row) for row in rows] if locus_column else None
            table = SequenceTable(cut_sequences(train_rows), cut_sequences(rows), names, problem_type, loci)
            scores = table.predict_baselines(seed)
            facts["wall_time_s"] = round(time.monotonic() - started, 1)
            return write_sequence_results(output_dir, table, scores, facts, seed)
        truths = [row["answer"] for row in rows]
        conditions = {name: summarize(name, records, truths, synonyms, seed) for name, records in known.items()}
        facts |= {"conditions": conditions, "wall_time_s": round(time.monotonic() - started, 1)}
        return write_results(Path(output_dir), facts, rows, known)


def baseline_records(train_rows: list[Mapping], rows: Sequence[Mapping]) -> dict[str, list[dict]]:
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


def write_results(
    folder: Path,
    metrics: dict,
    rows: Sequence[Mapping],
    known: dict[str, Sequence[dict]],
    loci: list[str | None] | None = None,
    explain: Callable[[Sequence[Mapping]], list[Figure]] | None = None,
) -> dict:
    jobs = score_jobs(rows, known, metrics.get("seed", 0))
    metrics = {**describe_answers(metrics["conditions"]), **metrics, **({"jobs": jobs} if jobs else {})}
    metrics = save_metrics(folder, metrics)
    if AS_IS in known:
        right = [is_right(answer_of(record), row["answer"]) for record, row in zip(known[AS_IS], rows)]
        save_samples(folder, {"accuracy": right}, metrics.get("seed", 0), right)
    write_report(folder / "report.html", metrics, rows, known, loci, explain)
    return metrics


__all__ = ["baseline_records", "evaluate_baselines", "load_train_rows", "write_results"]
