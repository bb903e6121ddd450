"""Finding the answer in what the model wrote: our way, and the two ways of the predecessors, to be shown beside it."""

import re
import unicodedata

from textgenome.data.texts import is_blank


_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
# `mark` is Markdown's emphasis, which `closed`, or what follows the colon, or the end of the line ends.
_ANSWER = re.compile(
    r"^[^\w\n]*?(?P<mark>[*_`]*)answer(?P<closed>[*_`]*)[^\S\n]*:(?P<said>.*)$", re.IGNORECASE | re.MULTILINE
)
_TAG = re.compile(r"</?think>")
# Base letters in one piece, or in blocks with space between, as codons and sequence files have them.
_BASES = re.compile(r"[ACGTUN]{12,}|\b[ACGTUN]{3,}(?:\s+[ACGTUN]{3,}){3,}\b", re.IGNORECASE)
# Typographic quotes and dashes, and the minus sign, to those of a keyboard.
_KEYBOARD = str.maketrans("‘’‚‛“”„‟«»′″‐‑‒–—―−", '\'\'\'\'""""""\'"-------')
# What ends a sentence; an exclamation mark after a number is a factorial.
_END = re.compile(r"(?:[\s.,;:]|(?<!\d)!)+$")
_WRAPPINGS = ("***", "**", "*", "__", "_", "`", '"', "'")
# Compatibility characters of Unicode that mean something else without their form: 10⁵ is not 105.
_FORMS = ("<super>", "<sub>", "<fraction>")


def normalize_answer(answer: str) -> str:
    """Fold what makes no other answer. The result is for comparing, not for showing.

    Folded are case, typographic quotes and dashes, whitespace and characters without width, compatibility characters
    of Unicode but superscripts, subscripts and fractions; quotes and Markdown's emphasis around the whole; and the
    punctuation of a sentence at its end. All else tells answers apart, such as brackets, `<`, `>`, `?`, `+` and a lone
    `*`.

    Returns:
        The folded answer; it is empty only if nothing of the answer can be seen.
    """
    composed = unicodedata.normalize("NFC", answer).translate(_KEYBOARD)
    folded = "".join(each if each.isascii() else _fold_form(each) for each in composed)
    text = " ".join(unicodedata.normalize("NFC", folded.casefold()).split())
    while (shorter := _unwrap(_END.sub("", text))) and shorter != text:
        text = shorter
    return text


def _fold_form(character: str) -> str:
    if unicodedata.category(character) == "Cf":
        return ""  # without width
    if unicodedata.decomposition(character).startswith(_FORMS):
        return character
    return unicodedata.normalize("NFKC", character)


def _unwrap(text: str) -> str:
    """The text without quotes or emphasis around all of it."""
    for mark in _WRAPPINGS:
        inner = text[len(mark) : -len(mark)]
        if inner and text == f"{mark}{inner}{mark}" and inner == inner.strip():
            # Unless another one within opens or closes a part, as in "a" or "b".
            part = rf"(?<!\w){re.escape(mark)}|{re.escape(mark)}(?!\w)"
            return text if re.search(part, inner) else inner
    return text


def extract_answer(text: str) -> str | None:
    """The last `Answer:` line outside the think block, normalised.

    A think block that was cut off holds all that follows. Where the text ends one that the prompt began, it starts
    after it.

    Returns:
        The answer, or None where there is none.
    """
    return normalize_answer(_said(_find_answer(text)) or "") or None


def is_right(answer: str | None, truth: str) -> bool:
    """Whether a normalised answer is the truth, which is normalised here. None, no answer, is never right."""
    return answer is not None and answer == normalize_answer(truth)


def split_output(text: str) -> tuple[str, str | None]:
    """What the model wrote, for people to read.

    Returns:
        The reasoning: all text before the answer, without think tags. And the answer that `extract_answer`
        finds, as the model spelt it.
    """
    found = _find_answer(text)
    text = _TAG.sub("\n", text.partition("<|im_end|>")[0])
    places = [each.start() for each in _ANSWER.finditer(text) if found and each["said"] == found["said"]]
    return text[: places[-1] if places else None].strip(), _said(found)


def before_answer(text: str) -> str:
    """What the model wrote before the answer that `extract_answer` finds, with think tags; "" where there is none."""
    text = text.partition("<|im_end|>")[0]
    spoken = text.rpartition("</think>")[2]
    found = _find_answer(text)
    places = [each.start() for each in _ANSWER.finditer(spoken) if found and each["said"] == found["said"]]
    return text[: len(text) - len(spoken) + places[-1]] if _said(found) and places else ""


def _find_answer(text: str) -> re.Match | None:
    """The last line that begins with `Answer:`, outside the think block."""
    spoken = _THOUGHT.sub("", text.partition("<|im_end|>")[0]).rpartition("</think>")[2]
    return next(reversed([*_ANSWER.finditer(spoken)]), None)


def _said(found: re.Match | None) -> str | None:
    """What such a line says, without the end of the emphasis that begins before `Answer`."""
    if found is None:
        return None
    said, mark = found["said"], found["mark"]
    if mark and not found["closed"]:
        end = re.compile(rf"{re.escape(mark)}(?=[\s.,;:!]*$)")
        said = said.removeprefix(mark) if said.startswith(mark) else end.sub("", said, count=1)
    return None if is_blank(said) else said.strip()


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
    """Whether the truth occurs anywhere in the output, reasoning included: what the predecessors count as right.

    It does not measure answers: a name within a longer name counts, and so does one that the model rules out.
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
    "is_right",
    "normalize_answer",
    "split_output",
    "truth_anywhere",
]
