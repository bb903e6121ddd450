"""Reading and writing files and folders that are there only once they are whole."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


def read_json(path: Path) -> dict | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def write_rows(rows: Iterable[Mapping], path: str | Path) -> int:
    """Write rows as JSON lines; the file is there only once all are written.

    Returns:
        How many there were.
    """
    unfinished, number = Path(f"{path}.unfinished"), 0
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                number += 1
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return number


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """A folder to write into, which gets its name when all is written, and is gone if that fails.

    Raises:
        FileExistsError: If `folder` is there.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} is there already. Remove it, or name another folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        unfinished = Path(scratch) / folder.name  # unlike the other, as readable as any folder
        unfinished.mkdir()
        yield unfinished
        unfinished.rename(folder)


__all__ = ["read_json", "write_json", "write_rows", "written_whole"]
