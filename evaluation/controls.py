"""Does the model use the DNA, and what of it? The same rows, changed in one way each.

A control takes rows whose DNA is already cut to windows, in `reference_sequence` and `variant_sequence` or, of one
sequence a row, in `sequence`; a seed; and perhaps a description of the data set, by default what `find_description`
finds. It gives the same rows, one after the other, with that one change. A row without DNA has None in its columns.
"""

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

from textgenome.data.conversations import DNA_COLUMNS
from textgenome.data.descriptions import Description, find_description
from textgenome.data.sequences import reverse_complement


_SYMBOL = re.compile(r"\b[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)*\b")


def sequence_columns(row: Mapping) -> list[str]:
    """Which columns of a row hold DNA."""
    return [column for column in ("sequence", *DNA_COLUMNS) if column in row]


def exchange_dna(rows: Sequence[Mapping], seed: int = 0, description: Description | None = None) -> Iterator[dict]:
    """Give each row the DNA of another row of the same job; all of it is used once. A single row keeps its own."""
    jobs = [(row.get("job"), *(name for name in sequence_columns(row) if row[name] is not None)) for row in rows]
    order = list(range(len(jobs)))
    random.Random(seed).shuffle(order)
    places: dict[tuple, list[int]] = {}
    for i in order:
        places.setdefault(jobs[i], []).append(i)
    donors = {i: donor for job in places.values() for i, donor in zip(job, job[1:] + job[:1])}
    for i, row in enumerate(rows):
        donor = rows[donors[i]]
        yield {**row, **{column: donor[column] for column in sequence_columns(row)}}


def remove_dna(rows: Sequence[Mapping], seed: int = 0, description: Description | None = None) -> Iterator[dict]:
    """Leave the question only."""
    return ({**row, **dict.fromkeys(sequence_columns(row))} for row in rows)


def shuffle_dna(rows: Sequence[Mapping], seed: int = 0, description: Description | None = None) -> Iterator[dict]:
    """Shuffle each window by itself, keeping its dinucleotides.

    What the pair differs in by composition stays: a lost CpG is still one CpG less.
    """
    rng = random.Random(seed)
    return (
        {**row, **{name: row[name] and shuffle_dinucleotides(row[name], rng) for name in sequence_columns(row)}}
        for row in rows
    )


def turn_dna(rows: Sequence[Mapping], seed: int = 0, description: Description | None = None) -> Iterator[dict]:
    """Show the other strand of each sequence."""
    return (
        {**row, **{name: row[name] and reverse_complement(row[name]) for name in sequence_columns(row)}}
        for row in rows
    )


def swap_pair(rows: Sequence[Mapping], seed: int = 0, description: Description | None = None) -> Iterator[dict]:
    """Show the variant as the reference and the reference as the variant."""
    first, second = DNA_COLUMNS
    return ({**row, first: row[second], second: row[first]} for row in rows)


def show_reference_only(
    rows: Sequence[Mapping], seed: int = 0, description: Description | None = None
) -> Iterator[dict]:
    """Show the reference in place of the variant, too."""
    return ({**row, DNA_COLUMNS[1]: row[DNA_COLUMNS[0]]} for row in rows)


def ask_constant_question(
    rows: Sequence[Mapping], seed: int = 0, description: Description | None = None
) -> Iterator[dict]:
    """Ask every row the same question, that of the description, which names no gene."""
    question = (description or find_description(rows)).constant_question
    return ({**row, "question": question} for row in rows)


def mask_genes(rows: Sequence[Mapping], seed: int = 0, description: Description | None = None) -> Iterator[dict]:
    """Replace the genes that the question names by random symbols, others in each row.

    Which genes these are, the description tells. The full names in a list of genes go too, and so do capitalised words
    that begin a symbol, as CREB does CREB1. A question without genes is not changed.
    """
    rng, description = random.Random(seed), description or find_description(rows)
    return ({**row, "question": _mask(row, description, rng)} for row in rows)


def _mask(row: Mapping, description: Description, rng: random.Random) -> str:
    question, genes = row["question"], description.genes(row)
    symbols: dict[str, str] = {}

    def symbol_for(word: str) -> str:
        if word not in symbols:
            symbols[word] = "".join(rng.choices("BDFGHJKLMNPQRSTVWXZ", k=4)) + str(rng.randint(1, 99))
        return symbols[word]

    def replace(match: re.Match) -> str:
        word = match.group()
        family = len(word) > 2 and word.isupper() and any(gene.startswith(word) for gene in genes)
        return symbol_for(word) if word in genes or family else word

    if description.listed_gene_pattern:
        question = re.sub(description.listed_gene_pattern, _name_by_symbol, question)
    return _SYMBOL.sub(replace, question)


def _name_by_symbol(listed: re.Match) -> str:
    symbol, name = listed.groups()
    before, _, after = listed[0].rpartition(name.strip())
    return f"{before}{symbol}{after}" if name.strip() else listed[0]


def shuffle_dinucleotides(sequence: str, rng: random.Random) -> str:
    """A random sequence with the same dinucleotides, and so the same letters and the same ends.

    A random Eulerian walk, after Altschul and Erickson, Mol. Biol. Evol. 2:526 (1985).
    """
    followers: dict[str, list[str]] = {}
    for letter, follower in pairwise(sequence):
        followers.setdefault(letter, []).append(follower)
    end = sequence[-1]
    while True:
        # The last way out of every letter must lead to the end, or the walk would stop before all are used.
        last = {letter: rng.choice(choices) for letter, choices in followers.items() if letter != end}
        if all(_leads_to(end, letter, last) for letter in last):
            break
    walks = {}
    for letter, choices in followers.items():
        rest = list(choices)
        if letter in last:
            rest.remove(last[letter])
        rng.shuffle(rest)
        walks[letter] = iter(rest + [last[letter]] if letter in last else rest)
    shuffled = [sequence[0]]
    for _ in sequence[1:]:
        shuffled.append(next(walks[shuffled[-1]]))
    return "".join(shuffled)


def _leads_to(end: str, letter: str, last: dict[str, str]) -> bool:
    for _ in last:
        if letter == end:
            break
        letter = last[letter]
    return letter == end


# By name, see `CONDITIONS`. The first is the primary one.
CONTROLS: dict[str, Callable[[Sequence[Mapping], int, Description | None], Iterator[dict]]] = {
    "dna_exchanged": exchange_dna,
    "dna_removed": remove_dna,
    "dna_shuffled": shuffle_dna,
    "pair_swapped": swap_pair,
    "reference_only": show_reference_only,
    "reverse_complement": turn_dna,
    "constant_question": ask_constant_question,
    "genes_masked": mask_genes,
}

# For a model that sees no text: of one sequence a row, and of pairs.
SEQUENCE_CONTROLS = ("dna_exchanged", "dna_shuffled", "reverse_complement")
DNA_CONTROLS = (*SEQUENCE_CONTROLS, "pair_swapped", "reference_only")

__all__ = [
    "CONTROLS",
    "DNA_CONTROLS",
    "SEQUENCE_CONTROLS",
    "ask_constant_question",
    "exchange_dna",
    "mask_genes",
    "remove_dna",
    "show_reference_only",
    "shuffle_dinucleotides",
    "shuffle_dna",
    "swap_pair",
    "turn_dna",
]
