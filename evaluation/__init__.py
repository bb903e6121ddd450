"""What the model does with the DNA: generation, asking, answers, metrics, controls, baselines, splits, the report."""

from textgenome.evaluation.asking import ask, ask_table, ask_vcf
from textgenome.evaluation.classification import classify
from textgenome.evaluation.controls import CONTROLS
from textgenome.evaluation.evaluating import compare_controls, evaluate_baselines, evaluate_model
from textgenome.evaluation.extraction import extract_answer
from textgenome.evaluation.generation import generate
from textgenome.evaluation.metrics import mcnemar, score_answers
from textgenome.evaluation.scoring import score_labels


__all__ = [
    "CONTROLS",
    "ask",
    "ask_table",
    "ask_vcf",
    "classify",
    "compare_controls",
    "evaluate_baselines",
    "evaluate_model",
    "extract_answer",
    "generate",
    "mcnemar",
    "score_answers",
    "score_labels",
]
