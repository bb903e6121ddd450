"""`python -m textgenome`, the same as the console script."""

from textgenome.commands import app


app(prog_name="textgenome")
