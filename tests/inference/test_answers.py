import pytest

from textgenome.inference.answers import (
    before_answer,
    extract_answer,
    extract_single_entry,
    is_right,
    normalize_answer,
    split_output,
    truth_anywhere,
)


RCC, CLEAR = "renal cell carcinoma", "clear cell renal cell carcinoma"
THOUGHT = "<think>\nStep 1: it may be gitelman syndrome.\n</think>\n\n"

# What the model wrote, the truth, and each reading of it: ours, the original's first line, and truth anywhere.
OUTPUTS = [
    # plain
    ("Answer: breast cancer", "breast cancer", "breast cancer", "breast cancer", True),
    ("Answer: Breast Cancer", "breast cancer", "breast cancer", "breast cancer", True),
    ("ANSWER: breast cancer", "breast cancer", "breast cancer", "breast cancer", True),
    ("answer: breast cancer", "breast cancer", "breast cancer", "breast cancer", True),
    ("Answer:breast cancer", "breast cancer", "breast cancer", "breast cancer", True),
    ("Answer : breast cancer", "breast cancer", "breast cancer", None, True),
    ("  Answer:   breast   cancer  ", "breast cancer", "breast cancer", "breast   cancer", False),
    ("Answer: breast cancer<|im_end|>\n", "breast cancer", "breast cancer", "breast cancer", True),
    ("Answer: breast cancer\nThat is all.", "breast cancer", "breast cancer", "breast cancer", True),
    ("Answer: breast cancer\r\n", "breast cancer", "breast cancer", "breast cancer", True),
    # nested names
    (f"Answer: {CLEAR}", RCC, CLEAR, CLEAR, True),
    (f"Answer: {RCC}", CLEAR, RCC, RCC, False),
    (f"{THOUGHT}Answer: {RCC}", RCC, RCC, RCC, True),
    (f"It is no {RCC}.\nAnswer: glioma", RCC, "glioma", "glioma", True),
    # reasoning
    (f"{THOUGHT}Answer: bartter syndrome", "gitelman syndrome", "bartter syndrome", "bartter syndrome", True),
    ("<think>\nAnswer: glioma\n</think>\n\nAnswer: melanoma", "melanoma", "melanoma", "glioma", True),
    ("<think>\nAnswer: glioma\n</think>\n\nNo idea.", "glioma", None, "glioma", True),
    ("<think>\nAnswer: glioma", "glioma", None, "glioma", True),
    ("<think>\nStep 1: glioma, and then", "glioma", None, None, True),
    ("Step 1: x\n</think>\n\nAnswer: glioma", "glioma", "glioma", "glioma", True),
    ("Answer: glioma\n</think>\n\nAnswer: melanoma", "glioma", "melanoma", "glioma", True),
    ("<think></think>Answer: glioma", "glioma", "glioma", "glioma", True),
    ("<think>\n\n</think>\n\nAnswer: glioma", "glioma", "glioma", "glioma", True),
    ("<think>a</think>Answer: glioma\n<think>Answer: melanoma</think>", "glioma", "glioma", "glioma", True),
    ("Answer: glioma\n<think>\nAnswer: melanoma", "glioma", "glioma", "glioma", True),
    # several lines
    ("Answer: one\nAnswer: two", "two", "two", "one", True),
    ("Answer: one\nNo.\nAnswer: two\n", "one", "two", "one", True),
    ("Answer: one\nAnswer:", "one", None, "one", True),
    ("Answer:\nAnswer: two", "two", "two", "", True),
    ("Answer: one<|im_end|>\nAnswer: two", "two", "one", "one", True),
    # none
    ("", "glioma", None, None, False),
    ("Answer:", "glioma", None, "", False),
    ("Answer: .", "glioma", ".", ".", False),
    ("Answer: \u200b", "glioma", None, "\u200b", False),
    ("**Answer:**", "glioma", None, "**", False),
    ("The answer is glioma", "glioma", None, None, True),
    ("My answer: glioma", "glioma", None, "glioma", True),
    ("glioma", "glioma", None, None, True),
    ("Answers: glioma", "glioma", None, None, True),
    ("<|im_end|>Answer: glioma", "glioma", None, "glioma", True),
    # markdown and punctuation
    ("**Answer:** glioma", "glioma", "glioma", "** glioma", True),
    ("**Answer**: glioma", "glioma", "glioma", None, True),
    ("**Answer: glioma**", "glioma", "glioma", "glioma**", True),
    ("### Answer: *glioma*", "glioma", "glioma", "*glioma*", True),
    ("- Answer: `glioma`", "glioma", "glioma", "`glioma`", True),
    ("> Answer: glioma.", "glioma", "glioma", "glioma.", True),
    ("Answer: 'glioma'!", "glioma", "glioma", "'glioma'!", True),
    ("Answer: [glioma];", "glioma", "[glioma]", "[glioma];", True),
    ("_Answer:_ glioma", "glioma", "glioma", "_ glioma", True),
    ("**Answer: p.Arg5***", "p.Arg5*", "p.arg5*", "p.arg5***", True),
    ("*Answer: *1/*2*", "*1/*2", "*1/*2", "*1/*2*", True),
    # Unicode
    ("Answer: “glioma”", "glioma", "glioma", "“glioma”", True),
    ("Answer: «glioma»", "glioma", "glioma", "«glioma»", True),
    ("Answer: Alzheimer’s disease", "alzheimer's disease", "alzheimer's disease", "alzheimer’s disease", False),
    ("Answer: beta‑thalassemia", "beta-thalassemia", "beta-thalassemia", "beta‑thalassemia", False),
    ("Answer:\u00a0glioma", "glioma", "glioma", "glioma", True),
    ("Answer： glioma", "glioma", None, None, True),
]


