"""Coding sequences of a genome, and the proteins that they encode, as rows to ask about."""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from textgenome.data.answer_types import ANSWER_TYPE
from textgenome.data.proteins import QUESTIONS, spaced, translate
from textgenome.data.sequences import GenomeSequence
from textgenome.genome.fasta import open_fasta
from textgenome.genome.gtf import read_annotation
from textgenome.genome.intervals import Interval
from textgenome.genome.transcripts import Transcript


FEWEST = 6  # codons of a piece


def coding_rows(
    fasta: str | Path,
    gtf: str | Path,
    max_codons: int | None = None,
    copies: int = 1,
    frame: str = "known",
    seed: int = 0,
) -> tuple[list[dict], Counter]:
    """Make rows of the coding sequences of a genome.

    Of each gene the transcript with most coding bases is taken, from its first whole codon on, on its strand.

    Args:
        fasta: The genome.
        gtf: Its annotation with features `CDS`: GTF or GFF3.
        max_codons: Cut each coding sequence into pieces of `FEWEST` to so many codons, at random places. By default
            it stays whole.
        copies: Cut it so many times, at other places.
        frame: `known` starts each row at the first base of a codon; `unknown` puts none, one or two of the bases that
            are beside it in the coding sequence before and after.
        seed: Of the places.

    Returns:
        Rows with `question`, `sequence`, `answer` (see `spaced`), `answer_type` and `gene`; and how many genes were
        read, and left out for which reason.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If a file is of another format, they do not fit together, or no gene codes for anything.
    """
    rng, rows, counts = random.Random(seed), [], Counter()
    for transcript, sequence in coding_sequences(fasta, gtf):
        counts["genes"] += 1
        protein = translate(sequence)
        if "*" in protein[:-1]:
            counts["left out: a stop codon within"] += 1
        elif len(protein) < FEWEST:
            counts[f"left out: fewer than {FEWEST} codons"] += 1
        else:
            for start, end in (piece for _ in range(copies) for piece in _pieces(len(protein), max_codons, rng)):
                before, after = (0, 0) if frame == "known" else (rng.randrange(3), rng.randrange(3))
                shown = sequence[max(3 * start - before, 0) : 3 * end + after]
                answer = spaced(protein[start:end])
                row = {"question": QUESTIONS[frame], "sequence": shown, "answer": answer, ANSWER_TYPE: "protein"}
                rows.append({**row, "gene": transcript.gene})
    if not rows:
        reasons = "; ".join(f"{reason}: {count}" for reason, count in counts.items()) or "it has no CDS"
        raise ValueError(f"{gtf}: there is no coding sequence to ask about ({reasons}).")
    return rows, counts


def hold_out_genes(rows: list[dict], seed: int = 0) -> tuple[list[dict], list[dict]]:
    """The rows of nine genes of ten, and those of the others, which are drawn by the seed.

    Raises:
        ValueError: If there are fewer than two genes.
    """
    genes = sorted({row["gene"] for row in rows})
    if len(genes) < 2:
        raise ValueError(f"There is only the gene {genes[0]}: nothing would be left to train on.")
    held_out = {*random.Random(seed).sample(genes, -(-len(genes) // 10))}
    return [row for row in rows if row["gene"] not in held_out], [row for row in rows if row["gene"] in held_out]


def coding_sequences(fasta: str | Path, gtf: str | Path) -> Iterator[tuple[Transcript, str]]:
    """For each gene its transcript with most coding bases, and these from the first whole codon on."""
    annotation = read_annotation(gtf, types=())
    with open_fasta(fasta) as genome:
        for name, theirs in annotation.named_as(genome.references).items():
            longest: dict[str, Transcript] = {}
            for each in annotation.transcripts(theirs):
                known = longest.get(each.gene)
                if each.cds and (known is None or _bases(each) > _bases(known)):
                    longest[each.gene] = each
            for each in longest.values():
                parts = [GenomeSequence(genome, Interval(name, *part), each.strand)[:] for part in each.cds]
                yield each, "".join(reversed(parts) if each.strand == "-" else parts)[each.phase :]


def _bases(transcript: Transcript) -> int:
    return sum(end - start for start, end in transcript.cds)


def _pieces(codons: int, longest: int | None, rng: random.Random) -> Iterator[tuple[int, int]]:
    """Start and end of each piece, in codons; what is left over before the first and after the last is shortest."""
    if longest is None:
        yield 0, codons
        return
    start = rng.randrange(min(FEWEST, codons - FEWEST + 1))
    while codons - start >= FEWEST:
        length = rng.randint(FEWEST, min(longest, codons - start))
        yield start, start + length
        start += length


__all__ = ["coding_rows", "coding_sequences", "hold_out_genes"]
