"""Rows of variants into train, validation and test files: by contigs, or by locus."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from textgenome.data.files import json_line, refuse_existing, write_rows, written_whole
from textgenome.data.labelled_variants import Places
from textgenome.data.splits import PARTS, write_splits
from textgenome.genome.intervals import bare_contig


def write_by_contig(
    rows: Iterable[Mapping], output_dir: str | Path, validation: Sequence[str] = (), test: Sequence[str] = ()
) -> dict[str, int]:
    """Write `train.jsonl`, and `validation.jsonl` and `test.jsonl` with the variants of some contigs.

    Args:
        rows: With `variant`, see `read_variants`; they are written as they are read.
        output_dir: A new or empty folder.
        validation: Contigs of the validation split; `chr1` and `1` mean the same.
        test: Contigs of the test split.

    Returns:
        How many rows each file has.

    Raises:
        FileExistsError: If there is something in `output_dir`.
        ValueError: If a contig is in both splits or holds no variant, or no variant is left to train on.
    """
    held_out = {"validation": Places(validation), "test": Places(test)}
    both = held_out["validation"].contigs & held_out["test"].contigs
    if both:
        raise ValueError(f"{', '.join(sorted(both))}: name a contig for validation or for test, not for both.")
    names = [part for part in PARTS if part == "train" or held_out[part].contigs]
    sizes, seen = Counter(), set()
    with written_whole(Path(output_dir)) as folder:
        with ExitStack() as files:
            paths = {part: folder / f"{part}.jsonl" for part in names}
            opened = {part: files.enter_context(path.open("w", encoding="utf-8")) for part, path in paths.items()}
            for row in rows:
                part = next((part for part in names[1:] if held_out[part].hold(row["variant"])), "train")
                opened[part].write(json_line(row))
                sizes[part] += 1
                seen.add(bare_contig(row["variant"].rsplit(":", 3)[0]))
        missing = [name for name in [*validation, *test] if bare_contig(name) not in seen]
        if missing:
            raise ValueError(f"There is no variant on {', '.join(missing)}, which you hold out.")
        if not sizes["train"]:
            raise ValueError("No variant is left for train: look at the contigs that are held out.")
    return dict(sizes)


def write_by_locus(rows: Iterable[Mapping], output_dir: str | Path, seed: int = 0) -> dict:
    """Write `train.parquet`, `validation.parquet` and `test.parquet` that share no 64 bases, see `write_splits`.

    Returns:
        The report of `write_splits`.
    """
    output_dir = Path(output_dir)
    refuse_existing(output_dir)
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{output_dir.name}.rows-", dir=output_dir.parent) as folder:
        write_rows(rows, Path(folder) / "train.jsonl")
        return write_splits(f"{folder}/train.jsonl", output_dir, "locus", seed)


__all__ = ["write_by_contig", "write_by_locus"]
