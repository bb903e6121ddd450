"""Splitting tables into train, validation and test, with an account of what the parts share.

A random split of a table with several variants at a locus measures memory: most evaluated loci are in train too. A
locus-disjoint split keeps together what lies at one locus, so that the evaluated DNA is new.
"""

import json
import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from datasets import Dataset, concatenate_datasets
from numpy.lib.stride_tricks import sliding_window_view
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from textgenome.data.conversations import row_to_messages
from textgenome.data.descriptions import Description, find_description
from textgenome.data.files import refuse_existing, written_whole
from textgenome.data.forms import TableForm
from textgenome.data.labels import REGRESSION, check_labelled, class_name, find_problem_type, row_label, sequences_of
from textgenome.data.rows import list_splits, load_rows
from textgenome.genome.progress import Progress
from textgenome.processing.processing_dna import normalize_dna


K = 64
PARTS = ("train", "validation", "test")
EVALUATED = ("validation", "test")
SPLIT_ORDER = {"train": 0, "validation": 1, "val": 1, "test": 2}
LINKS = ("locus", "sequence", f"{K}-mer")
_BASE_CODES = bytes.maketrans(b"ACGTN", bytes(range(5)))
_N = 4
_HASH_WEIGHTS = np.random.default_rng(0).integers(2**64, size=K, dtype=np.uint64)

Traits = dict[str, tuple[np.ndarray, np.ndarray]]


def write_splits(
    dataset_name: str,
    output_dir: str | Path,
    by: str = "locus",
    seed: int = 0,
    locus_column: str | None = None,
    locus_pattern: str | None = None,
    on_bad_row: str = "raise",
    form: TableForm | None = None,
) -> dict:
    """Join the splits of a table, split it anew, and write `train.parquet`, `validation.parquet` and `test.parquet`.

    Rows keep their columns and, within a file, their order. The same rows and seed give the same bytes.

    Args:
        dataset_name: See `load_rows`. Splits are joined in the order train, validation, test.
        output_dir: A new or empty folder. It also gets the report, as `split.json`.
        by: `random` or `locus`, see `split_at_random` and `split_by_locus`.
        seed: Seed of the split.
        locus_column: See `Description`; by default that of the data set, if it is known.
        locus_pattern: See `Description`.
        on_bad_row: See `load_rows`.
        form: See `load_rows`. The files have the columns by the names that are read, beside those of the table.

    Returns:
        The report: `seed`, `by`, `sizes`, `answers_evaluated` with their rows in each part, `answers_in_train_only`
        with their rows, and `leakage` (see `count_leakage`).

    Raises:
        FileExistsError: If there is something in `output_dir`.
        ValueError: If rows are bad or conversations, or if there are too few to split.
    """
    if by not in ("random", "locus"):
        raise ValueError(f"Split by random or by locus, not by {by!r}.")
    output_dir = Path(output_dir)
    refuse_existing(output_dir)
    rows = _join_splits(dataset_name, on_bad_row, form)
    given = rows.to_list()
    answers = _classes(given)
    traits = row_traits(given, find_description(given, locus_column=locus_column, locus_pattern=locus_pattern))
    parts = split_at_random(len(rows), seed) if by == "random" else split_by_locus(answers, traits, seed)

    counts = {part: Counter(answers[i] for i in numbers) for part, numbers in parts.items()}
    evaluated = sorted(counts["validation"] | counts["test"])
    report = {
        "seed": seed,
        "by": by,
        "sizes": {part: len(numbers) for part, numbers in parts.items()},
        "answers_evaluated": {name: {part: counts[part][name] for part in PARTS} for name in evaluated},
        "answers_in_train_only": {name: n for name, n in sorted(counts["train"].items()) if name not in evaluated},
        "leakage": count_leakage(parts, traits),
    }
    with written_whole(output_dir) as unfinished:
        for part, numbers in parts.items():
            rows.select(numbers).to_parquet(unfinished / f"{part}.parquet")
        text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
        (unfinished / "split.json").write_text(text, encoding="utf-8")
    return report


