"""Rows that are kept on disk, and read when they are asked for: a cohort takes no more memory than a few patients."""

import os
import pickle
import tempfile
import threading
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence


class StoredRows(Sequence):
    """Rows in a file without a name, which is gone with the last reference to it, or with the process.

    It is in the folder for temporary files (`TMPDIR`). In memory are only the places where rows start.

    Args:
        rows: They are read once, one after the other.
        same_columns: Whether columns that only some of them have are None in the others.
    """

    def __init__(self, rows: Iterable[Mapping], same_columns: bool = False):
        self._file, self._starts, self._columns = tempfile.TemporaryFile(), array("Q", [0]), {}
        self._lock = threading.Lock()
        for row in rows:
            if same_columns:
                self._columns.update(dict.fromkeys(row))
            self._starts.append(self._starts[-1] + self._file.write(pickle.dumps(dict(row))))
        self._file.flush()

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, number: int) -> dict:
        if not 0 <= number < len(self):
            raise IndexError(f"There are {len(self)} rows, and none of the number {number}.")
        start, end = self._starts[number : number + 2]
        return {**self._columns, **pickle.loads(self._read(start, end - start))}

    def _read(self, start: int, size: int) -> bytes:
        if hasattr(os, "pread"):  # forked workers share the position of the file, which this leaves alone
            return os.pread(self._file.fileno(), size, start)
        with self._lock:  # Windows: nothing is forked there, but threads may read
            self._file.seek(start)
            return self._file.read(size)


class ChangedRows(Sequence):
    """A view of rows in which each is changed when it is read.

    Args:
        rows: The rows.
        change: Takes a row.
        places: Which of the rows, by default all.
    """

    def __init__(self, rows: Sequence, change: Callable, places: Sequence[int] | None = None):
        self._rows, self._change = rows, change
        self._places = range(len(rows)) if places is None else places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int):
        return self._change(self._rows[self._places[number]])


__all__ = ["ChangedRows", "StoredRows"]
