"""Rows of a table to chat messages."""

from collections.abc import Iterable, Iterator, Mapping

from transformers import PreTrainedTokenizerBase

from textgenome.processing.processing_dna import (
    DNA_WINDOW,
    check_tokens_differ,
    normalize_dna,
    tokenize_dna,
    truncate_dna,
    variant_window,
)
from textgenome.processing.reserved_tokens import ReservedTokenError, check_conversation, check_text


TEXT_COLUMNS = ("question", "answer", "reasoning")
DNA_COLUMNS = ("reference_sequence", "variant_sequence")


class BadRow(ValueError):
    """A row that no conversation can be made of. `column` names the place in the row."""

    def __init__(self, column: str, message: str):
        super().__init__(message)
        self.column = column


def row_to_messages(
    row: Mapping,
    dna: str = "variant",
    dna_truncation: str = "variant_window",
    dna_window: int = DNA_WINDOW,
    dna_tokenizer: PreTrainedTokenizerBase | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    answered: bool = True,
) -> list[dict]:
    """Make a conversation of a row, and check all that the processor will ask of it.

    Args:
        row: Either `question`, `answer`, `reference_sequence`, `variant_sequence` and perhaps `reasoning`, all
            strings, or `messages`, a conversation as chat templates take it.
        dna: `variant` shows the DNA; `none` leaves all of it out, for a text-only control.
        dna_truncation: `variant_window` cuts a pair around its difference; `per_side` first cuts a fixed number of
            bases at both ends (see `truncate_dna`).
        dna_window: Most bases of each window of a variant.
        dna_tokenizer: If given, check too that no sequence has more tokens than the encoder reads, and that the tokens
            of a pair differ.
        tokenizer: Of the language model. No text may hold one of its reserved tokens (see `reserved_tokens`).
        answered: Whether a row of columns needs an answer and gives the turn of the assistant. If not, the answer and
            the reasoning may be anything.

    Returns:
        The messages. Those of a table are one turn of the user and one of the assistant, whose reasoning stands in
        `reasoning_content` and whose content is `Answer: <answer>`.

    Raises:
        BadRow: If a column is missing or no text, text holds a reserved token, or the DNA is not valid or does not
            show a variant.
    """
    if row.get("messages") is not None:
        _check_messages(row["messages"], dna_window, dna_tokenizer, tokenizer)
    else:
        columns, required = (TEXT_COLUMNS, ("question", "answer")) if answered else (("question",), ("question",))
        _check_columns(row, columns, required, dna_truncation, dna_window, dna_tokenizer, tokenizer)
    return build_messages(row, dna, dna_truncation, answered)


def build_messages(
    row: Mapping, dna: str = "variant", dna_truncation: str = "variant_window", answered: bool = True
) -> list[dict]:
    """The conversation of a row that `row_to_messages` has checked before; the arguments are the same."""
    if row.get("messages") is not None:
        return [_without_dna(message) if dna == "none" else message for message in row["messages"]]

    question = {"type": "text", "text": row["question"].strip()}
    user = {"role": "user", "content": [question]}
    if dna != "none":
        reference, variant = (_truncate(row, dna_truncation)[column] for column in DNA_COLUMNS)
        user["content"].insert(0, {"type": "variant", "reference": reference, "variant": variant})
    if not answered:
        return [user]
    answer = {"role": "assistant", "content": [{"type": "text", "text": f"Answer: {row['answer'].strip()}"}]}
    if reasoning := (row.get("reasoning") or "").strip():
        answer["reasoning_content"] = reasoning
    return [user, answer]


def check_pair(
    row: Mapping, dna_window: int = DNA_WINDOW, dna_tokenizer: PreTrainedTokenizerBase | None = None
) -> None:
    """Check a row for the DNA-only model, which reads `reference_sequence`, `variant_sequence` and `answer`.

    The arguments and what it raises are as in `row_to_messages`.
    """
    _check_columns(row, ("answer",), ("answer",), "variant_window", dna_window, dna_tokenizer)