def row_traits(rows: list[Mapping], description: Description | None = None) -> Traits:
    """What rows may have in common: question, locus, sequence, pair of sequences, 64-mer.

    A 64-mer and its reverse complement are the same; those with N do not count. They are known by a hash of 64 bits:
    two different ones that collide, a chance of about 2^-62, could join two groups but never part one.

    Args:
        rows: Rows with `sequence`, or `reference_sequence` and `variant_sequence`; and perhaps `question`.
        description: How they name their locus; by default what `find_description` finds.

    Returns:
        By the name of the trait two int arrays of equal length: numbers of rows, and a number for what the row has. A
        row comes once for each 64-mer, about 64 kB for a pair of 4,001 bases. Question and locus are left out if no
        row has one.

    Raises:
        ValueError: If the column that the description names is missing.
    """
    description = description or find_description(rows)
    pairs = [tuple(map(normalize_dna, sequences_of(row))) for row in rows]
    progress = Progress(pairs, desc=f"Reading {K}-mers", unit="row")
    kmers = [np.unique(np.concatenate([_canonical_kmers(sequence) for sequence in pair])) for pair in progress]
    numbers = np.arange(len(rows))
    sequences = [sequence for pair in pairs for sequence in pair]
    traits = {
        "question": _known([row.get("question") for row in rows]),
        "locus": _known([description.locus(row) for row in rows]),
        "sequence": (
            numbers.repeat(list(map(len, pairs))),
            _integers(sequences),
        ),
        "pair": (numbers, _integers(pairs)),
        f"{K}-mer": (numbers.repeat([len(one) for one in kmers]), np.concatenate(kmers)),
    }
    return {name: trait for name, trait in traits.items() if name not in ("question", "locus") or len(trait[0])}


def split_at_random(rows: int, seed: int = 0) -> dict[str, list[int]]:
    """Deal so many rows 8:1:1, rounded as in the published split of 1,449 rows: 1,159, 144 and the other 146.

    Returns:
        Row numbers, ascending, by the name of the part.

    Raises:
        ValueError: If there are fewer than ten rows.
    """
    if rows < 10:
        raise ValueError(f"{rows} rows are too few to split 8:1:1.")
    order = random.Random(seed).sample(range(rows), rows)
    train, validation = rows * 8 // 10, rows // 10
    ends = {"train": (0, train), "validation": (train, train + validation), "test": (train + validation, rows)}
    return {part: sorted(order[start:end]) for part, (start, end) in ends.items()}


def split_by_locus(answers: list[str], traits: Traits, seed: int = 0) -> dict[str, list[int]]:
    """Deal groups of rows about 8:1:1, so that no locus, sequence or 64-mer is in two parts.

    Rows with one of these in common are in one group, and so are rows that others link. Groups come in a random order.
    Each goes to the evaluated part that lacks most rows of its answers, of each of which both want a tenth, if that
    brings the part nearer to what it wants. Then an answer that is not evaluated yet gives its smallest group. All
    else is train, and so is each group that holds the last of an answer: what is evaluated can be learnt.

    Args:
        answers: The answer of each row.
        traits: Of the same rows, from `row_traits`.
        seed: Order of the groups.

    Returns:
        Row numbers, ascending, by the name of the part.

    Raises:
        ValueError: If validation or test would be empty.
    """
    group_of = group_rows(traits, len(answers))
    held_by = [Counter() for _ in range(group_of.max() + 1)]
    for group, answer in zip(group_of, answers):
        held_by[group][answer] += 1

    wanted = {answer: rows / 10 for answer, rows in Counter(answers).items()}
    in_train = Counter(answer for held in held_by for answer in held)
    dealt = {part: Counter() for part in EVALUATED}
    part_of = ["train"] * len(held_by)
    shuffled = random.Random(seed).sample(range(len(held_by)), len(held_by))
    for unseen_only, order in enumerate((shuffled, sorted(shuffled, key=lambda group: held_by[group].total()))):
        for group in order:
            held = held_by[group]
            if part_of[group] != "train" or any(in_train[answer] == 1 for answer in held):
                continue
            lacks = {part: sum(wanted[answer] - dealt[part][answer] for answer in held) for part in EVALUATED}
            part = max(EVALUATED, key=lambda part: (lacks[part], -dealt[part].total()))
            unseen = held.keys() - (dealt["validation"] + dealt["test"]).keys()
            if unseen if unseen_only else lacks[part] > held.total() / 2:
                part_of[group] = part
                dealt[part] += held
                in_train.subtract(held.keys())
    parts = {part: [i for i, group in enumerate(group_of) if part_of[group] == part] for part in PARTS}
    for part in EVALUATED:
        if not parts[part]:
            raise ValueError(
                f"Nothing is left for {part}: too few answers occur in two groups of linked rows or more "
                f"({len(held_by)} groups of {len(answers)} rows)."
            )
    return parts


