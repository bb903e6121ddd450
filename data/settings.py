"""The settings of a run, in its folder: written in one place, so that a run with others is refused in one way."""

import json
from collections.abc import Collection
from pathlib import Path

from textgenome.data.files import read_json, write_json


SETTINGS = "settings.json"


def remember_settings(settings: dict, folder: str | Path, job: str, free: Collection[str] = ()) -> None:
    """Write the settings of a run into its folder, beside what an earlier start of the same run wrote there.

    Args:
        settings: Values that JSON can hold.
        folder: Output folder of the run; created if it does not exist.
        job: What the run does: `training`, `evaluation` or `asking`.
        free: Names of settings that may change without changing the result.

    Raises:
        ValueError: If the folder holds a run of another job, or one with other settings. The message names them.
    """
    folder = Path(folder)
    before = read_json(folder / SETTINGS) or {}
    settings = {"job": job, **json.loads(json.dumps(settings))}
    if before.get("job", job) != job:
        raise ValueError(f"{folder} holds the results of another job ({before['job']}). Name another output_dir.")
    changed = sorted(name for name in (settings.keys() & before.keys()) - set(free) if before[name] != settings[name])
    if changed:
        raise ValueError(
            f"{folder} holds a run with other settings ({', '.join(changed)}). Name another output_dir, or remove "
            "this one for a fresh start."
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / SETTINGS, {**before, **settings})


def read_settings(folder: str | Path, job: str) -> dict:
    """The settings of a run of this job in a folder; none if there is no such run."""
    settings = read_json(Path(folder) / SETTINGS) or {}
    return settings if settings.get("job") == job else {}


__all__ = ["SETTINGS", "read_settings", "remember_settings"]
