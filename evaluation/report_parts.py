"""What a page of results is put together from."""

from collections.abc import Sequence
from typing import NamedTuple


class Figure(NamedTuple):
    """A picture on the page.

    Attributes:
        title: Its heading.
        picture: An SVG image as text, which becomes a part of the page, or the bytes of a PNG image.
        caption: A sentence or two on what it shows.
        wide: Whether it takes the whole width.
    """

    title: str
    picture: str | bytes
    caption: str = ""
    wide: bool = False


def best_median_worst(order: Sequence[int]) -> dict[str, int]:
    """Which places to show, of many in an order from the best to the worst: by name, each once."""
    chosen = {}
    for name, place in {"Best": 0, "Median": len(order) // 2, "Worst": -1}.items():
        if len(order) and order[place] not in chosen.values():
            chosen[name] = order[place]
    return chosen


class Table(NamedTuple):
    """A further table on the page.

    Attributes:
        title: Its heading.
        columns: Names of the columns.
        rows: The cells of each row, the first one its name; floats get three digits.
        caption: A sentence or two on what it shows.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence]
    caption: str = ""


__all__ = ["Figure", "Table", "best_median_worst"]
