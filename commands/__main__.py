"""`python -m textgenome.commands`, for launchers that take a module."""

from textgenome.commands import app


app()
