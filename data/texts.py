"""What holds for any text: whether it says anything, and whether it is Unicode."""

import unicodedata


# Spaces, control characters, marks without a letter, and what has no width, such as U+200B and U+FEFF.
_INVISIBLE = {"Cc", "Cf", "Mn", "Me", "Zs", "Zl", "Zp"}
_FILLERS = set("\u115f\u1160\u2800\u3164\uffa0")  # letters and symbols by their category, but blank


def is_blank(text: str) -> bool:
    """Whether a text is empty to a reader: it holds nothing, or only what cannot be seen."""
    return not any(unicodedata.category(each) not in _INVISIBLE and each not in _FILLERS for each in text)


def check_unicode(text: str) -> None:
    """Check that a text can be written in UTF-8.

    Raises:
        ValueError: If it holds a surrogate, half of a pair or what Python makes of a byte that is not UTF-8.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        wrong = (
            f"the byte 0x{code - 0xDC00:02X}, which is not UTF-8," if 0xDC80 <= code <= 0xDCFF else "a lone surrogate"
        )
        raise ValueError(f"the text holds {wrong} at position {error.start} (U+{code:04X})") from error


__all__ = ["check_unicode", "is_blank"]
