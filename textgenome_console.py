"""The console script `textgenome`: its help is printed without importing torch and transformers, which takes seconds.

Importing the package `textgenome` needs both, to register its models with the Auto classes. Here the package is made
first, so that its commands can be imported, and it is run once a command is.
"""

import gc
import importlib.util
import sys
from functools import partial
from importlib.machinery import ModuleSpec
from types import ModuleType


def run_package(spec: ModuleSpec, package: ModuleType) -> None:
    """Run the code of the package, and look for no garbage in what this makes: it stays."""
    gc.disable()
    try:
        spec.loader.exec_module(package)
    finally:
        gc.freeze()
        gc.enable()


def main() -> None:
    """Run the console script."""
    spec = importlib.util.find_spec("textgenome")
    package = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = package
    from textgenome.commands import app

    app(obj=partial(run_package, spec, package))
