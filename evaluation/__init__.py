"""Measuring only: metrics, controls, baselines, one table of results, and the report."""

from textgenome.evaluation.controls import CONTROLS
from textgenome.evaluation.evaluating import compare_controls, evaluate_baselines, evaluate_model
from textgenome.evaluation.metrics import mcnemar, score_answers


__all__ = ["CONTROLS", "compare_controls", "evaluate_baselines", "evaluate_model", "mcnemar", "score_answers"]
