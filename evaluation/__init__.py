"""Measuring only: metrics, controls, baselines, one table of results, and the report."""

from importlib import import_module


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


def __getattr__(name: str):
    # Imported once it is used: `textgenome evaluate --help` reads the names of the controls, which takes no torch.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


__all__ = list(_MODULES)
