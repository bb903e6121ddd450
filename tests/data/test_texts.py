import pytest

from textgenome.data.texts import check_unicode, is_blank


@pytest.mark.parametrize(
    "text", ["", " \t\n", "\u200b\ufeff", "\u00a0\u2060\u00ad", "\u3164", "\u2800", "\u0301", "\x00"]
)
def test_what_cannot_be_seen_is_blank(text):
    assert is_blank(text)


@pytest.mark.parametrize("text", [".", "0", "\u200bx", "é", "е\u0301", "𝛽", "癌"])
def test_what_can_be_seen_is_not(text):
    assert not is_blank(text)


def test_text_that_is_not_unicode_is_named_by_position():
    check_unicode("naïve 𝛽")
    with pytest.raises(ValueError, match=r"a lone surrogate at position 1 \(U\+D800\)"):
        check_unicode("x\ud800")
    with pytest.raises(ValueError, match=r"the byte 0xE9, which is not UTF-8, at position 3"):
        check_unicode(b"caf\xe9".decode("utf-8", errors="surrogateescape"))
