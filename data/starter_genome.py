"""A starter genome: a small one that is made from a seed, with rules that a model can learn.

Genes have start and stop codons, introns from GT to AG, and codons of which some are preferred. Signals peak where
motifs are; a promoter with more activator sites starts more transcripts. People differ at sites of which some break a
motif, and the gene after it is expressed less (`starter_people`).
"""

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from textgenome.data.sequences import reverse_complement
from textgenome.data.starter_people import write_people
from textgenome.genome.bigwig import BigWigWriter
from textgenome.genome.fasta import open_fasta


CONTIGS = {f"chr{number}": 50_000 for number in range(1, 9)}
HELD_OUT = ("chr7", "chr8")
WINDOW = 4096  # bases of a region
STEP = 8  # bases of a value in the bigWig files

# One codon is preferred for each amino acid, and three times of four it is the one that is used.
CODONS = (
    "GCC GCT GCA|TGC TGT|GAC GAT|GAG GAA|TTC TTT|GGC GGT GGA|CAC CAT|ATC ATT|AAG AAA|CTG CTC TTA|AAC AAT|CCC CCT CCA|"
    "CAG CAA|CGC CGT AGA|AGC TCC TCA|ACC ACT ACA|GTG GTC GTA|TAC TAT|TGG|ATG"
)
PREFERRED = 0.75
STOPS = ("TAA", "TAG", "TGA")
DONOR, ACCEPTOR = "GTAAGT", "TTTTCTTTTTCAG"
TATA = "TATAAAAGG"  # begins 31 bases before the first base of a transcript
ACTIVATOR = "TGACTCATCC"  # up to three of them, 60 to 220 bases before it
INSULATOR = "CCAGCAGGGGGCGCT"  # between genes
PROMOTER = 250

# For each track what peaks at: the height there and the width, as a standard deviation in bases.
TRACKS = {
    "accessibility": ("ATAC", ".", {"activator": (4, 60), "insulator": (6, 60), "start": (5, 50)}),
    "binding": ("ChIP", ".", {"insulator": (8, 40)}),
    "start.plus": ("CAGE", "+", {"start": (3, 16)}),
    "start.minus": ("CAGE", "-", {"start": (3, 16)}),
    "coverage.plus": ("RNA", "+", {}),
    "coverage.minus": ("RNA", "-", {}),
}


@dataclass
class Gene:
    """A planted gene. Places are 0-based and half-open, on the contig.

    Args:
        name: Its id.
        contig: Where it is.
        strand: `+` or `-`.
        exons: In the order of the contig, like `cds`, which does not include the stop codon.
        cds: The coding parts of the exons.
        stop: The stop codon.
        motifs: The motifs of its promoter.
        activators: How many of them are activator sites.
    """

    name: str
    contig: str
    strand: str
    exons: list[tuple[int, int]]
    cds: list[tuple[int, int]]
    stop: tuple[int, int]
    motifs: list[tuple[int, int]]
    activators: int

    @property
    def start(self) -> int:
        """The first base of its transcript."""
        return self.exons[0][0] if self.strand == "+" else self.exons[-1][1] - 1


@dataclass
class Genome:
    """The bases of each contig, its genes, and the places of motifs between them by kind."""

    sequences: dict[str, str] = field(default_factory=dict)
    genes: list[Gene] = field(default_factory=list)
    activators: list[tuple[str, int]] = field(default_factory=list)
    insulators: list[tuple[str, int]] = field(default_factory=list)


def write_starter_genome(folder: str | Path, seed: int = 0) -> Path:
    """Write the starter genome: the same files for the same seed, in a few seconds.

    `genome.fa`, `genes.gtf`, `genes.bed` (BED6, one line a gene), `tracks.tsv` with its bigWig files, `train.bed` and
    `valid.bed` (regions of 4,096 bases on different contigs), `people.vcf.gz` (60 people, phased), `expression.bed.gz`
    (genes by people) and `covariates.tsv`.

    Args:
        folder: Where to write; it is made. Files of these names in it are replaced.
        seed: Seed of all that is random.

    Returns:
        The folder.

    Raises:
        OSError: If pysam or pyBigWig is missing, or the folder cannot be written.
    """
    folder, rng = Path(folder), np.random.default_rng(seed)
    (folder / "bigwig").mkdir(parents=True, exist_ok=True)
    genome = make_genome(rng)
    fasta = folder / "genome.fa"
    with fasta.open("w", encoding="ascii") as file:
        for name, sequence in genome.sequences.items():
            lines = (sequence[i : i + 60] for i in range(0, len(sequence), 60))
            file.write(f">{name}\n" + "".join(f"{line}\n" for line in lines))
    Path(f"{fasta}.fai").unlink(missing_ok=True)
    open_fasta(fasta).close()  # which writes the index
    (folder / "genes.gtf").write_text("".join(map(_gtf, genome.genes)), encoding="ascii")
    beds = (f"{g.contig}\t{g.exons[0][0]}\t{g.exons[-1][1]}\t{g.name}\t0\t{g.strand}\n" for g in genome.genes)
    (folder / "genes.bed").write_text("".join(beds), encoding="ascii")
    write_regions(folder)
    write_tracks(folder, genome, rng)
    write_people(folder, genome.sequences, genome.genes, rng)
    return folder


