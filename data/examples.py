"""What a model keeps of its training table for those who ask it: its answers and, if wanted, a few rows."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from datasets import Dataset

from textgenome.data.conversations import DNA_COLUMNS, SEQUENCE_COLUMN
from textgenome.data.labels import SEPARATOR, label_names, row_label


MOST_LABELS, LONGEST_LABEL = 64, 200  # as the service takes them


def find_labels(rows: Dataset) -> list[str] | None:
    """The answers that two rows of a table or more have, the most frequent first.

    What only one row has may be free text about that row, which nobody expects to find in a model.

    Returns:
        None where they are none to choose from: conversations, free text, or one answer for all.
    """
    if "answer" not in rows.column_names:
        return None
    counts = Counter(answer.strip() for answer in rows["answer"] if answer is not None)
    labels = [label for label, count in counts.most_common() if count > 1]
    free_text = len(counts) > MOST_LABELS or max(map(len, counts), default=0) > LONGEST_LABEL
    return None if free_text or len(labels) < 2 else labels


def pick_examples(
    rows: Iterable[Mapping] | None, count: int, cut: Callable[[Mapping], Mapping]
) -> list[dict[str, str]] | None:
    """The first rows with different answers.

    Args:
        rows: Of the test split of a table, if there is one; conversations are left out.
        count: How many at most.
        cut: Cuts the DNA of a row as the model reads it.

    Returns:
        `reference`, perhaps `variant` and `question`, and `answer` of each; None where there are none.

    Raises:
        ValueError: If `count` is negative, or rows are asked for and there is no test split.
    """
    if count < 0:
        raise ValueError(f"saved_examples is {count}, but must be 0 or more.")
    if count and rows is None:
        raise ValueError("saved_examples are rows of the test split: set do_eval to true, or saved_examples to 0.")
    examples: dict[str, dict] = {}
    for row in rows if count else ():
        label = row_label(row)
        answer = None if label is None else SEPARATOR.join(label_names(label))
        if answer is None or answer in examples or row.get("messages") is not None:
            continue
        shown = cut(row)
        sequences = [shown[name] for name in (SEQUENCE_COLUMN, *DNA_COLUMNS) if shown.get(name) is not None]
        if sequences:
            question = {} if row.get("question") is None else {"question": row["question"]}
            examples[answer] = {**dict(zip(("reference", "variant"), sequences)), **question, "answer": answer}
        if len(examples) == count:
            break
    return [*examples.values()] or None


__all__ = ["find_labels", "pick_examples"]
