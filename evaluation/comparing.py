"""Several evaluated runs in one table and page, with paired tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from textgenome.data.files import read_json
from textgenome.evaluation.conditions import AS_IS
from textgenome.evaluation.metrics import mcnemar
from textgenome.evaluation.report import Table, write_page
from textgenome.evaluation.reporting import save_metrics
from textgenome.evaluation.samples import RIGHT, load_samples
from textgenome.evaluation.training_curves import read_log, training_curves
from textgenome.inference.checkpoints import without_path


@dataclass(frozen=True)
class Run:
    """An evaluated model.

    Args:
        name: Of its folder.
        folder: Of the run.
        metrics: The content of its `metrics.json`.
        samples: See `load_samples`.
        facts: See `load_samples`.
    """

    name: str
    folder: Path
    metrics: dict
    samples: dict[str, np.ndarray]
    facts: dict


def open_run(folder: str | Path) -> Run:
    """Read what an evaluation wrote: into the folder, or into `evaluation` below it.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If no model was evaluated.
    """
    folder = Path(folder)
    place = folder if (folder / "metrics.json").exists() else folder / "evaluation"
    metrics = read_json(place / "metrics.json")
    if metrics is None:
        raise FileNotFoundError(f"{folder} has no metrics.json, nor has {place}. `textgenome evaluate` writes one.")
    if AS_IS not in metrics.get("conditions", {}):
        raise ValueError(f"{place / 'metrics.json'} holds baselines only. Evaluate a model to compare it.")
    name = place.parent.name if place.name == "evaluation" else place.name
    return Run(name or without_path(str(place)), folder, metrics, *load_samples(place))


def compare_runs(folders: Sequence[str | Path], output_dir: str | Path) -> dict:
    """Compare each run with the first one, on the same units, and write `metrics.json` and `report.html`.

    Args:
        folders: Of two runs or more, see `open_run`. They were evaluated on the same rows with the same seed.
        output_dir: Folder for the results.

    Returns:
        The content of `metrics.json`: as that of an evaluation, with a condition for each run. Differences are to the
        first one, with intervals of the paired bootstrap and, of answers and classes, McNemar's test.

    Raises:
        ValueError: If runs were evaluated on other rows, by another metric or with another seed.
    """
    if len(folders) < 2:
        raise ValueError(f"It takes two runs to compare, got {len(folders)}.")
    runs = list(map(open_run, folders))
    first = runs[0]
    for run in runs[1:]:
        check_comparable(first, run)
    names = [name for name in first.metrics["metrics"] if all(name in run.samples for run in runs)]
    titles = _titles(runs)
    conditions = {AS_IS: describe(first, names, titles[0], "The run that the others are compared with.")}
    for number, run in enumerate(runs[1:], 2):
        meaning = f"Evaluated on the same {first.metrics['unit']}s as {titles[0]}."
        conditions[f"run_{number}"] = describe(run, names, titles[number - 1], meaning) | differences(
            first, run, names
        )
    shared = {name: first.metrics.get(name) for name in ("task", "unit", "metric", "dataset_name", "split", "seed")}
    results = {**shared, "metrics": {name: first.metrics["metrics"][name] for name in names}, "notes": []}
    results |= {"model": " / ".join(titles), "runs": [str(folder) for folder in folders], "conditions": conditions}
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    results = save_metrics(folder, results, sentence=judge_runs(results))
    logs = {title: read_log(run.folder) for title, run in zip(titles, runs)}
    tables = [table for table in [settings_table(runs, titles)] if table.rows]
    write_page(folder / "report.html", results, figures=training_curves(logs), tables=tables)
    return results


def check_comparable(first: Run, run: Run) -> None:
    """Raise `ValueError` for runs that were not evaluated on the same units in the same way."""
    for name in ("task", "metric", "unit", "data_fingerprint"):
        if first.metrics.get(name) != run.metrics.get(name):
            what = "the rows they were evaluated on" if name == "data_fingerprint" else name
            raise ValueError(f"{first.folder} and {run.folder} differ in {what}: they cannot be compared.")
    if first.facts["seed"] != run.facts["seed"]:
        raise ValueError(
            f"{first.folder} and {run.folder} were evaluated with other seeds: evaluate one of them again."
        )
    shared = set(first.facts["units"]) & set(run.facts["units"])
    if any(first.facts["units"][name] != run.facts["units"][name] for name in shared):
        raise ValueError(f"{first.folder} and {run.folder} were evaluated on other {first.metrics['unit']}s.")


def describe(run: Run, names: Sequence[str], title: str, meaning: str) -> dict:
    given = run.metrics["conditions"][AS_IS]
    found = {"title": title, "kind": "model", "meaning": meaning, "units": given.get("units") or given.get("rows")}
    for name in names:
        found |= {name: given.get(name), f"{name}_interval": given.get(f"{name}_interval")}
    return found


def differences(first: Run, run: Run, names: Sequence[str]) -> dict:
    """The paired differences of a run to the first one."""
    found = {}
    for name in names:
        values = [each.metrics["conditions"][AS_IS].get(name) for each in (run, first)]
        spread = run.samples[name] - first.samples[name]
        spread = spread[np.isfinite(spread)]
        found[f"{name}_difference"] = None if None in values else values[0] - values[1]
        found[f"{name}_difference_interval"] = (
            [*map(float, np.percentile(spread, (2.5, 97.5)))] if len(spread) else None
        )
    if RIGHT in run.samples and RIGHT in first.samples and len(run.samples[RIGHT]) == len(first.samples[RIGHT]):
        found |= mcnemar(run.samples[RIGHT], first.samples[RIGHT])
    return found


def judge_runs(results: Mapping) -> str:
    """A sentence on each run: better or worse than the first one, or not told apart from it."""
    name = results["metric"]
    metric, (first, *others) = results["metrics"][name], results["conditions"].values()
    sign, told = (1 if metric["higher_is_better"] else -1), []
    for other in others:
        interval, difference = other[f"{name}_difference_interval"], other[f"{name}_difference"]
        if interval is None or difference is None:
            told.append(f"{other['title']} cannot be compared with {first['title']}")
            continue
        low, high = sorted(sign * end for end in interval)
        verdict = "is better than" if low > 0 else "is worse than" if high < 0 else "cannot be told apart from"
        ends = f"{interval[0]:+.3f} to {interval[1]:+.3f}"
        told.append(f"{other['title']} {verdict} {first['title']} ({metric['title']} {difference:+.3f}, {ends})")
    return "; ".join(told) + "."


def settings_table(runs: Sequence[Run], titles: Sequence[str]) -> Table:
    """The settings of the trainings that differ."""
    recipes = [run.metrics.get("recipe") or {} for run in runs]
    recipes = [{**(recipe.get("trainer") or {}), **recipe} for recipe in recipes]
    names = dict.fromkeys(name for recipe in recipes for name in recipe)
    names = [name for name in names if name not in ("trainer", "changes") and not name.endswith("_dir")]
    rows = [[name, *(_shown(recipe.get(name)) for recipe in recipes)] for name in names]
    rows = [row for row in rows if len(set(row[1:])) > 1]
    return Table("Settings that differ", ["setting", *titles], rows, "Of the trainings.")


def _shown(value: object) -> str:
    return "" if value is None else str(without_path(value)) if isinstance(value, str) else str(value)


def _titles(runs: Sequence[Run]) -> list[str]:
    names = [run.name for run in runs]
    return [name if names.count(name) == 1 else f"{name} ({number})" for number, name in enumerate(names, 1)]


__all__ = ["compare_runs"]
