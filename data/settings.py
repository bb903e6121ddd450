"""The settings of a run, in its folder: written in one place, so that a run with others is refused in one way."""

import json
from collections.abc import Collection
from pathlib import Path

from textgenome.data.files import read_json, write_json


SETTINGS = "settings.json"
FRESH_START = "Name another output_dir, or remove this one to start again."


def remember_settings(
    settings: dict,
    folder: str | Path,
    job: str,
    free: Collection[str] = (),
    allowed: Collection[str] = (),
    step: int | None = None,
) -> None:
    """Write the settings of a run into its folder, beside what an earlier start of the same run wrote there.

    Args:
        settings: Values that JSON can hold.
        folder: Output folder of the run; created if it does not exist.
        job: What the run does: `training`, `evaluation` or `asking`.
        free: Names of settings that may change without changing the result.
        allowed: Names of settings that may change although they change the result. What they were is kept in
            `changes`, a list of the `step` and the values `before` it.
        step: How far the run is.

    Raises:
        ValueError: If the folder holds a run of another job, or one with other settings. The message names them.
    """
    folder = Path(folder)
    try:
        before = read_json(folder / SETTINGS) or {}
    except ValueError as error:
        raise ValueError(f"{error} {FRESH_START}") from error
    settings = {"job": job, **json.loads(json.dumps(settings))}
    if changed := find_changes(settings, before, folder, free, allowed):
        change = {"step": step, "before": {name: before[name] for name in changed}}
        settings["changes"] = [*before.get("changes", []), change]
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / SETTINGS, {**before, **settings})


def find_changes(
    settings: dict, before: dict, place: Path, free: Collection[str] = (), allowed: Collection[str] = ()
) -> list[str]:
    """The names of settings that are others than `before`, all of them `allowed`; both name their `job`.

    Raises:
        ValueError: As `remember_settings` does, of what is in `place`.
    """
    job = settings["job"]
    if before.get("job", job) != job:
        raise ValueError(f"{place} holds the results of another job ({before['job']}). Name another output_dir.")
    changed = sorted(name for name in (settings.keys() & before.keys()) - set(free) if before[name] != settings[name])
    refused = [name for name in changed if name not in allowed]
    if refused:
        allow = " To continue with these settings, add --allow_change NAME; the card will list them."
        hint = allow if job == "training" else ""
        raise ValueError(f"{place} holds a run with other settings ({', '.join(refused)}). {FRESH_START}{hint}")
    return changed


def read_settings(folder: str | Path, job: str) -> dict:
    """The settings of a run of this job in a folder; none if there is no such run."""
    settings = read_json(Path(folder) / SETTINGS) or {}
    return settings if settings.get("job") == job else {}


__all__ = ["FRESH_START", "SETTINGS", "find_changes", "read_settings", "remember_settings"]
