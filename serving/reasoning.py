"""What the assistant says, apart from the think block it may begin with, also while it is still growing."""

THINK, END_THINK = "<think>", "</think>"


def split_reasoning(text: str, finished: bool = True) -> tuple[str, str]:
    """What the assistant says, without the think block it may begin with.

    Args:
        text: All it said, or as much as there is.
        finished: If not, an end that may be the beginning of a tag is left out.

    Returns:
        The reasoning and the content. Those of more text begin with those of less.
    """
    text = text.lstrip() if finished else hold_back(text.lstrip(), (THINK, END_THINK))
    if not text.startswith(THINK):
        return "", text.strip()
    reasoning, _, content = text.removeprefix(THINK).partition(END_THINK)
    return reasoning.strip(), content.strip()


def content_start(text: str) -> int | None:
    """Where in a growing text the content starts, or None as long as that cannot be told."""
    start = _skip_space(text, 0)
    if text.startswith(THINK, start):
        end = text.find(END_THINK, start)
        start = len(text) if end < 0 else _skip_space(text, end + len(END_THINK))
    elif THINK.startswith(text[start:]):
        start = len(text)
    return start if start < len(text) else None


def hold_back(text: str, marks: tuple[str, ...]) -> str:
    """The text without an end that may be the beginning of a mark."""
    longest = max(map(len, marks), default=1) - 1
    for length in range(min(longest, len(text)), 0, -1):
        if any(mark.startswith(text[-length:]) for mark in marks):
            return text[:-length]
    return text


def _skip_space(text: str, start: int) -> int:
    return len(text) - len(text[start:].lstrip())


__all__ = ["content_start", "hold_back", "split_reasoning"]
