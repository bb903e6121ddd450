"""What a model says: loading it, generating, scoring, parsing answers, predictions that resume."""

from textgenome.inference.answers import extract_answer
from textgenome.inference.asking import ask_model, ask_table, ask_vcf
from textgenome.inference.classification import classify
from textgenome.inference.embedding import embed
from textgenome.inference.explaining import explain
from textgenome.inference.explanation_files import plot_explanation, write_explanation
from textgenome.inference.generation import generate
from textgenome.inference.language_models import load_language_model
from textgenome.inference.likelihoods import score_variants
from textgenome.inference.scoring import score_labels


__all__ = [
    "ask_model",
    "ask_table",
    "ask_vcf",
    "classify",
    "embed",
    "explain",
    "extract_answer",
    "generate",
    "load_language_model",
    "plot_explanation",
    "score_labels",
    "score_variants",
    "write_explanation",
]
