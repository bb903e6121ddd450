"""Rows: tables, conversations, batches for training, splits, and the rows that are made of genome files."""

from textgenome.data.collators import TextGenomeCollator, TextGenomeDNACollator
from textgenome.data.conversations import BadRow, row_to_messages, texts_of
from textgenome.data.rows import as_conversations, list_splits, load_rows
from textgenome.data.variants import read_variants


__all__ = [
    "BadRow",
    "TextGenomeCollator",
    "TextGenomeDNACollator",
    "as_conversations",
    "list_splits",
    "load_rows",
    "read_variants",
    "row_to_messages",
    "texts_of",
]
