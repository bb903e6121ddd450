"""What a model that labels bases says along a genome: GFF3 with transcripts, BED or bedGraph."""

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from textgenome.configuration.configuration_textgenome import bases_per_state
from textgenome.data.sequences import GenomeSequence, Tiling
from textgenome.data.windows import Place, read_places
from textgenome.genome.fasta import open_fasta
from textgenome.genome.transcripts import Transcript, write_gff3
from textgenome.inference.along_genome import PIECE, KeptPieces, pieces_of, predict_piece, split_tile
from textgenome.inference.base_labels import label_strands, label_thresholds
from textgenome.inference.checkpoints import Checkpoint, fingerprint_weights
from textgenome.inference.gene_finding import GeneRules, find_transcripts, log_odds_of, with_untranslated
from textgenome.inference.predictions import join_processes, one_writer
from textgenome.inference.requests import Request


BASES_AT_ONCE = 1 << 17  # of a batch, whatever its size
MOST = 8_000_000  # bases of a stretch that transcripts are looked for in at once
ENDINGS = (".gff3", ".gff", ".bed", ".bedgraph")


def predict_labels(checkpoint: Checkpoint, request: Request) -> int | None:
    """Label the bases of a genome, or of regions of it, and write them by the ending of the output.

    `.gff3` gets coding transcripts, for which the model needs the label CDS; `.bed` the stretches of each label, with
    the mean probability in thousandths as score; `.bedgraph` a file for each label and strand, named in between.

    Returns:
        How many transcripts, stretches or lines were written, on the main process.

    Raises:
        ValueError: If the output has another ending, or the model not the label it needs.
    """
    ending, config = request.output.suffix.lower(), checkpoint.config
    single = config.problem_type == "single_label_classification"
    labels = [config.id2label[i] for i in range(config.num_labels)][1 if single else 0 :]
    if request.fasta is None or ending not in ENDINGS:
        raise ValueError(
            f"A model that labels bases needs --fasta, and an --output that ends in {', '.join(ENDINGS)}."
        )
    if ending.startswith(".gff") and "CDS" not in labels:
        raise ValueError(f"GFF3 needs the label CDS, but the model has {', '.join(labels)}: write .bed or .bedgraph.")
    state = join_processes()
    with state.main_process_first():  # it may have to write the index of the genome
        genome = open_fasta(request.fasta)
    lengths = dict(zip(genome.references, genome.lengths))
    places = read_places(request.bed, lengths) if request.bed else [Place(name, 0, n) for name, n in lengths.items()]
    places = [Place(p.contig, max(0, p.start), min(p.end, lengths[p.contig])) for p in places]
    unit, window = bases_per_state(config.dna_config), checkpoint.processor.dna_window
    tiling = Tiling(checkpoint.processor.dna_tokenizer, unit)
    if window < tiling.most:
        tiling = Tiling(checkpoint.processor.dna_tokenizer, unit, max(window, tiling.unit))
    overlap, _ = split_tile(tiling, request.overlap)
    settings = {
        "model": checkpoint.name,
        "revision": checkpoint.revision,
        "weights": fingerprint_weights(checkpoint.name),
        "genome": [str(request.fasta), sum(lengths.values())],
        "overlap": overlap,
        "dtype": request.dtype,
    }
    with one_writer(request.folder):
        kept = KeptPieces(request.folder, pieces_of(places, PIECE // unit * unit), settings)
        model = checkpoint.load(request.dtype).to(state.device)
        label = partial(label_strands, model, checkpoint.processor)
        batch_size = max(1, min(request.batch_size, BASES_AT_ONCE // tiling.most))
        options = {"predict": label, "tiling": tiling, "overlap": overlap, "batch_size": batch_size}
        kept.predict(partial(predict_piece, genome, **options), state.process_index, state.num_processes)
        state.wait_for_everyone()
        if not state.is_main_process:
            return None
        count = write_labels(request, ending, genome, KeptLabels(kept, config, len(labels), single), labels)
    shutil.rmtree(request.folder)
    return count


def write_labels(request: Request, ending: str, genome, reader: "KeptLabels", labels: Sequence[str]) -> int:
    """Write what is kept, by the ending. Returns how many transcripts or lines there are."""
    if ending.startswith(".gff"):
        rules = GeneRules(request.any_introns, request.min_exon, cds_has_stop=reader.cds_has_stop)
        counted = _Counted(genes_along(genome, reader, labels, rules))
        write_gff3(request.output, counted, dict(zip(genome.references, genome.lengths)))
        return counted.count
    if ending == ".bed":
        return _write(request.output, bed_lines(reader, labels))
    count = 0
    for column, strand in reader.columns:
        named = f"{labels[column]}{'' if strand == '.' else '.plus' if strand == '+' else '.minus'}"
        path = request.output.with_name(f"{request.output.stem}.{named}{request.output.suffix}")
        count += _write(path, bedgraph_lines(reader, column, strand))
    return count


class KeptLabels:
    """Probabilities of pieces by strand and label, one piece at a time.

    Args:
        kept: The pieces.
        config: Of the model.
        labels: How many labels there are, without the class of all other bases.
        single: Whether a base has one class, the first of which is not a label.
    """

    def __init__(self, kept: KeptPieces, config, labels: int, single: bool):
        self.kept, self.skipped = kept, int(single)
        self.strands = "+-" if config.stranded else "."
        self.thresholds = label_thresholds(config)[-labels:]
        self.columns = [(column, strand) for column in range(labels) for strand in self.strands]
        self.all, self.cds_has_stop = config.num_labels, config.cds_has_stop

    def __iter__(self) -> Iterator[tuple[Place, np.ndarray | None]]:
        """Each piece, and its probabilities `(strands, bases, labels)`, or None where there is no letter."""
        for number, piece in enumerate(self.kept.pieces):
            values = self.kept[number]
            if values is not None:
                values = values.reshape(len(values), len(self.strands), self.all).transpose(1, 0, 2)
                values = values[..., self.skipped :].astype(np.float32)
            yield piece, values


def stretches(reader: KeptLabels) -> Iterator[tuple[str, int, list[np.ndarray]]]:
    """Contig, start and the probabilities of neighbouring pieces with letters, together at most about `MOST` bases."""
    contig, start, parts, size = None, 0, [], 0
    for piece, values in reader:
        follows = piece.contig == contig and piece.start == start + size
        if parts and (values is None or not follows or size >= MOST):
            yield contig, start, parts
            parts, size = [], 0
        if values is not None:
            contig, start = (piece.contig, piece.start) if not parts else (contig, start)
            parts.append(values)
            size += values.shape[1]
    if parts:
        yield contig, start, parts


def genes_along(genome, reader: KeptLabels, labels: Sequence[str], rules: GeneRules) -> Iterator[Transcript]:
    """Transcripts along the genome, numbered; none goes over a stretch without letters. With the label exon they have
    the untranslated parts that go on from their coding ones."""
    number, column = 0, labels.index("CDS")
    for contig, start, parts in stretches(reader):
        values = np.concatenate(parts, axis=1)
        letters = GenomeSequence(genome, Place(contig, start, start + values.shape[1]).interval)[:]
        odds = [log_odds_of(strand, reader.thresholds[column]) for strand in values[..., column]]
        found = find_transcripts(contig, start, letters, odds, rules)
        if "exon" in labels:
            exon = labels.index("exon")
            found = with_untranslated(found, start, values[..., exon] >= reader.thresholds[exon])
        for each in found:
            number += 1
            yield each._replace(name=f"g{number}.1", gene=f"g{number}")


class _Counted:
    """Counts what is read of an iterator."""

    def __init__(self, items: Iterable[Transcript]):
        self.items, self.count = items, 0

    def __iter__(self) -> Iterator[Transcript]:
        for item in self.items:
            self.count += 1
            yield item


def bed_lines(reader: KeptLabels, labels: Sequence[str]) -> Iterator[str]:
    """A line for each stretch of bases with a label, cut where pieces meet only if it ends there."""
    for column, strand in reader.columns:
        row = reader.strands.index(strand)
        going = None  # contig, start, end, sum
        for piece, values in reader:
            found = [] if values is None else runs_of(values[row, :, column] >= reader.thresholds[column])
            for first, last in found:
                total = float(values[row, first:last, column].sum())
                start, end = piece.start + first, piece.start + last
                if going and going[0] == piece.contig and going[2] == start:
                    going = (piece.contig, going[1], end, going[3] + total)
                    continue
                if going:
                    yield _bed_line(going, labels[column], strand)
                going = (piece.contig, start, end, total)
        if going:
            yield _bed_line(going, labels[column], strand)


def _bed_line(stretch: tuple[str, int, int, float], label: str, strand: str) -> str:
    contig, start, end, total = stretch
    return f"{contig}\t{start}\t{end}\t{label}\t{round(1000 * total / (end - start))}\t{strand}\n"


def bedgraph_lines(reader: KeptLabels, column: int, strand: str) -> Iterator[str]:
    """The probability of a label, of two digits, for each stretch of bases where it is the same; 0 is left out."""
    row = reader.strands.index(strand)
    for piece, values in reader:
        if values is None:
            continue
        rounded = np.round(100 * values[row, :, column]).astype(np.int64)
        edges = np.flatnonzero(np.diff(rounded, prepend=-1, append=-1))
        for first, last in zip(edges[:-1].tolist(), edges[1:].tolist()):
            if rounded[first]:
                yield f"{piece.contig}\t{piece.start + first}\t{piece.start + last}\t{rounded[first] / 100:g}\n"


def runs_of(covered: np.ndarray) -> list[tuple[int, int]]:
    """Start and end of each run of True."""
    edges = np.flatnonzero(np.diff(covered.astype(np.int8), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist()))


def _write(path: Path, lines: Iterable[str]) -> int:
    unfinished, count = path.with_name(f"{path.name}.unfinished"), 0
    with open(unfinished, "w", encoding="utf-8") as file:
        for line in lines:
            file.write(line)
            count += 1
    os.replace(unfinished, path)
    return count


__all__ = ["predict_labels", "runs_of"]
