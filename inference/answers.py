"""Finding the answer in what the model wrote: our way, and the two ways of the predecessors, to be shown beside it."""

import re
import unicodedata


_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_ANSWER = re.compile(r"^[^\w\n]*answer[*_`]*[^\S\n]*:(.*)$", re.IGNORECASE | re.MULTILINE)
_TAG = re.compile(r"</?think>")
_EDGES = " \t.,;:!?*_`\"'«»()[]{}<>#"
# Base letters in one piece, or in blocks with space between, as codons and sequence files have them.
_BASES = re.compile(r"[ACGTUN]{12,}|\b[ACGTUN]{3,}(?:\s+[ACGTUN]{3,}){3,}\b", re.IGNORECASE)
# Typographic quotes and dashes to those of a keyboard.
_KEYBOARD = str.maketrans("‘’‚‛“”„‟′″‐‑–—", "''''\"\"\"\"'\"----")


def normalize_answer(answer: str) -> str:
    """Fold what makes no other answer: case, typographic quotes and dashes, whitespace, punctuation at both ends."""
    folded = unicodedata.normalize("NFKC", answer).translate(_KEYBOARD).casefold()
    return " ".join(folded.split()).strip(_EDGES)


def extract_answer(text: str) -> str | None:
    """The last `Answer:` line outside the think block, normalised.

    A think block that was cut off holds all that follows. Where the text ends one that the prompt began, it starts
    behind it.

    Returns:
        The answer, or None where there is none.
    """
    return normalize_answer(_answer_line(text)) or None


def split_output(text: str) -> tuple[str, str | None]:
    """What the model wrote, for people to read.

    Returns:
        The reasoning: all that stands before the answer, without think tags. And the answer that `extract_answer`
        finds, as the model spelt it.
    """
    line = _answer_line(text)
    text = _TAG.sub("\n", text.partition("<|im_end|>")[0])
    places = [found.start() for found in _ANSWER.finditer(text) if found[1] == line]
    return text[: places[-1] if places else None].strip(), line.strip(_EDGES) or None


def before_answer(text: str) -> str:
    """What the model wrote before the answer that `extract_answer` finds, with think tags; "" where there is none."""
    text = text.partition("<|im_end|>")[0]
    spoken = text.rpartition("</think>")[2]
    line = _answer_line(text)
    places = [found.start() for found in _ANSWER.finditer(spoken) if found[1] == line]
    return text[: len(text) - len(spoken) + places[-1]] if normalize_answer(line) and places else ""


def _answer_line(text: str) -> str:
    """What follows `Answer:` on its last line outside the think block, or nothing."""
    spoken = _THOUGHT.sub("", text.partition("<|im_end|>")[0]).rpartition("</think>")[2]
    return ([""] + _ANSWER.findall(spoken))[-1]


def extract_single_entry(text: str) -> str | None:
    """The answer as the Genos text-genome fusion reads it: the first line that holds `answer:`, the think block too.

    Returns:
        What follows `answer:` on that line up to `<|im_end|>`, in lower case, or None where no line holds it.
    """
    for line in text.lower().splitlines():
        if "answer:" in line:
            return line.partition("answer:")[2].partition("<|im_end|>")[0].strip()
    return None


def truth_anywhere(text: str, truth: str) -> bool:
    """Whether the truth stands anywhere in the output, reasoning included: what the predecessors count as right.

    It is no measure of answers: a name within a longer name counts, and so does one that the model rules out.
    """
    return truth.strip().lower() in text.lower()


def hide_bases(text: str) -> str:
    """Put `[N bases]` for each sequence in a text that is to be kept or shown: 12 base letters or more in a run."""
    return _BASES.sub(lambda match: f"[{sum(not letter.isspace() for letter in match.group())} bases]", text)


__all__ = [
    "before_answer",
    "extract_answer",
    "extract_single_entry",
    "hide_bases",
    "normalize_answer",
    "split_output",
    "truth_anywhere",
]
