"""Rows of a table to chat messages."""

from collections.abc import Mapping

from textgenome.processing.processing_dna import normalize_dna, truncate_dna, variant_window


KEGG_COLUMNS = ("question", "answer", "reference_sequence", "variant_sequence")


class BadRow(ValueError):
    """A row that no conversation can be made of. `column` names the place in the row."""

    def __init__(self, column: str, message: str):
        super().__init__(message)
        self.column = column


def row_to_messages(
    row: Mapping, dna: str = "variant", dna_truncation: str = "variant_window", dna_window: int = 2048
) -> list[dict]:
    """Make a conversation of a row, and check all that the processor will ask of it.

    Args:
        row: Either `question`, `answer`, `reference_sequence`, `variant_sequence` and perhaps `reasoning`, all
            strings, or `messages`, a conversation as chat templates take it.
        dna: `variant` shows the DNA; `none` leaves all of it out, for a text-only control.
        dna_truncation: `variant_window` cuts a pair around its difference; `per_side` first cuts a fixed number of
            bases at both ends (see `truncate_dna`).
        dna_window: Most bases of each window of a variant.

    Returns:
        The messages. Those of a table are one turn of the user and one of the assistant, whose reasoning stands in
        `reasoning_content` and whose content is `Answer: <answer>`.

    Raises:
        BadRow: If a column is missing or no text, or the DNA is not valid or does not show a variant.
    """
    if row.get("messages") is not None:
        messages = _check_messages(row["messages"], dna_window)
        return [_without_dna(message) for message in messages] if dna == "none" else messages

    row = dict(row)
    for column in KEGG_COLUMNS:
        if row.get(column) is None:
            raise BadRow(column, "the column is missing or has no value")
    for column in (*KEGG_COLUMNS, "reasoning"):
        if not isinstance(row.get(column, ""), str | None):
            raise BadRow(column, f"expected text, got {type(row[column]).__name__}")
    for column in ("question", "answer"):
        if not row[column].strip():
            raise BadRow(column, "the text is empty")
    for column in ("reference_sequence", "variant_sequence"):
        try:
            normalize_dna(row[column])
        except ValueError as error:
            raise BadRow(column, str(error)) from error
    if dna_truncation == "per_side":
        row = truncate_dna(row)
    try:
        variant_window(row["reference_sequence"], row["variant_sequence"], dna_window)
    except ValueError as error:
        raise BadRow("variant_sequence", str(error)) from error

    variant = {
        "type": "variant",
        "reference": row["reference_sequence"],
        "variant": row["variant_sequence"],
    }
    question = {"type": "text", "text": row["question"].strip()}
    answer = {"role": "assistant", "content": [{"type": "text", "text": f"Answer: {row['answer'].strip()}"}]}
    if (row.get("reasoning") or "").strip():
        answer["reasoning_content"] = row["reasoning"].strip()
    return [{"role": "user", "content": [question] if dna == "none" else [variant, question]}, answer]


def _check_messages(messages: list[dict], dna_window: int) -> list[dict]:
    if not isinstance(messages, list | tuple) or not all(isinstance(message, Mapping) for message in messages):
        raise BadRow("messages", "expected a list of messages with a role and content")
    if not any(message.get("role") == "assistant" for message in messages):
        raise BadRow("messages", "there is no turn of the assistant to learn from")
    for i, message in enumerate(messages):
        if isinstance(message.get("content"), str):
            continue
        for j, block in enumerate(message.get("content") or []):
            place = f"messages[{i}].content[{j}]"
            try:
                if block.get("type") == "dna":
                    normalize_dna(block.get("dna"))
                elif block.get("type") == "variant":
                    variant_window(block.get("reference"), block.get("variant"), dna_window)
                elif block.get("type") != "text" or not isinstance(block.get("text"), str):
                    raise ValueError("a block must be `text`, `dna` or `variant`, and hold the field of that name")
            except (TypeError, ValueError) as error:
                raise BadRow(place, str(error)) from error
    return list(messages)


def _without_dna(message: dict) -> dict:
    if isinstance(message["content"], str):
        return message
    return {**message, "content": [block for block in message["content"] if block["type"] == "text"]}


__all__ = ["BadRow", "row_to_messages"]
