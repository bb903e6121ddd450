"""The results of heads on DNA, and of their baselines: classes, several labels or a value of sequences or pairs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sklearn.metrics import precision_recall_curve, precision_recall_fscore_support, roc_curve

from textgenome.data.conversations import DNA_COLUMNS
from textgenome.data.labels import REGRESSION, SEVERAL, encode_labels, is_pair, row_label, sequences_of
from textgenome.evaluation.charts import draw_curves, draw_scatter
from textgenome.evaluation.conditions import AS_IS, CONDITIONS
from textgenome.evaluation.duplicates import find_duplicates
from textgenome.evaluation.metrics import METRICS
from textgenome.evaluation.report import Figure, Table, count_confusions, find_mistakes
from textgenome.evaluation.reporting import write_results
from textgenome.evaluation.row_metrics import auprc, auroc, measure_classes, measure_labels, measure_values
from textgenome.evaluation.sequence_baselines import predict_sequence_baselines
from textgenome.evaluation.subgroups import subgroup_table
from textgenome.evaluation.units import Pooled
from textgenome.evaluation.verdict import EXCHANGED
from textgenome.processing.processing_dna import DNA_WINDOW, normalize_dna, variant_window


BINS = 10  # of the calibration
CURVES = 4  # at most, in one chart


def cut_sequences(rows: list[Mapping], dna_window: int = DNA_WINDOW) -> list[dict]:
    """The rows as a head on DNA reads them: pairs cut to windows, all in the letters A, C, G, T and N."""
    return [cut_sequence(row, dna_window) for row in rows]


def cut_sequence(row: Mapping, dna_window: int = DNA_WINDOW) -> dict:
    """The same of one row."""
    if is_pair(row):
        return {**row, **dict(zip(DNA_COLUMNS, variant_window(*sequences_of(row), dna_window)))}
    return {**row, "sequence": normalize_dna(row["sequence"])}


@dataclass
class SequenceTable:
    """Rows that are evaluated, and those that a model trains on, with their labels as numbers.

    Args:
        train_rows: As `cut_sequences` returns them; or none, where no baseline is to be fitted and no duplicate to be
            found.
        rows: The evaluated rows, the same.
        names: The classes or labels in the order of the scores; of a regression one name.
        problem_type: In the words of transformers; None is one class a row.
        loci: The locus of each row, or None where rows are independent.
    """

    train_rows: list[Mapping]
    rows: list[Mapping]
    names: list[str]
    problem_type: str | None
    loci: list[str] | None = None
    unit: str = field(init=False)

    def __post_init__(self):
        label2id = {name: i for i, name in enumerate(self.names)}
        self.train_targets, self.targets = (
            self._encode(rows, label2id) if rows else None for rows in (self.train_rows, self.rows)
        )
        self.train, self.sequences = (list(map(sequences_of, rows)) for rows in (self.train_rows, self.rows))
        self.unit = "row" if self.loci is None else "locus"
        groups = list(range(len(self.rows))) if self.loci is None else self.loci
        self.units = np.unique(groups, return_inverse=True)[1]
        self.duplicates = find_duplicates(self.train, self.sequences)

    def _encode(self, rows: list[Mapping], label2id: Mapping[str, int]) -> np.ndarray:
        """See `encode_labels`; a class that was not trained is -1, and several labels are bool."""
        targets = encode_labels(list(map(row_label, rows)), label2id, self.problem_type).numpy()
        if self.problem_type == REGRESSION:
            return targets.astype(float)
        return targets > 0 if self.problem_type == SEVERAL else np.maximum(targets, -1)

    @property
    def is_single(self) -> bool:
        return self.problem_type not in (REGRESSION, SEVERAL)

    def predict_baselines(self, seed: int) -> dict[str, np.ndarray]:
        """See `predict_sequence_baselines`."""
        kind = self.problem_type if not self.is_single else "single_label_classification"
        known = self.train_targets >= 0 if self.is_single else np.full(len(self.train), True)
        train = [row for row, chosen in zip(self.train, known) if chosen]
        return predict_sequence_baselines(
            train, self.train_targets[known], self.sequences, kind, len(self.names), seed
        )

    def as_scores(self, records: Sequence[Mapping]) -> np.ndarray:
        """What `classify` says of each row as an array, probabilities or of a regression values."""
        scores = np.array([[record["scores"][name] for name in self.names] for record in records])
        return scores[:, 0] if self.problem_type == REGRESSION else np.exp(scores)

    def measure(self, scores: np.ndarray, chosen: np.ndarray) -> dict[str, Pooled]:
        """The metrics of some of the rows."""
        measure = {REGRESSION: measure_values, SEVERAL: measure_labels}.get(self.problem_type, measure_classes)
        units = np.unique(self.units[chosen], return_inverse=True)[1]
        return measure(self.targets[chosen], scores[chosen], units)


def write_sequence_results(
    output_dir: str | Path,
    table: SequenceTable,
    scores: Mapping[str, np.ndarray],
    facts: Mapping,
    seed: int = 0,
    explain: Callable[[Sequence[Mapping]], list[Figure]] | None = None,
) -> dict:
    """Measure what conditions say of the rows, those that a model has seen in training apart, and write the results.

    Args:
        output_dir: Folder for `metrics.json` and `report.html`.
        table: The rows.
        scores: By condition, probabilities of shape `(rows, classes)` or of a regression values of shape `(rows,)`.
        facts: See `write_results`.
        seed: Of the bootstrap.
        explain: Draws what some of the mistakes depend on, see `explain_mistakes`.

    If all rows are such, they are measured nevertheless, and the verdict says so.

    Returns:
        What `write_results` returns, with `duplicates`, the number of rows `exact` and `other_strand`; and
        `with_duplicates`, if there are any, by condition the metrics of all rows.
    """
    seen = table.duplicates.either
    kept = ~seen if not seen.all() else seen
    measured = {name: table.measure(each, kept) for name, each in scores.items()}
    duplicates = {name: int(found.sum()) for name, found in table.duplicates._asdict().items()}
    facts, notes, tables = {**facts, "duplicates": duplicates}, [], []
    if seen.all():
        notes.append("All evaluated rows repeat the sequences of train rows: the figures show what was remembered.")
    elif seen.any():
        facts["with_duplicates"] = {name: _values(table.measure(each, kept | True)) for name, each in scores.items()}
        notes.append(
            f"{duplicates['exact']} of {len(kept)} rows repeat the sequences of a train row, and "
            f"{duplicates['other_strand']} more do on the other strand. They are left out; the table below has them."
        )
        tables.append(_with_duplicates(facts["with_duplicates"]))
    shown = AS_IS if AS_IS in scores else max(scores, key=lambda name: _values(measured[name]).popitem()[1])
    truths, found = table.targets[kept], scores[shown][kept]
    details = {}
    if table.problem_type == REGRESSION:
        figures = [_scatter(truths, found, shown)]
    else:
        figures = _draw_ranks(table, {name: each[kept] for name, each in scores.items()}, kept)
        tables.insert(0, _by_label(table, truths, found, shown))
    if table.is_single:
        figures.append(_calibration(truths, found))
        details = _detail_answers(table, truths, found, kept)
        figures += explain(details["mistakes"]) if explain else []
        chosen = np.flatnonzero(kept)
        loci = table.loci and [table.loci[i] for i in chosen]
        groups = subgroup_table([table.rows[i] for i in chosen], found.argmax(axis=1) == truths, loci)
        tables += [groups] if groups.rows else []
        if not (truths >= 0).all():
            notes.append(f"{int((truths < 0).sum())} rows have a class that was not trained: they are wrong.")
    answers = found.argmax(axis=1) if table.is_single else np.zeros(0)
    one = AS_IS in scores and len(np.unique(answers)) == 1 and len(np.unique(truths)) > 1
    return write_results(
        output_dir,
        facts.pop("task", "classification"),
        measured,
        table.unit,
        facts=facts,
        only_answer=table.names[answers[0]] if one else None,
        notes=notes,
        figures=figures,
        tables=tables,
        details={"detailed": shown, **details},
        right=answers == truths if table.is_single and shown == AS_IS else None,
        seed=seed,
    )


def _values(metrics: Mapping[str, Pooled]) -> dict[str, float | None]:
    values = {name: float(each.compute(np.ones((1, each.units)))[0]) for name, each in metrics.items()}
    return {name: value if np.isfinite(value) else None for name, value in values.items()}


def _with_duplicates(values: Mapping[str, Mapping[str, float | None]]) -> Table:
    columns = ["condition", *(METRICS[name].title for name in next(iter(values.values())))]
    rows = [[CONDITIONS[name].title, *each.values()] for name, each in values.items()]
    return Table("With duplicates", columns, rows, "All rows, also those that repeat a train row.")


def _scatter(truths: np.ndarray, predictions: np.ndarray, shown: str) -> Figure:
    picture = draw_scatter("Predictions by true value", truths, predictions, ("true value", "prediction"))
    return Figure("Predictions", picture, f"Of “{CONDITIONS[shown].title}”. On the dashed line both values are equal.")


def _draw_ranks(table: SequenceTable, scores: Mapping[str, np.ndarray], kept: np.ndarray) -> list[Figure]:
    """ROC and precision-recall curves: of two classes for some conditions, else for some labels of the first one."""
    truths = table.targets[kept]
    if table.is_single and len(table.names) == 2:
        names = [name for name in (AS_IS, "small_cnn", "kmers", EXCHANGED) if name in scores][:CURVES]
        curves = {CONDITIONS[name].title: (truths == 1, scores[name][:, 1]) for name in names}
        what = f"“{table.names[1]}” is positive."
    else:
        shown = AS_IS if AS_IS in scores else next(reversed(scores))
        hits = [truths == i if table.is_single else truths[:, i] for i in range(len(table.names))]
        often = sorted(range(len(hits)), key=lambda i: -hits[i].sum())[:CURVES]
        curves = {table.names[i]: (hits[i], scores[shown][:, i]) for i in often}
        what = f"Of “{CONDITIONS[shown].title}”, each label against the rest; the most frequent ones."
    curves = {name: each for name, each in curves.items() if 0 < each[0].sum() < len(each[0])}
    if not curves:
        return []
    roc = {name: roc_curve(*each)[:2] for name, each in curves.items()}
    recall = {name: precision_recall_curve(*each)[1::-1] for name, each in curves.items()}
    axes = ("false positive rate", "true positive rate"), ("recall", "precision")
    return [
        Figure("ROC", draw_curves("ROC curves", roc, axes[0], diagonal=True), f"{what} The dashed line is chance."),
        Figure("Precision and recall", draw_curves("Precision-recall curves", recall, axes[1]), what),
    ]


def _by_label(table: SequenceTable, truths: np.ndarray, scores: np.ndarray, shown: str) -> Table:
    rows, numbers = [], range(len(table.names))
    if table.is_single:
        hits, given = np.eye(len(numbers) + 1, dtype=bool)[truths][:, :-1], np.eye(len(numbers))[scores.argmax(axis=1)]
    else:
        hits, given = truths, scores >= 0.5
    columns = precision_recall_fscore_support(hits, given.astype(bool), average=None, zero_division=0)
    weights = np.ones((1, len(truths)))
    for i, precision, recall, f1, number in zip(numbers, *(np.atleast_1d(column) for column in columns)):
        ranks = [float(metric(hits[:, i], scores[:, i], weights)[0]) for metric in (auroc, auprc)]
        ranks = [each if np.isfinite(each) else None for each in ranks]
        rows.append([table.names[i], int(number), float(recall), float(precision), float(f1), *ranks])
    names = ["label", "rows", "recall", "precision", "F1", "AUROC", "AUPRC"]
    return Table(f"By label: {CONDITIONS[shown].title}", names, sorted(rows, key=lambda row: -row[1]))


def _calibration(truths: np.ndarray, scores: np.ndarray) -> Figure:
    confidence, right = scores.max(axis=1), scores.argmax(axis=1) == truths
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    filled = [bins == i for i in np.unique(bins)]
    x, y = ([each[chosen].mean() for chosen in filled] for each in (confidence, right))
    error = sum(chosen.mean() * abs(a - b) for chosen, a, b in zip(filled, x, y))
    picture = draw_curves(
        "How often predictions are right, by confidence", {"model": (x, y)}, ("confidence", "right"), diagonal=True
    )
    return Figure(
        "Calibration",
        picture,
        f"Expected calibration error {error:.3f}, in bins of a tenth. On the dashed line predictions are right as "
        "often as they are confident.",
    )


def _detail_answers(table: SequenceTable, truths: np.ndarray, scores: np.ndarray, kept: np.ndarray) -> dict:
    """The confusion matrix and the worst mistakes, as the page shows them."""
    names = [*table.names, "not trained"]
    true, given = [names[i] for i in truths], [names[i] for i in scores.argmax(axis=1)]
    rows = [table.rows[i] for i in np.flatnonzero(kept)]
    with np.errstate(divide="ignore"):
        records = [{"scores": dict(zip(table.names, row))} for row in np.log(scores).tolist()]
    mistakes = find_mistakes(rows, true, given, records)
    for mistake in mistakes:
        mistake["row"] = int(np.flatnonzero(kept)[mistake["row"]])
    wrong = int((scores.argmax(axis=1) != truths).sum())
    return {"confusion": count_confusions(true, given), "mistakes": mistakes, "wrong": wrong}


__all__ = ["SequenceTable", "cut_sequences", "write_sequence_results"]
