"""Rows of pairs with a question and one of two answers, in a train and a validation file."""

from pathlib import Path

import pandas
from conftest import variant_row


ROWS = 7
ANSWERS = ["glioma", "melanoma"]


def write_answered(folder: Path) -> str:
    folder.mkdir()
    for split, first in (("train", 100), ("val", 0)):
        rows = [variant_row(40, first + i, answer=ANSWERS[i % 2], reasoning="Step 1") for i in range(ROWS)]
        pandas.DataFrame(rows).to_csv(folder / f"{split}.csv", index=False)
    return str(folder)
