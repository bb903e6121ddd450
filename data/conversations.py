"""Rows of a table to chat messages."""

from collections.abc import Iterable, Iterator, Mapping

from transformers import PreTrainedTokenizerBase

from textgenome.data.answer_types import ANSWER_TYPE, check_answer
from textgenome.data.texts import check_unicode, is_blank
from textgenome.processing.processing_dna import (
    DNA_WINDOW,
    check_tokens,
    normalize_dna,
    truncate_dna,
    variant_window,
)
from textgenome.processing.reserved_tokens import ReservedTokenError, check_conversation, check_text


TEXT_COLUMNS = ("question", "answer", "reasoning")
DNA_COLUMNS = ("reference_sequence", "variant_sequence")
SEQUENCE_COLUMN = "sequence"  # of rows about one sequence, in place of a pair
ROLES = ("system", "user", "assistant")
MESSAGE_FIELDS = ("role", "content", "reasoning_content")
BLOCK_FIELDS = {"text": ("type", "text"), "dna": ("type", "dna"), "variant": ("type", "reference", "variant")}


class BadRow(ValueError):
    """Raised when a row cannot be converted. `column` names the place in the row."""

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
            strings; or `sequence`, which is shown whole, in place of the pair; or `messages`, a conversation as chat
            templates take it.
        dna: `variant` shows the DNA; `none` leaves all of it out, for a text-only control.
        dna_truncation: `variant_window` cuts a pair around its difference; `per_side` first cuts the same number of
            bases at either end of both sequences (see `truncate_dna`).
        dna_window: Most bases of each window of a variant.
        dna_tokenizer: If given, check too that no sequence has more tokens than the encoder reads, and that the tokens
            of a pair differ.
        tokenizer: Of the language model. No text may hold one of its reserved tokens (see `reserved_tokens`).
        answered: Whether a row of columns needs an answer and gives the turn of the assistant. If not, the answer and
            the reasoning may be anything.

    Returns:
        The messages. Those of a table are one turn of the user and one of the assistant, whose reasoning is in
        `reasoning_content` and whose content is `Answer: <answer>`.

    Raises:
        BadRow: If a column is missing or no text, an answer has several lines, text holds a reserved token, the DNA is
            not valid or does not show a variant, or a message holds what the chat template would leave out.
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
    """The conversation of a row that `row_to_messages` has checked before; the arguments are the same.

    A row whose DNA was left out since, None in both columns, gives the question alone.
    """
    if row.get("messages") is not None:
        return [_without_dna(message) if dna == "none" else message for message in row["messages"]]

    question = {"type": "text", "text": row["question"].strip()}
    user = {"role": "user", "content": [question]}
    if dna != "none" and is_about_a_sequence(row):
        user["content"].insert(0, {"type": "dna", "dna": row[SEQUENCE_COLUMN]})
    elif dna != "none" and row.get(DNA_COLUMNS[0]) is not None:
        reference, variant = truncate_pair(row, dna_truncation)
        user["content"].insert(0, {"type": "variant", "reference": reference, "variant": variant})
    if not answered:
        return [user]
    answer = {"role": "assistant", "content": [{"type": "text", "text": f"Answer: {row['answer'].strip()}"}]}
    if not is_blank(row.get("reasoning") or ""):
        answer["reasoning_content"] = row["reasoning"].strip()
    return [user, answer]


def is_about_a_sequence(row: Mapping) -> bool:
    """Whether a row of columns shows one sequence, and no pair."""
    return row.get(SEQUENCE_COLUMN) is not None and all(row.get(column) is None for column in DNA_COLUMNS)


