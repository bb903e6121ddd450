"""What the model does with the DNA: generation, answers, controls."""

from textgenome.evaluation.controls import compare_controls, exchange_dna
from textgenome.evaluation.extraction import extract_answer
from textgenome.evaluation.generation import generate


__all__ = ["compare_controls", "exchange_dna", "extract_answer", "generate"]