def make_genome(rng: np.random.Generator) -> Genome:
    genome = Genome()
    for contig, length in CONTIGS.items():
        pieces, place = [], 0
        while True:
            between = int(rng.integers(1200, 3200))
            sequence, gene = _gene(f"G{len(genome.genes) + 1:04d}", contig, rng)
            if place + between + len(sequence) > length - 500:
                break
            pieces.append(_between(between, contig, place, genome, rng))
            place += between
            pieces.append(sequence)
            genome.genes.append(_shift(gene, place))
            place += len(sequence)
        pieces.append(_random(length - place, rng))
        genome.sequences[contig] = "".join(pieces)
    return genome


def _random(length: int, rng: np.random.Generator, weights: tuple[float, ...] = (0.3, 0.2, 0.2, 0.3)) -> str:
    return "".join(rng.choice(list("ACGT"), size=length, p=weights))


def _between(length: int, contig: str, place: int, genome: Genome, rng: np.random.Generator) -> str:
    """DNA between genes, with an insulator and an activator site, or one of them."""
    sequence = _random(length, rng)
    wanted = [(INSULATOR, genome.insulators), (ACTIVATOR, genome.activators)][: rng.integers(1, 3)]
    for number, (motif, found) in enumerate(wanted):
        start = int(rng.integers(150, 500)) + 500 * number
        motif = motif if rng.random() < 0.5 else reverse_complement(motif)
        sequence = sequence[:start] + motif + sequence[start + len(motif) :]
        found.append((contig, place + start + len(motif) // 2))
    return sequence


def _gene(name: str, contig: str, rng: np.random.Generator) -> tuple[str, Gene]:
    """A gene with its promoter, and its features from the first base of the promoter on."""
    promoter, motifs = _promoter(rng)
    amino_acids = [each.split() for each in CODONS.split("|")]
    codons = []
    for number in rng.integers(0, len(amino_acids), size=rng.integers(100, 300)):
        first, *others = amino_acids[number]
        codons.append(first if not others or rng.random() < PREFERRED else str(rng.choice(others)))
    coding = "ATG" + "".join(codons)
    leader, trailer = _random(rng.integers(30, 80), rng), _random(rng.integers(60, 150), rng)
    # Introns lie between bases of the coding part, in any phase, and apart from each other.
    blocks = np.array_split(np.arange(len(coding) - 90), rng.integers(2, 5))
    cuts = [0, *(int(block[0]) + int(rng.integers(30, 60)) for block in blocks[1:]), len(coding)]
    sequence, exons, cds = promoter, [], []
    for number, (first, last) in enumerate(pairwise(cuts)):
        start = len(sequence)
        sequence += leader if number == 0 else ""
        cds.append((len(sequence), len(sequence) + last - first))
        sequence += coding[first:last]
        if last < len(coding):
            exons.append((start, len(sequence)))
            inner = _random(rng.integers(60, 200), rng, (0.32, 0.16, 0.16, 0.36))
            sequence += DONOR + inner + ACCEPTOR
    stop = len(sequence), len(sequence) + 3
    sequence += str(rng.choice(STOPS)) + trailer
    exons.append((start, len(sequence)))
    gene = Gene(name, contig, "+", exons, cds, stop, motifs, len(motifs) - 1)
    return (sequence, gene) if rng.random() < 0.5 else (reverse_complement(sequence), _turn(gene, len(sequence)))


def _promoter(rng: np.random.Generator) -> tuple[str, list[tuple[int, int]]]:
    """DNA before a transcript, and its motifs: the TATA box, and up to three activator sites."""
    sequence = _random(PROMOTER, rng)
    starts = [PROMOTER - 31, *(PROMOTER - 220 + 50 * i + int(rng.integers(0, 30)) for i in range(rng.integers(0, 4)))]
    motifs = []
    for number, start in enumerate(starts):
        motif = TATA if number == 0 else ACTIVATOR if rng.random() < 0.5 else reverse_complement(ACTIVATOR)
        sequence = sequence[:start] + motif + sequence[start + len(motif) :]
        motifs.append((start, start + len(motif)))
    return sequence, motifs


def _turn(gene: Gene, length: int) -> Gene:
    def turn(places):
        return sorted((length - end, length - start) for start, end in places)

    (stop,) = turn([gene.stop])
    motifs = [(length - end, length - start) for start, end in gene.motifs]  # the TATA box stays the first
    return Gene(gene.name, gene.contig, "-", turn(gene.exons), turn(gene.cds), stop, motifs, gene.activators)


def _shift(gene: Gene, offset: int) -> Gene:
    def shift(places):
        return [(start + offset, end + offset) for start, end in places]

    (stop,) = shift([gene.stop])
    parts = shift(gene.exons), shift(gene.cds), stop, shift(gene.motifs)
    return Gene(gene.name, gene.contig, gene.strand, *parts, gene.activators)


def _gtf(gene: Gene) -> str:
    """The lines of a gene: the coding part is without the stop codon, which has a line of its own."""
    forward = gene.strand == "+"
    first = gene.cds[0][0] if forward else gene.cds[-1][1] - 3
    whole = (gene.exons[0][0], gene.exons[-1][1])
    lines = [("gene", whole, "."), ("transcript", whole, ".")]
    lines += [("exon", exon, ".") for exon in gene.exons]
    read = 0
    for start, end in gene.cds if forward else gene.cds[::-1]:
        lines.append(("CDS", (start, end), -read % 3))
        read += end - start
    lines += [("start_codon", (first, first + 3), 0), ("stop_codon", gene.stop, 0)]
    text = ""
    for kind, (start, end), phase in lines:
        names = f'gene_id "{gene.name}";' + ("" if kind == "gene" else f' transcript_id "{gene.name}.1";')
        text += f"{gene.contig}\tstarter\t{kind}\t{start + 1}\t{end}\t.\t{gene.strand}\t{phase}\t{names}\n"
    return text


def write_regions(folder: Path) -> None:
    """`train.bed` and `valid.bed`: all contigs in regions next to each other, each contig in one of the files."""
    for name, contigs in {"train": CONTIGS.keys() - set(HELD_OUT), "valid": set(HELD_OUT)}.items():
        lines = [
            f"{contig}\t{start}\t{start + WINDOW}\n"
            for contig, length in CONTIGS.items()
            if contig in contigs
            for start in range(0, length - WINDOW + 1, WINDOW)
        ]
        (folder / f"{name}.bed").write_text("".join(lines), encoding="ascii")


def write_tracks(folder: Path, genome: Genome, rng: np.random.Generator) -> None:
    table = "name\tpath\tgroup\tstrand\n"
    for name, (group, strand, peaks) in TRACKS.items():
        table += f"{name}\tbigwig/{name}.bw\t{group}\t{strand}\n"
        with BigWigWriter(folder / "bigwig" / f"{name}.bw", CONTIGS, STEP) as writer:
            for contig, length in CONTIGS.items():
                signal = _signal(contig, length, strand, peaks, genome)
                signal = signal.reshape(-1, STEP).mean(-1) * rng.lognormal(0, 0.2, length // STEP)
                signal += 0.05 * rng.exponential(size=length // STEP) if strand == "." else 0
                writer.write(contig, 0, signal.round(3))
    (folder / "tracks.tsv").write_text(table, encoding="ascii")


def _signal(contig: str, length: int, strand: str, peaks: dict, genome: Genome) -> np.ndarray:
    """The expected signal of a track at each base of a contig."""
    genes = [gene for gene in genome.genes if gene.contig == contig and strand in (gene.strand, ".")]
    signal, places = np.zeros(length), np.arange(length)
    middles = {
        "insulator": [(place, 1) for name, place in genome.insulators if name == contig],
        "activator": [(place, 1) for name, place in genome.activators if name == contig]
        + [(sum(motif) // 2, 1) for gene in genes for motif in gene.motifs[1:]],
        # Without a strand a start is as high for all genes, with one it tells how many transcripts begin.
        "start": [(gene.start, 1 if strand == "." else 1 + gene.activators) for gene in genes],
    }
    for kind, (height, width) in peaks.items():
        for middle, times in middles[kind]:
            near = slice(max(0, middle - 5 * width), middle + 5 * width)
            signal[near] += times * height * np.exp(-0.5 * ((places[near] - middle) / width) ** 2)
    if not peaks:
        for gene in genes:
            for start, end in gene.exons:
                signal[start:end] += 1 + gene.activators
    return signal


__all__ = ["CONTIGS", "HELD_OUT", "Gene", "write_starter_genome"]
