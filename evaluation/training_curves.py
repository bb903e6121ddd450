"""Loss, learning rate and speed of a training, from the log of its trainer."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from textgenome.data.files import read_json
from textgenome.evaluation.charts import draw_lines
from textgenome.evaluation.report_parts import Figure


# By what the log calls them.
CURVES = {
    "loss": "Training loss",
    "eval_loss": "Loss of the test split",
    "learning_rate": "Learning rate",
    "tokens_per_second": "Tokens a second",
}


def read_log(folder: str | Path | None) -> list[dict]:
    """The log of the training of a model: of its last checkpoint, or of the folder itself; [] if there is none."""
    if folder is None or not Path(folder).is_dir():
        return []
    folder = Path(folder)
    numbered = [(re.fullmatch(r"checkpoint-(\d+)", path.name), path) for path in folder.glob("checkpoint-*")]
    checkpoints = sorted((int(number[1]), path) for number, path in numbered if number)
    for place in (folder, *(path for _, path in reversed(checkpoints))):
        state = read_json(place / "trainer_state.json")
        if state is not None:
            return state.get("log_history", [])
    return []


def training_curves(logs: Mapping[str, Sequence[Mapping]]) -> list[Figure]:
    """A picture of each curve that logs hold, by the name of the run.

    Args:
        logs: See `read_log`.
    """
    figures = []
    names = dict.fromkeys(name for log in logs.values() for entry in log for name in entry)
    jobs = [name for name in names if re.fullmatch("eval_.+_loss", name)]
    curves = CURVES | {name: f"Loss of the test split, {name[5:-5]}" for name in jobs}
    for name, title in curves.items():
        lines = {}
        for run, log in logs.items():
            points = [(entry["step"], entry[name]) for entry in log if name in entry and "step" in entry]
            if len(points) > 1:
                lines[run] = tuple(zip(*points))
        if lines:
            figures.append(Figure(title, draw_lines(title, lines, ("step", title.lower()))))
    return figures


__all__ = ["read_log", "training_curves"]
