"""From sequences and tables to what the model reads."""

from textgenome.processing.building import build_processor, chat_template, texts_of, train_text_tokenizer
from textgenome.processing.collator import TextGenomeCollator, TextGenomeDNACollator
from textgenome.processing.conversations import BadRow, row_to_messages
from textgenome.processing.dna_tokenizers import build_dna_tokenizer
from textgenome.processing.processing_dna import normalize_dna, truncate_dna, variant_window
from textgenome.processing.processing_textgenome import TextGenomeProcessor
from textgenome.processing.processing_textgenome_dna import TextGenomeDNAProcessor


__all__ = [
    "BadRow",
    "TextGenomeCollator",
    "TextGenomeDNACollator",
    "TextGenomeDNAProcessor",
    "TextGenomeProcessor",
    "build_dna_tokenizer",
    "build_processor",
    "chat_template",
    "normalize_dna",
    "row_to_messages",
    "texts_of",
    "train_text_tokenizer",
    "truncate_dna",
    "variant_window",
]
