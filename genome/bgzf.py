"""Bytes of a file, plain or compressed by bgzip, one after the other or at any place."""

import gzip
import io
import os
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO


# SAM specification, section 4.1: a block of bgzip is one of gzip that holds its own size, in the extra field BC.
_GZIP = b"\x1f\x8b"
_HEAD = 18
_LAST_BLOCK = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def is_bgzip(path: str | Path, head: bytes) -> bool:
    """Whether a file that starts with these bytes is compressed by bgzip.

    Raises:
        ValueError: If it is compressed by gzip, which allows no access to places.
    """
    if not head.startswith(_GZIP):
        return False
    if len(head) > 13 and not (head[3] & 4 and head[12:14] == b"BC"):
        raise ValueError(f"{path}: it is compressed by gzip. Uncompress it, or compress it by bgzip.")
    return True


@contextmanager
def open_bytes(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file or a pipe, and uncompress what bgzip has compressed.

    Raises:
        OSError: If it cannot be opened.
        ValueError: If it is damaged, truncated, or compressed in another way.
    """
    with open(path, "rb") as file:
        compressed = is_bgzip(path, file.peek(_HEAD)[:_HEAD])
        if compressed and file.seekable():
            _check_last_block(path, file)
        try:
            yield io.BufferedReader(gzip.GzipFile(fileobj=file), 1 << 20) if compressed else file
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path}: cannot be read: it is damaged or truncated ({error}).") from error


def _check_last_block(path: str | Path, file: BinaryIO) -> None:
    file.seek(max(0, os.fstat(file.fileno()).st_size - len(_LAST_BLOCK)))
    if file.read() != _LAST_BLOCK:
        raise ValueError(f"{path}: cannot be read: the block that ends it is not there, so it may be truncated.")
    file.seek(0)


class PlainBytes:
    """The bytes of an open file, by their places, and its `size`."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def read(self, offset: int, number: int) -> bytes:
        """At most so many bytes, fewer at the end of the file."""
        self._file.seek(offset)
        return self._file.read(number)


class BgzipBytes:
    """The bytes of an open file that bgzip has compressed, by their places when uncompressed, and its `size` then.

    `blocks` has, for each block, where it starts in the file and in the uncompressed bytes.
    """

    def __init__(self, path: str | Path, file: BinaryIO):
        self._file = file
        self.blocks, self._ends = [], []
        start = self.size = 0
        while head := self._read(start, _HEAD):
            if len(head) < _HEAD or not head.startswith(_GZIP) or head[12:14] != b"BC":
                raise ValueError(f"{path}: cannot be read: no block of bgzip starts at byte {start}.")
            end = start + int.from_bytes(head[16:18], "little") + 1
            self.blocks.append((start, self.size))
            self._ends.append(end)
            self.size += int.from_bytes(self._read(end - 4, 4), "little")
            start = end
        self._uncompress = lru_cache(maxsize=4)(self._uncompress_block)

    @property
    def index(self) -> list[tuple[int, int]]:
        """The blocks that an index (.gzi) has to name: those that hold something, but the first."""
        ends = [*(start for _, start in self.blocks[1:]), self.size]
        return [block for block, end in zip(self.blocks, ends) if block[0] and block[1] < end]

    def read(self, offset: int, number: int) -> bytes:
        """At most so many bytes, fewer at the end of the file."""
        block = bisect_right(self.blocks, offset, key=lambda block: block[1]) - 1
        found = b""
        while len(found) < number and 0 <= block < len(self.blocks):
            skipped = max(0, offset - self.blocks[block][1])
            found += self._uncompress(block)[skipped : skipped + number - len(found)]
            block += 1
        return found

    def _read(self, offset: int, number: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(number)

    def _uncompress_block(self, block: int) -> bytes:
        start = self.blocks[block][0]
        return zlib.decompress(self._read(start, self._ends[block] - start), wbits=31)


__all__ = ["BgzipBytes", "PlainBytes", "is_bgzip", "open_bytes"]
