"""The HTTP service: an OpenAI-compatible API, a page for a browser, and one thread that owns the model.

`textgenome.serving.app` and `textgenome.serving.running` need the extra `textgenome[serve]`.
"""
