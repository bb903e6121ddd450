"""Progress of long work: a bar on a terminal, a line every half minute where output goes into a file."""

import os
import sys
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm


SECONDS = 30  # between two lines
Batch = TypeVar("Batch", bound=Sized)


class Progress(tqdm):
    """A `tqdm` that prints lines instead of a bar if the error stream is not a terminal.

    The first line appears after half a minute, so that short work prints nothing. Of the processes that a launcher
    starts, only the first one reports.

    Args:
        iterable: What to iterate over; None to call `update` by hand.
        options: Those of `tqdm`, such as `desc`, `total` and `unit`; `disable=True` hides all.

    Example:

        for row in Progress(rows, desc="Reading", unit="row"):
            ...
    """

    def __init__(self, iterable: Iterable | None = None, **options):
        self.prints_lines = not sys.stderr.isatty()
        options["disable"] = options.get("disable") or os.environ.get("RANK", "0") != "0"
        if self.prints_lines:
            # `miniters` is set, or the monitor of tqdm would draw a bar every ten seconds.
            options |= {"mininterval": SECONDS, "delay": SECONDS, "miniters": 1}
        super().__init__(iterable, **options)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        if not self.prints_lines:
            super().display(msg, pos)
        elif self.format_dict["elapsed"] >= SECONDS:
            self.fp.write(f"{self.describe()}\n")
            self.fp.flush()

    def close(self) -> None:
        """Print the last line, if there were others, or leave the bar."""
        if not self.prints_lines:
            return super().close()
        if not self.disable:
            self.display()
            self.leave = False
            self.display = lambda *args, **kwargs: None  # tqdm would wipe a bar
        return super().close()

    def describe(self) -> str:
        """How far the work is: `Asking: 1,200 of 4,000 rows, 40.0 rows/s, 1:10 left`."""
        told = self.format_dict
        rate = told["rate"] or told["n"] / max(told["elapsed"], 1e-9)
        done, total = told["n"], told["total"]
        count = f"{done:,} of {total:,}" if total else f"{done:,}"
        units = _plural(self.unit)
        speed = f"{rate:,.1f} {units}/s" if rate >= 1 or not rate else f"{1 / rate:,.1f} s/{self.unit}"
        text = f"{told['prefix'].removesuffix(': ') or 'Working'}: {count} {units}, {speed}"
        if total and rate and done < total:
            return f"{text}, {tqdm.format_interval((total - done) / rate)} left"
        return f"{text}, {tqdm.format_interval(told['elapsed'])} in all" if done == total else text


def _plural(unit: str) -> str:
    return f"{unit}es" if unit.endswith("ch") else f"{unit}s"


def by_batch(batches: Iterable[Batch], rows: int, desc: str | None, unit: str = "row") -> Iterator[Batch]:
    """Yield batches and count their rows.

    Args:
        batches: Each with a length.
        rows: How many rows all of them hold.
        desc: What is done; None shows nothing.
        unit: Name of a row, in the singular.
    """
    with Progress(total=rows, desc=desc, unit=unit, disable=desc is None) as progress:
        for batch in batches:
            yield batch
            progress.update(len(batch))


__all__ = ["Progress", "by_batch"]
