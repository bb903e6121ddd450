"""Reserved tokens: what people write must not hold them, for a tokenizer would read them as marks of turns or DNA."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from transformers import PreTrainedTokenizerBase

from textgenome.processing.building import DNA_TOKENS


# What the chat template writes, and what every text tokenizer of ours knows.
TEMPLATE_TOKENS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<think>", "</think>", *DNA_TOKENS)
_CONTROL = re.compile(r"<\S+>")
_THOUGHT = re.compile(r"\s*<think>(.*?)</think>", re.DOTALL)


class ReservedTokenError(ValueError):
    """Text that holds a reserved token.

    Attributes:
        place: The keys that lead to the text: of a conversation the index of the message, the name of its field and,
            for content in blocks, the index of the block in which the token begins.
    """

    def __init__(self, token: str, place: tuple[int | str, ...] = ()):
        super().__init__(f"the text holds {token}, which is reserved")
        self.token, self.place = token, place


def reserved_tokens(tokenizer: PreTrainedTokenizerBase | None = None) -> set[str]:
    """The tokens that text must not hold: those of the chat template, and of the tokenizer the special ones and what
    else was added in angle brackets, such as `<tool_call>`.

    Args:
        tokenizer: Of the language model, if it is known.
    """
    if tokenizer is None:
        return set(TEMPLATE_TOKENS)
    added = tokenizer.added_tokens_decoder.values()
    marks = (token.content for token in added if token.special or _CONTROL.fullmatch(token.content))
    return {*TEMPLATE_TOKENS, *tokenizer.all_special_tokens, *marks}


def check_text(text: str, tokenizer: PreTrainedTokenizerBase | None = None) -> None:
    """Raise `ReservedTokenError` if a text holds a reserved token."""
    found = _pattern(tokenizer).search(text)
    if found:
        raise ReservedTokenError(found.group())


def check_conversation(messages: Sequence[Mapping], tokenizer: PreTrainedTokenizerBase | None = None) -> None:
    """Check all text of a conversation as it will be tokenized: the text blocks of a message in one piece, since a
    token may be cut over two of them, also with DNA between, which the text-only control leaves out.

    Only the assistant's content may begin with one think block, unless the reasoning has a field of its own.

    Args:
        messages: As chat templates take them.
        tokenizer: Of the language model, if it is known.

    Raises:
        ReservedTokenError: At the first reserved token.
    """
    pattern = _pattern(tokenizer)
    for i, message in enumerate(messages):
        reasoning, content = message.get("reasoning_content") or "", message.get("content") or ""
        for field in ("role", "reasoning_content"):
            if found := pattern.search(message.get(field) or ""):
                raise ReservedTokenError(found.group(), (i, field))
        texts = [content] if isinstance(content, str) else [block.get("text") or "" for block in content]
        text = "".join(texts)
        thought = None if reasoning or message["role"] != "assistant" else _THOUGHT.match(text)
        found = thought and pattern.search(text, *thought.span(1))
        if found := found or pattern.search(text, thought.end() if thought else 0):
            ends = [len("".join(texts[: j + 1])) for j in range(len(texts))]
            block = () if isinstance(content, str) else (next(j for j, end in enumerate(ends) if found.start() < end),)
            raise ReservedTokenError(found.group(), (i, "content", *block))


@lru_cache(maxsize=8)
def _pattern(tokenizer: PreTrainedTokenizerBase | None) -> re.Pattern:
    # Of two tokens that begin alike, the longer one is named.
    return re.compile("|".join(map(re.escape, sorted(reserved_tokens(tokenizer), key=len, reverse=True))))


__all__ = ["ReservedTokenError", "check_conversation", "check_text", "reserved_tokens"]
