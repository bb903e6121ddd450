"""Which files of a folder hold which split."""

import re
from collections.abc import Iterable
from pathlib import Path

from textgenome.data.tables import formats_in_words, table_format


# In the words of the Hub's own rules for the names of files.
SPLIT_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
SPLIT_OF = {word: split for split, words in SPLIT_WORDS.items() for word in words}
SHOWN = 10
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")


def find_files(folder: Path) -> tuple[dict[str, list[Path]], list[str]]:
    """The files of each split of a folder, by the split words in their names.

    A file of a split lies in the folder, or in `data` in it, and has a word of `SPLIT_WORDS` in its name, in any case;
    or it lies in a folder named by such a word, whatever its own name. A split may have several files in one folder
    named by it, or several that differ in their numbers only. If no name holds a word, the one file, or those that
    differ in their numbers only, are `train`. Hidden files do not count.

    Returns:
        By the name of the split its files, sorted. And what else is in the folder.

    Raises:
        ValueError: If it is not clear which files are meant, or there are none.
    """
    found, unnamed, left_out = {}, [], []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        parts = file.relative_to(folder).parts
        if any(part.startswith(".") for part in parts):
            continue
        splits = _splits_of(parts) if table_format(file) else None
        if splits is None:
            left_out.append(_shown(parts))
        elif len(splits) > 1:
            raise ValueError(f"{file}: is it {' or '.join(sorted(splits))}? Rename it, or name one file.")
        elif splits:
            found.setdefault(*splits, []).append(file)
        else:
            unnamed.append(file)
    if found:
        left_out += [_shown(file.relative_to(folder).parts) for file in unnamed]
    elif unnamed:
        found = {"train": unnamed}
    else:
        others = f" There is {_listed(left_out)}." if left_out else ""
        raise ValueError(f"{folder}: there are no files that can be read, only {formats_in_words()} can.{others}")
    for split, files in found.items():
        _check_parts(folder, split, files)
    return {split: found[split] for split in SPLIT_WORDS if split in found}, list(dict.fromkeys(left_out))


def describe_files(folder: Path, split: str, files: list[Path], left_out: list[str]) -> str:
    """What is read of a folder and what is left out, in a sentence."""
    read = _listed(str(file.relative_to(folder)) for file in files)
    return f"{folder}: {split} is read from {read}" + (f"; left out: {_listed(left_out)}" if left_out else "")


def _splits_of(parts: tuple[str, ...]) -> set[str] | None:
    """The splits that the names of folders and of a file tell, or None of a file in another folder."""
    *folders, name = parts
    if folders[:1] == ["data"]:
        folders = folders[1:]
    if folders and folders[0].lower() not in SPLIT_OF:
        return None
    words = [folder.lower() for folder in folders] + [word.lower() for word in _WORD.findall(_stem(name))]
    return {SPLIT_OF[word] for word in words if word in SPLIT_OF}


def _check_parts(folder: Path, split: str, files: list[Path]) -> None:
    """Raise a `ValueError` unless the files of a split are parts of one table."""
    tables, parts = set(), set()
    for file in files:
        folders = [one for one in file.relative_to(folder).parts[:-1] if one != "data"]
        tables.add((folders[0],) if folders else (file.parent, re.sub(r"\d+", "0", _stem(file.name).lower())))
        parts.add((file.parent, _stem(file.name).lower()))
    if len(tables) > 1 or len(parts) < len(files):
        names = _listed(str(file.relative_to(folder)) for file in files)
        raise ValueError(
            f"{folder}: it is not clear which of {names} is {split}. Name one file; or let the parts of a split "
            f"differ in a number only, or be alone in a folder {split!r}."
        )


def _stem(name: str) -> str:
    return Path(name[: -len(".gz")] if name.lower().endswith(".gz") else name).stem


def _shown(parts: tuple[str, ...]) -> str:
    depth = 2 if parts[0] == "data" else 1
    return "/".join(parts[:depth]) + ("/" if len(parts) > depth else "")


def _listed(names: Iterable[str]) -> str:
    names = list(dict.fromkeys(names))
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + rest


__all__ = ["SPLIT_OF", "SPLIT_WORDS", "describe_files", "find_files"]
