"""The bootstrap samples of a model's metrics, kept beside `metrics.json`, so that runs can be compared in pairs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from textgenome.evaluation.units import Pooled, resample


FILE = "samples.safetensors"
RIGHT = "right"  # of answers and classes: which rows are right


def save_samples(
    folder: Path, metrics: Mapping[str, Pooled | Sequence[float]], seed: int, right: Sequence[bool] | None = None
) -> None:
    """Write what `load_samples` reads.

    Args:
        folder: Where `metrics.json` is.
        metrics: Of the model, see `summarize_units`.
        seed: Of the bootstrap. Runs with the same seed and units draw the same units.
        right: For each row whether the model is right, where there is such a thing.
    """
    arrays, facts = {}, {"seed": seed, "units": {}}
    for name, values in metrics.items():
        units, _, samples = resample(values, seed)
        arrays[name], facts["units"][name] = samples.astype(np.float64), units
    if right is not None:
        arrays[RIGHT] = np.asarray(right, dtype=np.uint8)
    unfinished = folder / f"{FILE}.unfinished"
    save_file(arrays, unfinished, metadata={"facts": json.dumps(facts)})
    unfinished.replace(folder / FILE)


def load_samples(folder: Path) -> tuple[dict[str, np.ndarray], dict]:
    """The samples of each metric, `(1000,)`, and perhaps `right`, `(rows,)`; and `seed`, and `units` by metric.

    Raises:
        FileNotFoundError: If there are none.
    """
    path = folder / FILE
    if not path.exists():
        raise FileNotFoundError(f"{folder} has no {FILE}: evaluate the model again, by this version.")
    with safe_open(path, "numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["facts"])


__all__ = ["RIGHT", "load_samples", "save_samples"]
