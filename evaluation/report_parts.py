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


__all__ = ["Figure", "Table"]
