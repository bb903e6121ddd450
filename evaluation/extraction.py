"""Finding the answer in what the model wrote."""

import re


_THOUGHT = re.compile(r"<think>.*?(</think>|$)", re.DOTALL)
_ANSWER = re.compile(r"^[\W_]*answer[*_]*\s*:(.*)$", re.IGNORECASE | re.MULTILINE)
_EDGES = " \t\r\n.,;:!?*_`\"'“”‘’«»()[]{}"


def extract_answer(text: str) -> str | None:
    """The last `Answer:` line outside the think block: lower case, quotes and punctuation trimmed, whitespace folded.

    Returns:
        The answer, or None where there is none.
    """
    answers = _ANSWER.findall(_THOUGHT.sub("", text.replace("<|im_end|>", "")))
    return " ".join(answers[-1].lower().split()).strip(_EDGES) or None if answers else None


__all__ = ["extract_answer"]
