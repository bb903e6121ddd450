"""Measuring only: metrics, controls, baselines, one table of results, and the report."""

from textgenome.lazy import lazy_names


_MODULES = {
    "CONTROLS": "controls",
    "Figure": "reporting",
    "Metric": "metrics",
    "Pooled": "units",
    "Table": "reporting",
    "compare_controls": "evaluating",
    "evaluate_baselines": "evaluating_baselines",
    "evaluate_model": "evaluating",
    "format_table": "reporting",
    "mcnemar": "metrics",
    "score_answers": "metrics",
    "summarize_units": "units",
    "write_results": "reporting",
}

# `textgenome evaluate --help` reads the names of the controls, which takes no torch.
__getattr__ = lazy_names(__name__, _MODULES)

__all__ = list(_MODULES)