def _check_columns(
    row: Mapping,
    text_columns: tuple[str, ...],
    required: tuple[str, ...],
    dna_truncation: str,
    dna_window: int,
    dna_tokenizer: PreTrainedTokenizerBase | None,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> None:
    for column in (*text_columns, *DNA_COLUMNS):
        if row.get(column) is None and column in (*required, *DNA_COLUMNS):
            raise BadRow(column, "the column is missing or has no value")
        if not isinstance(row.get(column), str | None):
            raise BadRow(column, f"expected text, got {type(row[column]).__name__}")
    for column in text_columns:
        text = (row.get(column) or "").strip()
        if not text and column in required:
            raise BadRow(column, "the text is empty")
        try:
            check_text(text, tokenizer)
        except ReservedTokenError as error:
            raise BadRow(column, str(error)) from error
    for column in DNA_COLUMNS:
        try:
            normalize_dna(row[column])
        except ValueError as error:
            raise BadRow(column, str(error)) from error
    pair = (_truncate(row, dna_truncation)[column] for column in DNA_COLUMNS)
    try:
        _check_tokens(variant_window(*pair, size=dna_window), dna_tokenizer)
    except ValueError as error:
        raise BadRow("variant_sequence", str(error)) from error


def _truncate(row: Mapping, dna_truncation: str) -> Mapping:
    return truncate_dna(row) if dna_truncation == "per_side" else row


def _check_messages(
    messages: list[dict],
    dna_window: int,
    dna_tokenizer: PreTrainedTokenizerBase | None,
    tokenizer: PreTrainedTokenizerBase | None,
) -> None:
    if not isinstance(messages, list | tuple) or not all(isinstance(message, Mapping) for message in messages):
        raise BadRow("messages", "expected a list of messages with a role and content")
    if not any(message.get("role") == "assistant" for message in messages):
        raise BadRow("messages", "there is no turn of the assistant to learn from")
    for i, message in enumerate(messages):
        place = f"messages[{i}]"
        if not isinstance(message.get("role"), str):
            raise BadRow(place, "the message has no role")
        if not isinstance(message.get("content"), str | list | tuple):
            raise BadRow(f"{place}.content", "expected text or a list of blocks")
        if not isinstance(message.get("reasoning_content"), str | None):
            raise BadRow(f"{place}.reasoning_content", "expected text")
        for j, block in enumerate(message["content"] if not isinstance(message["content"], str) else ()):
            try:
                _check_block(block, message["role"], dna_window, dna_tokenizer)
            except (TypeError, ValueError) as error:
                raise BadRow(f"{place}.content[{j}]", str(error)) from error
    try:
        check_conversation(messages, tokenizer)
    except ReservedTokenError as error:
        i, field, *block = error.place
        raise BadRow(f"messages[{i}].{field}" + "".join(f"[{j}]" for j in block), str(error)) from error


def _check_block(block: dict, role: str, dna_window: int, dna_tokenizer: PreTrainedTokenizerBase | None) -> None:
    kind = block.get("type") if isinstance(block, Mapping) else None
    if kind == "text" and isinstance(block.get("text"), str):
        return
    if kind == "dna" and role == "user":
        _check_tokens((normalize_dna(block.get("dna")),), dna_tokenizer)
    elif kind == "variant" and role == "user":
        _check_tokens(variant_window(block.get("reference"), block.get("variant"), dna_window), dna_tokenizer)
    else:
        raise ValueError("expected a block of the type `text`, or in a turn of the user `dna` or `variant`")


def _check_tokens(sequences: tuple[str, ...], dna_tokenizer: PreTrainedTokenizerBase | None) -> None:
    if dna_tokenizer is not None:
        encoded, _ = tokenize_dna(dna_tokenizer, list(sequences))
        if len(encoded) == 2:
            check_tokens_differ(*encoded)


def _without_dna(message: dict) -> dict:
    if isinstance(message["content"], str):
        return message
    return {**message, "content": [block for block in message["content"] if block["type"] == "text"]}


def texts_of(conversations: Iterable[list[dict]]) -> Iterator[str]:
    """All text that conversations hold, turn by turn, without their DNA."""
    for messages in conversations:
        for message in messages:
            yield message.get("reasoning_content") or ""
            content = message.get("content") or ""
            yield from [content] if isinstance(content, str) else [block.get("text") or "" for block in content]


__all__ = ["DNA_COLUMNS", "BadRow", "build_messages", "check_pair", "row_to_messages", "texts_of"]
