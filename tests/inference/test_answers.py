import pytest

from textgenome.inference.answers import extract_answer, extract_single_entry, truth_anywhere


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
    ("Answer: .", "glioma", None, ".", False),
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
    ("Answer: [glioma];", "glioma", "glioma", "[glioma];", True),
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