def test_there_are_enough_of_them():
    assert len({text for text, *_ in OUTPUTS}) >= 40


@pytest.mark.parametrize("text, truth, answer, single_entry, anywhere", OUTPUTS)
def test_readings(text, truth, answer, single_entry, anywhere):
    assert (extract_answer(text), extract_single_entry(text)) == (answer, single_entry)
    assert truth_anywhere(text, truth) is anywhere


APART = [
    ("<5 %", ">5 %", "5 %", "≤5 %"),
    ("p.Arg5*", "p.Arg5", "p.Arg5?", "p.(Arg5)"),
    ("p.?", "p.", "p.(=)", "p.0?"),
    ("del(5q)", "del(5q", "del5q"),
    ("amyotrophic lateral sclerosis (ALS)", "amyotrophic lateral sclerosis ALS"),
    ("[0, 5]", "(0, 5)", "0, 5", "{0, 5}"),
    ("HER2+", "HER2-", "HER2"),
    ("+5", "-5", "5", "#5", ".5", "5!", "~5", "5'"),
    ("10⁵", "105", "10₅"),
    ("½", "1/2"),
    ("*1/*2", "1/*2", "*1/2"),
    ("glioma?", "glioma"),
    ('"a" or "b"', "a or b", 'a" or "b'),
    ("none", "?", ".", "-", "+", "*", "="),
]
ALIKE = [
    (
        "Glioma",
        " GLIOMA. ",
        "“glioma”",
        "‘Glioma’.",
        "«glioma»",
        "**glioma**",
        "`glioma`",
        "_glioma_",
        "glioma,",
        "'glioma'!",
    ),
    ("Alzheimer's disease", "'Alzheimer’s disease'", "**Alzheimer's disease**."),
    ("p.Arg5*", "P.ARG5*.", "**p.Arg5***", "`p.Arg5*`"),
    ("-5", "−5", "–5"),
    ("beta-thalassemia", "beta\u2011thalassemia", "beta\u00ad-thalassemia", "\ufeffbeta-thalassemia"),
    ("breast cancer", "breast\u00a0\n cancer", "ｂｒｅａｓｔ cancer", "breast cancer…"),
    ("ﬁbrosis", "fibrosis"),
    ("é", "e\u0301"),
]


def test_what_tells_answers_apart_is_kept():
    for answers in APART:
        assert len({normalize_answer(answer) for answer in answers}) == len(answers)


def test_what_makes_no_other_answer_is_folded():
    for first, *others in ALIKE:
        assert {normalize_answer(answer) for answer in others} == {normalize_answer(first)}


def test_no_answer_is_never_right():
    for truth in (".", "...", "-", "''", "*"):
        assert not is_right(None, truth)
        assert is_right(extract_answer(f"Answer: {truth}"), truth)


SPELT = [
    "p.Arg5*",
    "amyotrophic lateral sclerosis (ALS)",
    "del(5q)",
    "<5 %",
    "[A;B]",
    "*1/*2",
    "5' UTR loss",
    "#1",
    "p.(=)",
    "Loss.",
]


@pytest.mark.parametrize("answer", SPELT)
@pytest.mark.parametrize(
    "line", ["Answer: {}", "**Answer:** {}", "**Answer: {}**", "- _Answer_: {}  ", "`Answer: {}`."]
)
def test_an_answer_is_shown_as_it_was_spelt(line, answer):
    text = f"<think>\nStep 1\n</think>\n\n{line.format(answer)}"
    shown = f"{answer}." if line.endswith(".") else answer
    assert split_output(text) == ("Step 1", shown)
    assert before_answer(text) == "<think>\nStep 1\n</think>\n\n"
    assert is_right(extract_answer(text), answer)
