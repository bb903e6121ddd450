"""What a checkpoint carries besides weights: DNA tokenizers, variant windows, processors, the chat template."""

from textgenome.processing.building import build_processor, chat_template, train_text_tokenizer
from textgenome.processing.dna_tokenizers import build_dna_tokenizer
from textgenome.processing.processing_dna import complement_map, normalize_dna, truncate_dna, variant_window
from textgenome.processing.processing_textgenome import TextGenomeProcessor
from textgenome.processing.processing_textgenome_dna import TextGenomeDNAProcessor


__all__ = [
    "TextGenomeDNAProcessor",
    "TextGenomeProcessor",
    "build_dna_tokenizer",
    "build_processor",
    "chat_template",
    "complement_map",
    "normalize_dna",
    "train_text_tokenizer",
    "truncate_dna",
    "variant_window",
]
