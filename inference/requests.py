"""What `textgenome predict` is asked for, whatever the head of the model."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from textgenome.data.forms import TableForm
from textgenome.data.sequences import SequenceRow, read_sequences


@dataclass(frozen=True)
class Request:
    """Sequences to predict for, and where to write what the model says.

    Args:
        output: A new file, whose ending says the format.
        dataset_name: A table, see `read_sequences`, like the following five.
        split: Of the table.
        form: Of the table: columns with other names.
        fasta: A FASTA file.
        bed: Regions of it.
        vcf: Variants on it.
        on_bad_row: `raise` or `skip`.
        dtype: Data type of the weights.
        batch_size: Rows, or tiles of a genome, at a time.
        overlap: Bases that a tile of a genome reads on either side of what is kept of it, by default an eighth of it.
        tracks: Of a model of tracks, names of those to write, by default all.
        average_strands: Of a model of tracks, whether to predict both strands and take the mean.
        any_introns: Of a model that labels bases: introns of transcripts may have any ends, not GT and AG alone.
        min_exon: Likewise: fewest bases of a coding exon.
        samples: For a model of expression: names of people in `vcf`, by default all.
        unphased: Likewise: what to do with unphased heterozygotes, see `read_genotypes`.
        cache_dir: Likewise: where to keep the states of windows, see `predict_expression`.
        cache_gb: Likewise: most GB of files there.
    """

    output: Path
    dataset_name: str | None = None
    split: str = "train"
    form: TableForm | None = None
    fasta: Path | None = None
    bed: Path | None = None
    vcf: Path | None = None
    on_bad_row: str = "raise"
    dtype: str = "auto"
    batch_size: int = 64
    overlap: int | None = None
    tracks: list[str] | None = None
    average_strands: bool = False
    any_introns: bool = False
    min_exon: int = 12
    samples: list[str] | None = None
    unphased: str | None = None
    cache_dir: Path | None = None
    cache_gb: float = 100

    @property
    def folder(self) -> Path:
        """Holds what is predicted until `output` is written, for a run that is stopped to go on."""
        return self.output.with_name(f"{self.output.name}.parts")

    def rows(self, window: int) -> Iterator[SequenceRow]:
        """The sequences; pairs are cut to windows of at most so many bases."""
        return read_sequences(
            self.dataset_name,
            self.split,
            self.fasta,
            self.bed,
            self.vcf,
            window=window,
            on_bad_row=self.on_bad_row,
            form=self.form,
        )


__all__ = ["Request"]
