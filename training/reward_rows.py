"""Rows of a table to what learning by reward takes: a prompt, its true answer, and the prompt with other DNA."""

import random
from collections.abc import Mapping
from functools import partial
from itertools import cycle

from datasets import Dataset
from transformers.utils import logging

from textgenome.data.conversations import build_messages
from textgenome.inference.answers import normalize_answer, split_output


logger = logging.get_logger(__name__)

PARTNER = "exchanges_with"  # column: number of the row whose DNA replaces the own


def as_prompts(rows: Dataset, seed: int, **reading) -> Dataset:
    """A view of rows in which each is a prompt, made when it is read.

    Rows without DNA, and conversations that do not end with an answer, are left out and counted in the log: nothing
    could be rewarded in them.

    Args:
        rows: Rows that `load_rows` has checked.
        seed: Which rows exchange their DNA.
        reading: `dna` and `dna_truncation`, see `row_to_messages`.

    Returns:
        Rows with `prompt`, the messages up to the last turn of the assistant; `answer`, the true one; and
        `exchanged_prompt`, the same with the DNA of a row that has another answer.

    Raises:
        ValueError: If no rows are left, or all have the same answer.
    """
    kept, answers = [], []
    for number, row in enumerate(rows):
        messages = build_messages(row, **reading)
        answer = true_answer(messages)
        if answer and dna_blocks(messages):
            kept.append(number)
            answers.append(normalize_answer(answer))
    if len(kept) < len(rows):
        logger.warning(f"Left out {len(rows) - len(kept)} of {len(rows)} rows: they have no DNA, or no answer.")
    partners = find_partners(answers, seed)
    rows = rows.select(kept)
    return rows.add_column(PARTNER, partners).with_transform(partial(_as_prompts, rows=rows, reading=reading))


def _as_prompts(batch: dict[str, list], rows: Dataset, reading: Mapping) -> dict[str, list]:
    prompts, answers, exchanged = [], [], []
    for values in zip(*batch.values()):
        row = dict(zip(batch, values))
        *prompt, _ = messages = build_messages(row, **reading)
        prompts.append(prompt)
        answers.append(true_answer(messages))
        exchanged.append(exchange_blocks(prompt, build_messages(rows[row[PARTNER]], **reading)))
    return {"prompt": prompts, "answer": answers, "exchanged_prompt": exchanged}


def true_answer(messages: list[dict]) -> str | None:
    """What the last turn of a conversation answers, or None if it is not the assistant's or has no answer."""
    role, content = messages[-1]["role"], messages[-1]["content"]
    text = content if isinstance(content, str) else "".join(block.get("text") or "" for block in content)
    return split_output(text)[1] if role == "assistant" else None


def dna_blocks(messages: list[dict]) -> list[dict]:
    """The blocks of a conversation that hold DNA, in their order."""
    contents = [message["content"] for message in messages if not isinstance(message["content"], str)]
    return [block for content in contents for block in content if block["type"] != "text"]


def exchange_blocks(prompt: list[dict], other: list[dict]) -> list[dict]:
    """A prompt with the DNA of another conversation, from its beginning again if that has fewer blocks."""
    donors = cycle(dna_blocks(other))

    def exchange(content):
        if isinstance(content, str):
            return content
        return [block if block["type"] == "text" else next(donors) for block in content]

    return [{**message, "content": exchange(message["content"])} for message in prompt]


def find_partners(answers: list[str], seed: int) -> list[int]:
    """For each row another one, drawn by the seed among those of other answers.

    Raises:
        ValueError: If there are no rows, or all have the same answer.
    """
    order = sorted(range(len(answers)), key=answers.__getitem__)
    if not order or answers[order[0]] == answers[order[-1]]:
        raise ValueError("Learning by reward needs rows of several answers that can only be told from their DNA.")
    rng, partners, start = random.Random(seed), [0] * len(order), 0
    while start < len(order):
        same = start
        while same < len(order) and answers[order[same]] == answers[order[start]]:
            same += 1
        for row in order[start:same]:
            place = rng.randrange(len(order) - (same - start))
            partners[row] = order[place if place < start else place + same - start]
        start = same
    return partners


__all__ = ["as_prompts", "dna_blocks", "exchange_blocks", "find_partners", "true_answer"]