def group_rows(traits: Traits, rows: int) -> np.ndarray:
    """Number the groups of rows that have a locus, a sequence or a 64-mer in common, or are linked by others that do.

    Args:
        traits: From `row_traits`.
        rows: How many rows there are.

    Returns:
        The number of each row's group, from 0, `(rows,)`, int32.
    """
    links = [_links(*traits[name]) for name in LINKS if name in traits]
    first, second = (np.concatenate(ends) for ends in zip(*links))
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(rows, rows))
    return connected_components(graph, directed=False)[1]


def count_leakage(parts: dict[str, list[int]], traits: Traits) -> dict[str, dict[str, int]]:
    """How many rows of validation and of test have something in common with a row of train.

    Args:
        parts: Row numbers by the name of the part.
        traits: Of the same rows, from `row_traits`.

    Returns:
        By the name of the part and of the trait, the number of rows.
    """
    leakage = {part: {} for part in EVALUATED}
    for name, (rows, values) in traits.items():
        seen = values[np.isin(rows, parts["train"])]
        for part in EVALUATED:
            inside = np.isin(rows, parts[part])
            leakage[part][name] = len(np.unique(rows[inside][np.isin(values[inside], seen)]))
    return leakage


def _join_splits(dataset_name: str, on_bad_row: str, form: TableForm | None) -> Dataset:
    tables = []
    for split in sorted(list_splits(dataset_name), key=lambda name: SPLIT_ORDER.get(name, len(SPLIT_ORDER))):
        tables.append(load_rows(dataset_name, split, on_bad_row, check=_check_row, form=form))
        for number, row in enumerate(tables[-1]):
            if row.get("messages") is not None:
                place = f"{dataset_name}, split {split!r}, row {number}"
                raise ValueError(f"{place}: a conversation in `messages` has no columns of DNA to split by.")
    return concatenate_datasets(tables)


def _check_row(row: Mapping) -> None:
    if row.get("messages") is None:  # a conversation is refused afterwards, also where bad rows are left out
        (check_labelled if row.get("question") is None else row_to_messages)(row)


def _classes(rows: list[Mapping]) -> list[str]:
    """The class of each row, to be dealt evenly; of a regression there is none, and lists of labels count whole."""
    labels = list(map(row_label, rows))
    if find_problem_type(labels) == REGRESSION:
        return ["value"] * len(labels)
    return [";".join(map(class_name, label)) if isinstance(label, list) else class_name(label) for label in labels]


def _known(values: list) -> tuple[np.ndarray, np.ndarray]:
    rows = np.array([row for row, value in enumerate(values) if value is not None], dtype=int)
    return rows, _integers([values[row] for row in rows])


def _integers(values: list) -> np.ndarray:
    seen = {}
    return np.array([seen.setdefault(value, len(seen)) for value in values])


def _canonical_kmers(sequence: str) -> np.ndarray:
    """Hashes (uint64) of the 64-mers of a sequence, in each the smaller of both strands."""
    if len(sequence) < K:
        return np.empty(0, np.uint64)
    codes = np.frombuffer(sequence.encode().translate(_BASE_CODES), np.uint8).astype(np.uint64)
    windows = sliding_window_view(codes, K)
    hashes = np.minimum(windows @ _HASH_WEIGHTS, (3 - windows) @ _HASH_WEIGHTS[::-1])
    return hashes[(windows < _N).all(axis=1)]


def _links(rows: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chain the rows that have the same value: the two ends of each link."""
    order = np.argsort(values, kind="stable")
    rows, values = rows[order], values[order]
    same = values[1:] == values[:-1]
    return rows[:-1][same], rows[1:][same]


__all__ = ["count_leakage", "group_rows", "row_traits", "split_at_random", "split_by_locus", "write_splits"]
