"""Small charts as SVG, which take colours and fonts of the page that they are put into."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import escape


WIDTH, HEIGHT = 340, 330
LEFT, RIGHT, TOP, BOTTOM = 48, 10, 10, 44
POINTS = 200  # of a curve
DOTS = 2000  # of a scatter plot


def draw_curves(
    title: str,
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    labels: tuple[str, str],
    diagonal: bool = False,
) -> str:
    """Curves in the unit square, the first one thick, with their names below if there are several.

    Args:
        title: For readers who hear the page.
        curves: By name the points, x and y.
        labels: Of the axes, x and y.
        diagonal: Whether to draw the line from corner to corner.
    """
    thinned = {}
    for name, points in curves.items():
        chosen = np.unique(np.linspace(0, len(points[0]) - 1, POINTS).astype(int))
        thinned[name] = [np.asarray(each, dtype=float)[chosen] for each in points]
    ends = ((0, 1), (0, 1))
    mark = [f'<path class="mark" d="{_path([0, 1], [0, 1], *ends)}"/>'] if diagonal else []
    return _draw(title, thinned, labels, ends, mark)


def draw_lines(
    title: str, lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], labels: tuple[str, str]
) -> str:
    """Lines on axes that end at round numbers, with their names below if there are several.

    The arguments are those of `draw_curves`.
    """
    lines = {name: [np.asarray(each, dtype=float) for each in points] for name, points in lines.items()}
    ends = [_round_ends(np.concatenate([points[i] for points in lines.values()])) for i in range(2)]
    return _draw(title, lines, labels, ends)


def _draw(title: str, lines: Mapping, labels: tuple[str, str], ends: Sequence, below: Sequence[str] = ()) -> str:
    """Lines over what is `below` them, with their names under the axes if there are several."""
    parts, height = [*_axes(*ends, labels), *below], HEIGHT
    for i, (name, (x, y)) in enumerate(lines.items()):
        line = f'class="curve curve-{min(i, 3)}"'
        parts.append(f'<path {line} d="{_path(x, y, *ends)}"/>')
        if len(lines) > 1:
            height += 16
            parts.append(f'<path {line} d="M{LEFT} {height - 8}h24"/><text x="{LEFT + 32}" y="{height - 4}">')
            parts.append(f"{escape(name)}</text>")
    return _svg(title, parts, height)


def draw_scatter(title: str, x: Sequence[float], y: Sequence[float], labels: tuple[str, str]) -> str:
    """Points, of many every so many, and the line on which both values are equal.

    The arguments are those of `draw_curves`.
    """
    x, y = (np.asarray(each, dtype=float)[:: max(1, -(-len(x) // DOTS))] for each in (x, y))
    ends = [_round_ends(each) for each in (x, y)]
    parts = _axes(*ends, labels)
    low, high = max(ends[0][0], ends[1][0]), min(ends[0][1], ends[1][1])
    if low < high:
        parts.append(f'<path class="mark" d="{_path([low, high], [low, high], *ends)}"/>')
    parts += [f'<circle class="dot" r="2" cx="{_x(a, ends[0]):.1f}" cy="{_y(b, ends[1]):.1f}"/>' for a, b in zip(x, y)]
    return _svg(title, parts, HEIGHT)


def _svg(title: str, parts: list[str], height: int) -> str:
    start = f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">'
    return f"{start}<title>{escape(title)}</title>{''.join(parts)}</svg>"


def _axes(x: tuple[float, float], y: tuple[float, float], labels: tuple[str, str]) -> list[str]:
    parts = []
    for up in _ticks(y):
        parts.append(f'<path class="axis" d="M{LEFT} {_y(up, y):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{_y(up, y) + 4:.1f}" text-anchor="end">{up:.6g}</text>')
    for across in _ticks(x):
        place = f'x="{_x(across, x):.1f}" y="{HEIGHT - BOTTOM + 16}"'
        parts.append(f'<text {place} text-anchor="middle">{across:.6g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text x="{middle[0]}" y="{HEIGHT - 8}" text-anchor="middle">{escape(labels[0])}</text>')
    turned = f'<text transform="translate(11 {middle[1]}) rotate(-90)" text-anchor="middle">{escape(labels[1])}</text>'
    return [*parts, turned]


def _step(spread: float) -> float:
    """1, 2 or 5 times a power of ten that divides a spread into four to ten parts."""
    power = 10.0 ** math.floor(math.log10(spread / 4))
    return max(power * each for each in (1, 2, 5) if spread / (power * each) >= 4)


def _round_ends(values: np.ndarray) -> tuple[float, float]:
    """Round numbers between which all values lie."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return low - 1, high + 1
    step = _step(high - low)
    return math.floor(low / step) * step, math.ceil(high / step) * step


def _ticks(ends: tuple[float, float]) -> list[float]:
    step = _step(ends[1] - ends[0])
    first, last = math.ceil(ends[0] / step - 1e-9), math.floor(ends[1] / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _x(value: float, ends: tuple[float, float]) -> float:
    return LEFT + (value - ends[0]) / (ends[1] - ends[0]) * (WIDTH - LEFT - RIGHT)


def _y(value: float, ends: tuple[float, float]) -> float:
    return HEIGHT - BOTTOM - (value - ends[0]) / (ends[1] - ends[0]) * (HEIGHT - TOP - BOTTOM)


def _path(x: Sequence[float], y: Sequence[float], x_ends: tuple[float, float], y_ends: tuple[float, float]) -> str:
    return "M" + "L".join(f"{_x(a, x_ends):.1f} {_y(b, y_ends):.1f}" for a, b in zip(x, y))


__all__ = ["draw_curves", "draw_lines", "draw_scatter"]
