"""Pictures along a genome: genes as boxes, signals as filled lanes. Needs matplotlib (the extra `genome`)."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from textgenome.genome.intervals import Interval, printable
from textgenome.genome.transcripts import Transcript


try:
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import FuncFormatter, MaxNLocator
except ImportError:
    Figure = None

# Of Okabe and Ito, told apart by colour-blind people, too.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
TRUTH = "#555555"
WIDTH, LANE, GENES = 11.0, 0.55, 0.28  # inches: of the picture, the height of a lane, and that of a row of genes
LETTER = 0.008  # of the width: about that of a letter, with which names are kept apart
MOST_POINTS = 4000  # of a lane: more would not be seen
AS_WRITTEN = {"parse_math": False}  # names may hold a dollar


@dataclass
class Lane:
    """A signal to draw: what was measured, and below it what was predicted, on the same scale.

    Args:
        name: On the left.
        truth: `(bins,)`, or None to draw the prediction alone. NaN is left out.
        predicted: `(bins,)`, or None to draw the truth alone.
        note: On the right, such as a correlation.
        top: Of the scale, such as 1 of probabilities; by default the largest value.
    """

    name: str
    truth: np.ndarray | None = None
    predicted: np.ndarray | None = None
    note: str = ""
    top: float | None = None


def plot_tracks(
    place: Interval, lanes: Sequence[Lane], transcripts: Sequence[Transcript] = (), title: str = ""
) -> "Figure":
    """Draw genes and signals of a place, all on one axis.

    Args:
        place: The first bin of each lane starts where it starts, and the last one ends with it.
        lanes: Signals, from top to bottom.
        transcripts: Genes of the contig; those outside of the place are left out.
        title: Above all.

    Returns:
        A figure of matplotlib: `figure.savefig(path)`, or shown at the end of a cell of a notebook.

    Raises:
        OSError: If matplotlib is missing.
    """
    if Figure is None:
        raise OSError("Drawing needs matplotlib: pip install 'textgenome[genome]'.")
    shown = [each for each in transcripts if each.exons[0][0] < place.end and each.exons[-1][1] > place.start]
    rows = arrange(shown, place)
    count = 1 + max(rows, default=-1)
    signals = [(lane, kind) for lane in lanes for kind in ("truth", "predicted") if getattr(lane, kind) is not None]
    heights = [GENES * count] * bool(count) + [LANE] * len(signals)
    total = sum(heights) + 1.0
    figure = Figure(figsize=(WIDTH, total), layout="none")
    axes = figure.subplots(
        len(heights), sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights, "hspace": 0.12}
    )[:, 0]
    figure.subplots_adjust(left=0.17, right=0.93, top=1 - 0.42 / total, bottom=0.5 / total)
    figure.suptitle(title, fontsize=10, y=1 - 0.12 / total, **AS_WRITTEN)
    if count:
        draw_genes(axes[0], shown, rows, place)
    for axis, (lane, kind) in zip(axes[bool(count) :], signals):
        draw_signal(axis, lane, kind, place, COLORS[lanes.index(lane) % len(COLORS)])
    axes[-1].set_xlim(place.start, place.end)
    axes[-1].xaxis.set_major_locator(MaxNLocator(6))
    axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda base, _: f"{base:,.0f}"))
    axes[-1].tick_params(axis="x", labelsize=8)
    axes[-1].set_xlabel(f"{printable(place.contig)}, base", fontsize=8, **AS_WRITTEN)
    return figure


def arrange(transcripts: Sequence[Transcript], place: Interval) -> list[int]:
    """The row of each transcript, so that neither boxes nor names overlap."""
    width, ends, rows = place.end - place.start, [], []
    for each in transcripts:
        start = max(each.exons[0][0], place.start)
        end = max(each.exons[-1][1], start + len(each.gene) * LETTER * width) + 0.01 * width
        row = next((number for number, taken in enumerate(ends) if taken <= start), len(ends))
        ends[row : row + 1] = [end]
        rows.append(row)
    return rows


def draw_genes(axis, transcripts: Sequence[Transcript], rows: Sequence[int], place: Interval) -> None:
    """Exons as boxes, their coding parts higher, and introns as a line with the direction of the strand."""
    width = place.end - place.start
    for each, row in zip(transcripts, rows):
        start, end = max(each.exons[0][0], place.start), min(each.exons[-1][1], place.end)
        axis.plot([start, end], [row, row], color="black", linewidth=0.8)
        arrows = np.arange(start + 0.01 * width, end, 0.02 * width)
        marker = {"+": ">", "-": "<"}.get(each.strand, "")
        axis.plot(arrows, np.full(len(arrows), row), marker, color="black", markersize=2.5)
        for parts, height in ((each.exons, 0.22), (each.cds, 0.4)):
            for first, last in parts:
                axis.add_patch(Rectangle((first, row - height / 2), last - first, height, color="black", linewidth=0))
        axis.text(start, row - 0.3, printable(each.gene), fontsize=7, va="bottom", clip_on=True, **AS_WRITTEN)
    axis.set_ylim(max(rows) + 0.35, -0.75)
    _bare(axis)
    axis.set_ylabel("genes", rotation=0, ha="right", va="center", fontsize=8)


def draw_signal(axis, lane: Lane, kind: str, place: Interval, color: str) -> None:
    """A lane as an area from 0 on, on the scale of the larger of truth and prediction."""
    values = np.asarray(getattr(lane, kind), dtype=float)
    edges = np.linspace(place.start, place.end, len(values) + 1)
    step = -(-len(values) // MOST_POINTS)
    if step > 1:
        # The highest of neighbours: peaks stay.
        values = np.maximum.reduceat(np.nan_to_num(values), np.arange(0, len(values), step))
        edges = np.append(edges[:-1:step], place.end)
    axis.stairs(values, edges, fill=True, color=TRUTH if kind == "truth" else color, linewidth=0)
    both = [each for each in (lane.truth, lane.predicted) if each is not None]
    top = lane.top or max((float(np.nanmax(each, initial=0)) for each in both), default=0) or 1
    axis.set_ylim(0, top * 1.05)
    _bare(axis)
    axis.axhline(0, color="black", linewidth=0.4)
    if lane.truth is not None and lane.predicted is not None:
        name = f"{lane.name}\nmeasured" if kind == "truth" else "predicted"
    else:
        name = lane.name
    axis.set_ylabel(printable(name), rotation=0, ha="right", va="center", fontsize=8, **AS_WRITTEN)
    axis.set_yticks([top], [f"{top:.3g}"], fontsize=6)
    axis.yaxis.tick_right()
    axis.tick_params(axis="y", length=0, pad=1)
    if lane.note and kind == "predicted":
        axis.text(0.995, 0.9, lane.note, transform=axis.transAxes, ha="right", va="top", fontsize=7)


def _bare(axis) -> None:
    axis.set_yticks([])
    axis.tick_params(axis="x", length=0)
    for side in ("left", "right", "top", "bottom"):
        axis.spines[side].set_visible(False)


def as_png(figure: "Figure", dpi: int = 110) -> bytes:
    """A figure as the bytes of a PNG image, for a report."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    return file.getvalue()


def as_svg(figure: "Figure") -> str:
    """A figure as an SVG image, which can become a part of a page."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()[file.getvalue().index("<svg") :]


__all__ = ["Lane", "as_png", "as_svg", "plot_tracks"]
