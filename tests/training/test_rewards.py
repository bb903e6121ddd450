"""What is rewarded, and in which rows."""

from collections import Counter

import pytest
from conftest import variant_row
from datasets import Dataset

from textgenome.training.reward_rows import as_prompts, exchange_blocks, find_partners
from textgenome.training.rewards import counterfactual, form, right


def test_the_true_answer_is_rewarded_as_evaluation_counts_it():
    turns = ["Answer: Cancer.<|im_end|>", "<think>\nAnswer: cancer\n</think>\n\nAnswer: gout<|im_end|>", "cancer"]
    assert right(turns, ["cancer"] * 3) == [1, 0, 0]


def test_the_counterfactual_reward_is_for_what_only_the_own_dna_tells():
    turns = ["Answer: A<|im_end|>", "Answer: B<|im_end|>", "Answer: A<|im_end|>", "Answer: B<|im_end|>"]
    exchanged = ["Answer: B", "Answer: B", "Answer: A", "nothing"]
    assert counterfactual(turns, ["A"] * 4, exchanged) == [1, 0, 0, 0]


@pytest.mark.parametrize(
    "turn, reasons, expected",
    [
        ("<think>\nIt breaks.\n</think>\n\nAnswer: A<|im_end|>", True, 1),
        ("It breaks.\nAnswer: A<|im_end|>", True, 1),  # in the plain format
        ("Answer: A<|im_end|>", True, 0),
        ("Answer: A<|im_end|>", False, 1),
        ("It breaks.\nAnswer: A<|im_end|>", False, 0),
        ("<think>\n\n</think>\n\nAnswer: A<|im_end|>", True, 0),
        ("<think>\nIt breaks.\n</think>\n\nAnswer: A", True, 0),  # cut off
        ("<think>\nIt breaks.\nAnswer: A<|im_end|>", True, 0),
        ("It <think>\nbreaks.\n</think>\n\nAnswer: A<|im_end|>", True, 0),
        ("<think>\nIt\n</think>\nbreaks.\n</think>\nAnswer: A<|im_end|>", True, 0),
        ("It breaks.\nAnswer: A\nAnswer: B<|im_end|>", True, 0),
        ("It breaks.\nAnswer: A\nOr so.<|im_end|>", True, 0),
        ("It breaks.\nAnswer:<|im_end|>", True, 0),
    ],
)
def test_the_form_is_that_of_training(turn, reasons, expected):
    assert form([turn], [reasons]) == [expected]


def test_a_partner_has_another_answer_and_all_others_are_drawn():
    answers = [*"AAAAAAB", "C"] * 20
    partners = find_partners(answers, seed=0)
    assert all(answers[i] != answers[j] for i, j in enumerate(partners))
    drawn = Counter(answers[j] for i, j in enumerate(partners) if answers[i] == "A")
    assert drawn["B"] > 40 and drawn["C"] > 40
    assert find_partners(answers, 0) == partners != find_partners(answers, 1)
    with pytest.raises(ValueError, match="rows of several answers"):
        find_partners(["A", "A"], seed=0)


def test_prompts_have_their_answer_and_the_dna_of_another_row(caplog):
    messages = [
        {"role": "user", "content": [{"type": "dna", "dna": "ACGT"}, {"type": "text", "text": "What?"}]},
        {"role": "assistant", "content": "<think>\nHm.\n</think>\n\nAnswer: C"},
    ]
    without = [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "Answer: C"}]
    columns = dict.fromkeys(("question", "answer", "reference_sequence", "variant_sequence"))
    rows = [variant_row(seed=i, answer="AB"[i]) for i in range(2)]
    rows = [{**row, "messages": None} for row in rows] + [{**columns, "messages": m} for m in (messages, without)]
    prompts = as_prompts(Dataset.from_list(rows, on_mixed_types="use_json"), seed=0)
    assert "Left out 1 of 4 rows" in caplog.text
    assert prompts["answer"] == ["A", "B", "C"]
    for i in range(2):
        variant, text = prompts[i]["prompt"][0]["content"]
        assert variant["variant"] == rows[i]["variant_sequence"] and text["text"] == "What?"
        (other,) = prompts[i]["exchanged_prompt"]
        assert other["content"][1] == text and other["content"][0] != variant
    assert prompts[2]["prompt"] == messages[:1]


def test_blocks_are_exchanged_in_their_order():
    blocks = [{"type": "dna", "dna": dna} for dna in ("AA", "CC", "GG")]
    text = {"type": "text", "text": "What?"}
    prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [*blocks, text]}]
    other = [{"role": "user", "content": [{"type": "dna", "dna": "T"}, text, {"type": "dna", "dna": "TT"}]}]
    exchanged = exchange_blocks(prompt, other)
    assert [block.get("dna") for block in exchanged[1]["content"]] == ["T", "TT", "T", None]
    assert exchanged[0] == prompt[0] and prompt[1]["content"][0] == blocks[0]