def _check_columns(
    row: Mapping,
    text_columns: tuple[str, ...],
    required: tuple[str, ...],
    dna_truncation: str,
    dna_window: int,
    dna_tokenizer: PreTrainedTokenizerBase | None,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> None:
    shown = (SEQUENCE_COLUMN,) if is_about_a_sequence(row) else DNA_COLUMNS
    for column in (*text_columns, *shown):
        if row.get(column) is None and column in (*required, *shown):
            needed = ", ".join(f"`{name}`" for name in (*required, *shown))
            raise BadRow(column, f"the column is missing or has no value: a row needs {needed}")
        if not isinstance(row.get(column), str | None):
            raise BadRow(column, f"expected text, got {type(row[column]).__name__}")
    for column in text_columns:
        text = (row.get(column) or "").strip()
        if is_blank(text) and column in required:
            raise BadRow(column, "the text is empty")
        if column == "answer" and "\n" in text:
            raise BadRow(column, "the answer has a line break, but what is read as the answer is one line")
        try:
            check_unicode(text)
            check_text(text, tokenizer)
            if column == "answer":
                check_answer(row.get(ANSWER_TYPE), text)
        except ValueError as error:
            raise BadRow(column, str(error)) from error
    for column in shown:
        try:
            normalize_dna(row[column])
        except ValueError as error:
            raise BadRow(column, str(error)) from error
    try:
        if shown == DNA_COLUMNS:
            sequences = variant_window(*truncate_pair(row, dna_truncation), dna_window)
        else:
            sequences = (normalize_dna(row[SEQUENCE_COLUMN]),)
        _check_tokens(sequences, dna_tokenizer)
    except ValueError as error:
        raise BadRow(shown[-1], str(error)) from error


def truncate_pair(row: Mapping, dna_truncation: str) -> tuple[str, str]:
    """The pair of a row as it is cut before its windows are: see `row_to_messages`.

    Raises:
        ValueError: If `per_side` cuts off a difference, or a sequence is not DNA.
    """
    if dna_truncation != "per_side":
        return tuple(row[column] for column in DNA_COLUMNS)
    whole = [normalize_dna(row[column]) for column in DNA_COLUMNS]
    kept = [truncate_dna(row)[column] for column in DNA_COLUMNS]
    cut = (len(whole[0]) - len(kept[0])) // 2
    ends = [(sequence[:cut], sequence[len(sequence) - cut :]) for sequence in whole]
    if ends[0] != ends[1]:
        rest = "equal sequences" if kept[0] == kept[1] else "another variant, or a part of it"
        raise ValueError(f"cutting {cut} bases per side leaves {rest}: centre the variant, or cut by variant_window")
    return tuple(kept)


def _check_messages(
    messages: list[dict],
    dna_window: int,
    dna_tokenizer: PreTrainedTokenizerBase | None,
    tokenizer: PreTrainedTokenizerBase | None,
) -> None:
    if not isinstance(messages, list | tuple) or not all(isinstance(message, Mapping) for message in messages):
        raise BadRow("messages", "expected a list of messages with a role and content")
    for i, message in enumerate(messages):
        _check_message(message, f"messages[{i}]", dna_window, dna_tokenizer)
    spoken = [message for message in messages if message["role"] == "assistant"]
    if all(map(is_blank, texts_of([spoken]))):
        raise BadRow("messages", "there is no turn of the assistant to learn from")
    try:
        check_conversation(messages, tokenizer)
    except ReservedTokenError as error:
        i, field, *block = error.place
        raise BadRow(f"messages[{i}].{field}" + "".join(f"[{j}]" for j in block), str(error)) from error


def _check_message(
    message: Mapping, place: str, dna_window: int, dna_tokenizer: PreTrainedTokenizerBase | None
) -> None:
    role, content, reasoning = (message.get(field) for field in MESSAGE_FIELDS)
    if role is None:
        raise BadRow(place, "the message has no role")
    if role not in ROLES:
        raise BadRow(f"{place}.role", f"it is {role!r}, but must be {', '.join(ROLES[:-1])} or {ROLES[-1]}")
    if not isinstance(content, str | list | tuple):
        raise BadRow(f"{place}.content", "expected text or a list of blocks")
    if not isinstance(reasoning, str | None):
        raise BadRow(f"{place}.reasoning_content", f"expected text, got {type(reasoning).__name__}")
    if reasoning and role != "assistant":
        raise BadRow(f"{place}.reasoning_content", "only the assistant reasons")
    _refuse_others(message, MESSAGE_FIELDS, place)
    for j, block in enumerate(content if not isinstance(content, str) else ()):
        try:
            _check_block(block, role, dna_window, dna_tokenizer)
        except BadRow as error:
            raise BadRow(f"{place}.content[{j}].{error.column}", str(error)) from error
        except (TypeError, ValueError) as error:
            raise BadRow(f"{place}.content[{j}]", str(error)) from error


def _check_block(block: dict, role: str, dna_window: int, dna_tokenizer: PreTrainedTokenizerBase | None) -> None:
    kind = block.get("type") if isinstance(block, Mapping) else None
    if kind == "dna" and role == "user":
        _check_tokens((normalize_dna(block.get("dna")),), dna_tokenizer)
    elif kind == "variant" and role == "user":
        _check_tokens(variant_window(block.get("reference"), block.get("variant"), dna_window), dna_tokenizer)
    elif kind != "text" or not isinstance(block.get("text"), str):
        raise ValueError("expected a block of the type `text`, or in a turn of the user `dna` or `variant`")
    _refuse_others(block, BLOCK_FIELDS[kind])


def _refuse_others(fields: Mapping, known: tuple[str, ...], place: str = "") -> None:
    """Raise `BadRow` for a field that says something but is not read."""
    for name, value in fields.items():
        if name not in known and value not in (None, "", [], {}):
            raise BadRow(f"{place}.{name}".lstrip("."), f"it is not read; only {', '.join(known)} are")


def _check_tokens(sequences: tuple[str, ...], dna_tokenizer: PreTrainedTokenizerBase | None) -> None:
    if dna_tokenizer is not None:
        check_tokens(dna_tokenizer, sequences)


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


__all__ = [
    "DNA_COLUMNS",
    "SEQUENCE_COLUMN",
    "BadRow",
    "build_messages",
    "is_about_a_sequence",
    "row_to_messages",
    "texts_of",
    "truncate_pair",
]
