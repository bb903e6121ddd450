"""What a model says: loading it, generating, scoring, parsing answers, predictions that resume."""

from textgenome.lazy import lazy_names


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

# Pictures need matplotlib, which takes a third of a second.
__getattr__ = lazy_names(__name__, _MODULES)

__all__ = list(_MODULES)
