"""The console script `textgenome`: a module for each command, which imports what takes long once it is called."""

from textgenome.commands import (  # noqa: F401
    ask,
    baselines,
    build,
    build_conversations,
    compare,
    convert,
    dna,
    embed,
    env,
    evaluate,
    explain,
    export,
    generate,
    grpo,
    plan,
    predict,
    push,
    score,
    serve,
    sft,
    split,
    windows,
)
from textgenome.commands.console import app


__all__ = ["app"]
