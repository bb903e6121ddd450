"""Pictures of what each base does: letters as high as they matter, and a heat map of all changes. Needs matplotlib."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


try:
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties
    from matplotlib.patches import PathPatch
    from matplotlib.textpath import TextPath
    from matplotlib.transforms import Affine2D
except ImportError:
    Figure = None

LETTERS = "ACGT"
# Of Okabe and Ito, told apart by colour-blind people, too.
COLORS = {"A": "#009e73", "C": "#0072b2", "G": "#e69f00", "T": "#d55e00", "N": "#888888"}
BASE, LEAST, MOST = 0.17, 6.0, 60.0  # inches: of a base, and of the picture at least and at most
MARK = "#bbbbbb"


@dataclass
class Row:
    """A row of letters.

    Args:
        name: On the left.
        heights: `(bases,)`, signed; negative letters hang below the line.
    """

    name: str
    heights: np.ndarray


def plot_bases(
    sequence: str,
    start: int,
    rows: Sequence[Row],
    effects: np.ndarray | None = None,
    changed: tuple[int, int] | None = None,
    title: str = "",
    unit: str = "",
) -> "Figure":
    """Draw a sequence as logos, and below them what each change of a base does.

    Args:
        sequence: The bases.
        start: 0-based place of the first one: the axis counts from 1.
        rows: Logos, from top to bottom.
        effects: `(bases, 4)`, of changes to A, C, G and T; NaN where there is none.
        changed: Start and end, half-open and within `sequence`, of what to mark.
        title: Above all.
        unit: Of effects, for the colour bar.

    Returns:
        A figure of matplotlib.

    Raises:
        OSError: If matplotlib is missing.
    """
    if Figure is None:
        raise OSError("Drawing needs matplotlib: pip install 'textgenome[plots]'.")
    count = len(rows) + (effects is not None)
    width = min(max(BASE * len(sequence) + 2.2, LEAST), MOST)
    figure = Figure(figsize=(width, 1.5 * len(rows) + 1.0 * (effects is not None) + 0.9), layout="constrained")
    ratios = [1.5] * len(rows) + [1.0] * (effects is not None)
    axes = figure.subplots(count, sharex=True, squeeze=False, gridspec_kw={"height_ratios": ratios})[:, 0]
    figure.suptitle(title, fontsize=10, parse_math=False)  # names may hold a dollar
    for axis, row in zip(axes, rows):
        draw_logo(axis, sequence, row)
    if effects is not None:
        draw_effects(figure, axes[-1], sequence, effects, unit)
    for axis in axes:
        if changed is not None:
            first, last = changed if changed[1] > changed[0] else (changed[0] - 0.15, changed[0] + 0.15)
            axis.axvspan(first - 0.5, last - 0.5, color=MARK, alpha=0.35, linewidth=0, zorder=0)
        for side in ("top", "right", "bottom"):
            axis.spines[side].set_visible(False)
    axes[-1].set_xlim(-0.6, len(sequence) - 0.4)
    step = max(1, round(len(sequence) / 12 / 5) * 5) if len(sequence) > 12 else 1
    places = [place for place in range(len(sequence)) if (start + place + 1) % step == 0]
    axes[-1].set_xticks(places, [f"{start + place + 1:,}" for place in places], fontsize=8)
    axes[-1].set_xlabel("base, counted from 1", fontsize=8)
    return figure


def draw_logo(axis, sequence: str, row: Row) -> None:
    """Letters that rise from the line, or hang from it, as high as their values."""
    values = np.nan_to_num(np.asarray(row.heights, dtype=float))
    font = FontProperties(family="DejaVu Sans", weight="bold")
    for place, (base, value) in enumerate(zip(sequence, values)):
        if value:
            path = TextPath((0, 0), base, size=1, prop=font)
            box = path.get_extents()
            scale = Affine2D().translate(-box.x0, -box.y0).scale(0.9 / box.width, value / box.height)
            path = scale.translate(place - 0.45, 0).transform_path(path)
            axis.add_patch(PathPatch(path, color=COLORS.get(base, COLORS["N"]), linewidth=0))
    low, high = min(0.0, float(values.min(initial=0))), max(0.0, float(values.max(initial=0)))
    margin = 0.08 * ((high - low) or 1)
    axis.set_ylim(low - margin * (low < 0), high + margin)
    axis.axhline(0, color="black", linewidth=0.5)
    axis.set_ylabel(row.name, fontsize=8)
    axis.tick_params(axis="y", labelsize=7)
    axis.tick_params(axis="x", length=0)


def draw_effects(figure: "Figure", axis, sequence: str, effects: np.ndarray, unit: str) -> None:
    """A heat map with a row for each base that another is changed to; dots mark the bases that are there."""
    reach = float(np.nanmax(np.abs(effects), initial=0)) or 1
    colors = colormaps["RdBu"].with_extremes(bad="#dddddd")
    image = axis.imshow(effects.T, cmap=colors, vmin=-reach, vmax=reach, aspect="auto", interpolation="nearest")
    own = [(place, LETTERS.index(base)) for place, base in enumerate(sequence) if base in LETTERS]
    axis.plot(*zip(*own), ".", color="black", markersize=2.5)
    axis.set_yticks(range(4), list(LETTERS), fontsize=8)
    axis.tick_params(length=0)
    axis.set_ylabel("changed to", fontsize=8)
    bar = figure.colorbar(image, ax=axis, fraction=0.02, pad=0.01)
    bar.set_label(unit, fontsize=7, parse_math=False)
    bar.ax.tick_params(labelsize=7)


__all__ = ["Row", "plot_bases"]
