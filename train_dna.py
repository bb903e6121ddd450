"""Train a model of DNA alone. The package runs the same as `textgenome dna`.

Example run, on the built-in starter data:

    python train_dna.py --config starter

--help says more.
"""

from textgenome.commands.console import errors_without_traceback
from textgenome.training.dna import main


if __name__ == "__main__":
    with errors_without_traceback():
        main()
