"""The table of results of every task: one form of `metrics.json`, one page, one table for a terminal."""

import json
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from textgenome.evaluation.conditions import AS_IS, CONDITIONS, Condition
from textgenome.evaluation.jobs import format_jobs
from textgenome.evaluation.metrics import METRICS, Metric
from textgenome.evaluation.report import Figure, Table, write_page
from textgenome.evaluation.samples import save_samples
from textgenome.evaluation.training_curves import read_log, training_curves
from textgenome.evaluation.units import Measured, Pooled, summarize_units
from textgenome.evaluation.verdict import judge


PACKAGES = ("textgenome", "torch", "transformers", "peft", "tokenizers", "scikit-learn")
SHOWN = 4  # metrics beside the one that decides, in a terminal


def write_results(
    output_dir: str | Path,
    task: str,
    measured: Measured,
    unit: str,
    metrics: Mapping[str, Metric] = METRICS,
    conditions: Mapping[str, Condition] = CONDITIONS,
    facts: Mapping | None = None,
    unpaired: Collection[str] = (),
    only_answer: str | None = None,
    notes: Sequence[str] = (),
    figures: Sequence[Figure] = (),
    tables: Sequence[Table] = (),
    details: Mapping | None = None,
    right: Sequence[bool] | None = None,
    seed: int = 0,
) -> dict:
    """Write `metrics.json` and `report.html` of a model beside its baselines and controls.

    To be called by one process; `format_table` is what to print of the result.

    Args:
        output_dir: Folder for both; it is made if it is not there.
        task: Name of the task, such as `annotation`.
        measured: See `summarize_units`. The condition `as_is` is the model, `dna_exchanged` tells whether it uses the
            DNA, and those of the kind `baseline` are what it has to beat. The first metric of the first condition is
            the one that decides, and order of both is that of the tables.
        unit: What is resampled, in the singular: `region`, `locus`, `gene`, `person`, `row`.
        metrics: Words for the names of the metrics.
        conditions: Words for the names of the conditions.
        facts: What else is known of the run and kept in `metrics.json`, such as `model`, `dataset_name`, `split`.
        unpaired: See `summarize_units`.
        only_answer: The class, if the model gives all units the same one although they are of several.
        notes: Sentences for the reader of the table, such as how many duplicates were left out.
        figures: Pictures for the page.
        tables: Further tables for the page, such as one row a label.
        details: Of answers, see `write_page`.
        right: For each row whether the model is right, where there is such a thing, for the test of `compare_runs`.
        seed: Of the bootstrap.

    Returns:
        The content of `metrics.json`: `verdict`, a sentence that says what beats what (see `judge`); `task`, `unit`,
        `metric`, the name of the metric that decides, `metrics`, by name what `Metric` holds; the facts and `notes`;
        `conditions`, by name `title`, `kind`, `meaning`, `units` and what `summarize_units` returns; `versions`,
        `date`.

    Examples:
        >>> measured = {"as_is": {"pearson": by_region}, "mean": {"pearson": by_region_of_the_mean_track}}
        >>> metrics = write_results("outputs/tracks/evaluation", "tracks", measured, unit="region")
        >>> print(format_table(metrics))
    """
    names = dict.fromkeys(name for values in measured.values() for name in values)
    summaries = summarize_units(measured, unpaired=unpaired, seed=seed)
    results = {
        "task": task,
        "unit": unit,
        "metric": next(iter(names)),
        "metrics": {name: metrics[name]._asdict() for name in names},
        **(facts or {}),
        "notes": list(notes),
        "conditions": {
            name: {**conditions[name]._asdict(), "units": _count_units(measured[name]), **summary}
            for name, summary in summaries.items()
        },
    }
    if only_answer is not None:
        results["conditions"][AS_IS]["only_answer"] = only_answer
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    results = save_metrics(folder, results)
    if AS_IS in measured:
        save_samples(folder, measured[AS_IS], seed, right)
    curves = training_curves({"training": read_log(results.get("model"))})
    write_page(folder / "report.html", results, figures=[*figures, *curves], tables=tables, **(details or {}))
    return results


def save_metrics(folder: Path, metrics: dict, sentence: str | None = None) -> dict:
    """Write `metrics.json` with its verdict first, and versions and date last; returns its content.

    The verdict is `sentence`, or by default that of `judge`.
    """
    metrics = {"verdict": sentence or judge(metrics), **metrics, "versions": versions()}
    metrics["date"] = datetime.now(UTC).isoformat(timespec="seconds")
    text = json.dumps(metrics, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
    return metrics


def _count_units(values: Mapping[str, Pooled | Sequence[float]]) -> int:
    metric = next(iter(values.values()))
    return metric.units if isinstance(metric, Pooled) else len(metric)


def note_speed(bases_per_second: Mapping[str, float]) -> str:
    """A sentence for the reader: bases a second, by what was done."""
    return "Bases a second: " + ", ".join(f"{rate:,.0f} {name}" for name, rate in bases_per_second.items()) + "."


def versions() -> dict[str, str | None]:
    """Of the packages that a result may depend on, and of this one its commit, if it runs from a checkout."""
    found = {name: metadata.version(name) for name in PACKAGES}
    checkout, commit = Path(__file__).resolve().parents[1], None
    if (checkout / ".git").exists() and shutil.which("git"):
        git = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40"]
        commit = subprocess.run(git, capture_output=True, text=True).stdout.strip() or None
    return {**found, "commit": commit}


def format_table(metrics: Mapping) -> str:
    """The verdict, and below it the conditions, as text for a terminal. Takes the content of any `metrics.json`."""
    decides, others = metrics["metric"], [name for name in metrics["metrics"] if name != metrics["metric"]][:SHOWN]
    header = ["", metrics["metrics"][decides]["title"], "95 % interval", "difference", "95 % interval"]
    with_p = any("p_value" in summary for summary in metrics["conditions"].values())
    lines = [[*header, *(["p"] if with_p else []), *(metrics["metrics"][name]["title"] for name in others)]]
    for summary in metrics["conditions"].values():
        difference = summary.get(f"{decides}_difference")
        line = [summary["title"], format_number(summary.get(decides)), _ends(summary.get(f"{decides}_interval"))]
        line += [format_number(difference, "+"), _ends(summary.get(f"{decides}_difference_interval"), "+")]
        line += [f"{summary['p_value']:.2g}" if "p_value" in summary else ""] if with_p else []
        lines.append(line + [format_number(summary.get(name)) for name in others])
    widths = [max(map(len, column)) for column in zip(*lines)]
    text = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines]
    jobs = ["", format_jobs(metrics["jobs"])] if metrics.get("jobs") else []
    notes = ["", *metrics["notes"]] if metrics.get("notes") else []
    return "\n".join([metrics["verdict"], "", *text, *jobs, *notes])


def format_number(value: float | None, sign: str = "") -> str:
    """A figure of a table, of None nothing."""
    return "" if value is None else f"{value:{sign}.1f}" if abs(value) >= 10 else f"{value:{sign}.3f}"


def _ends(interval: Sequence[float] | None, sign: str = "") -> str:
    return "" if interval is None else " to ".join(format_number(end, sign) for end in interval)


__all__ = [
    "Figure",
    "Table",
    "format_number",
    "format_table",
    "note_speed",
    "save_metrics",
    "versions",
    "write_results",
]
