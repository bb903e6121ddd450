"""The HTTP service: an OpenAI-compatible API, a page for a browser, and one thread that owns the model.

The routes are in `textgenome.serving.app`, which needs the extra `textgenome[serve]`.
"""

from textgenome.serving.engine import Engine, Limits


__all__ = ["Engine", "Limits"]
