"""Reading FASTA files."""

from pathlib import Path


try:
    import pysam
except ImportError:
    pysam = None


def open_fasta(path: str | Path) -> "pysam.FastaFile":
    """Open a genome, plain or compressed by bgzip. An index that is missing is written beside it.

    Raises:
        OSError: If pysam is missing, or the file or its index cannot be read or written.
    """
    if pysam is None:
        raise OSError("Reading FASTA files needs pysam: pip install 'textgenome[genome]'.")
    try:
        return pysam.FastaFile(str(path))
    except OSError as error:
        raise OSError(
            f"{path}: cannot be read ({error}). The genome must be a FASTA file, plain or compressed by bgzip, in a "
            "folder that holds its index (.fai) or where one can be written."
        ) from error


def read_record(path: str | Path) -> str:
    """The letters of the only record of a FASTA file, whitespace included.

    Raises:
        ValueError: If the file holds anything but one record.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError:
        text = ""
    if not text.startswith(">") or "\n>" in text:
        raise ValueError(f"{path}: expected a FASTA file with one record, not compressed.")
    return "".join(text.split("\n")[1:])


__all__ = ["open_fasta", "read_record"]
