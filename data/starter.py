"""Starter data: variants that break a signal of gene expression, or none, made from a seed.

The reference of a row carries one or two different signals at random places of random DNA, and the variant breaks one
of them. The question never tells which, nor does the variant, nor, where there are two, the reference: it takes both.

In as many rows as there are for each signal the variant breaks none of them. Their references carry up to two signals,
so that neither a signal nor its absence gives the answer away.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

from textgenome.data.conversations import row_to_messages


if TYPE_CHECKING:
    from datasets import Dataset

# Consensus and the half-open part of it that a variant strikes. Splice sites: Shapiro and Senapathy, Nucleic Acids
# Res. 15:7155 (1987). Start codon: Kozak, Nucleic Acids Res. 15:8125 (1987). TATA box and GC box: Bucher, J. Mol.
# Biol. 212:563 (1990). Poly-A signal: Proudfoot and Brownlee, Nature 263:211 (1976).
SIGNALS = {
    "splice donor": ("CAGGTAAGT", 3, 5),
    "splice acceptor": ("TTTCTTTTCAGG", 9, 11),
    "start codon": ("GCCACCATGG", 6, 9),
    "TATA box": ("GTATAAAAG", 1, 7),
    "poly-A signal": ("AATAAA", 0, 6),
    "GC box": ("GGGGCGGGGC", 2, 8),
}
NONE = "none of these"
# By answer the reasoning before it.
ANSWERS = {f"{name} loss": f"The reference has a {name}. The variant breaks it." for name in SIGNALS}
ANSWERS[NONE] = "The variant breaks no signal."
QUESTIONS = (
    "Which signal does this variant break?",
    "What does the variant destroy?",
    "Compare the two sequences: what is lost?",
    "Which element of the reference is gone in the variant?",
    "What is the consequence of this variant?",
    "Name the site that this change abolishes.",
)
SPLITS = {"train": 27_000, "validation": 240}
LENGTHS = (32, 72)
WITH_TWO = 1 / 3  # share of references with a second signal that the variant leaves alone
WITHOUT_DNA = 17  # every so many rows; shares no factor with the number of classes


def starter_rows(split: str, seed: int = 0) -> Dataset:
    """Make the rows of one split, the same for the same seed, with equally many rows of each answer.

    Args:
        split: `validation` (240 rows), in the five columns of `row_to_messages`, or `train` (27,000 rows), of which a
            few are conversations without DNA in the column `messages`.
        seed: Seed of the split.
    """
    rng = random.Random(f"{split} {seed}")
    broken = [*SIGNALS, None]
    rows = [_row(broken[i % len(broken)], rng) for i in range(SPLITS[split])]
    if split == "train":
        # Seen with DNA only, the model would not know what to write where there is none.
        for row in rows[1::WITHOUT_DNA]:
            messages = row_to_messages(row, dna="none")
            row.update(dict.fromkeys(row), messages=messages)
        rows[0]["messages"] = None  # the first row names the columns
    from datasets import Dataset

    return Dataset.from_list(rows).shuffle(seed=seed)


def _row(broken: str | None, rng: random.Random) -> dict[str, str]:
    reference, variant = _neutral_pair(rng) if broken is None else _breaking_pair(broken, rng)
    answer = NONE if broken is None else f"{broken} loss"
    return {
        "question": rng.choice(QUESTIONS),
        "answer": answer,
        "reasoning": ANSWERS[answer],
        "reference_sequence": reference,
        "variant_sequence": variant,
    }


def _breaking_pair(broken: str, rng: random.Random) -> tuple[str, str]:
    kept = rng.sample([name for name in SIGNALS if name != broken], int(rng.random() < WITH_TWO))
    while True:
        reference, places = _reference([broken, *kept], rng)
        variant = _break(reference, places[broken], broken, rng)
        # By chance the random DNA may hold a signal of its own, or the change may make one.
        if _signals(reference) == Counter([broken, *kept]) and _signals(variant) == Counter(kept):
            return reference, variant


def _neutral_pair(rng: random.Random) -> tuple[str, str]:
    kept = rng.sample(list(SIGNALS), rng.randint(0, 2))
    while True:
        reference, _ = _reference(kept, rng)
        variant = _change(reference, 0, len(reference), rng)
        if _signals(reference) == _signals(variant) == Counter(kept):
            return reference, variant


def _signals(sequence: str) -> Counter[str]:
    return Counter({name: sequence.count(motif) for name, (motif, _, _) in SIGNALS.items() if motif in sequence})


def _reference(names: list[str], rng: random.Random) -> tuple[str, dict[str, int]]:
    """Random DNA with these signals in it, in random order, and where each starts."""
    names = rng.sample(names, len(names))
    spare = rng.randint(*LENGTHS) - sum(len(SIGNALS[name][0]) for name in names)
    cuts = sorted(rng.randint(0, spare) for _ in names)
    sequence, places = "", {}
    for name, start, end in zip(names, [0, *cuts], cuts):
        sequence += _random_dna(end - start, rng)
        places[name] = len(sequence)
        sequence += SIGNALS[name][0]
    return sequence + _random_dna(spare - (cuts[-1] if cuts else 0), rng), places


def _random_dna(length: int, rng: random.Random) -> str:
    return "".join(rng.choices("ACGT", k=length))


def _break(reference: str, place: int, broken: str, rng: random.Random) -> str:
    """The variant: a substitution, a deletion or an insertion of one base in the signal."""
    motif, start, end = SIGNALS[broken]
    first, last = place + start, place + end
    while True:
        variant = _change(reference, first, last, rng)
        # An A put before the G of an AG, say, leaves an AG one base further: nothing is lost.
        if motif[start:end] not in variant[max(first - 1, 0) : last + 1]:
            return variant


def _change(reference: str, first: int, last: int, rng: random.Random) -> str:
    """A substitution, a deletion or an insertion of one base between two places."""
    change = rng.choices(("substitution", "deletion", "insertion"), (0.7, 0.15, 0.15))[0]
    position = rng.randrange(first + (change == "insertion"), last)
    base = "" if change == "deletion" else rng.choice([b for b in "ACGT" if b != reference[position]])
    return reference[:position] + base + reference[position + (change != "insertion") :]


__all__ = ["ANSWERS", "NONE", "SIGNALS", "SPLITS", "starter_rows"]
