"""What a model says: loading it, generating, scoring, parsing answers, predictions that resume."""

from importlib import import_module


_MODULES = {
    "ask_model": "asking",
    "ask_table": "asking",
    "ask_vcf": "asking",
    "classify": "classification",
    "embed": "embedding",
    "explain": "explaining",
    "extract_answer": "answers",
    "generate": "generation",
    "load_language_model": "language_models",
    "plot_explanation": "explanation_files",
    "score_labels": "scoring",
    "score_variants": "likelihoods",
    "write_explanation": "explanation_files",
}


def __getattr__(name: str):
    # Imported once it is used: pictures need matplotlib, which takes a third of a second.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


__all__ = list(_MODULES)
