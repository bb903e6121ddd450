"""Fine-tune a language model that reads DNA. The package runs the same as `textgenome sft`.

Example run, on the built-in starter data:

    python train_sft.py --config starter

--help says more.
"""

from textgenome.commands.console import errors_without_traceback
from textgenome.training.sft import main


if __name__ == "__main__":
    with errors_without_traceback():
        main()
