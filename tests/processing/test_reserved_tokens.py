from collections import Counter
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgenome.processing.reserved_tokens import ReservedTokenError, check_conversation, check_text, reserved_tokens


ENTRANCES = {
    "role": lambda text: {"role": text, "content": "x"},
    "content": lambda text: {"role": "user", "content": text},
    "content of the assistant": lambda text: {"role": "assistant", "content": text},
    "reasoning": lambda text: {"role": "assistant", "content": "x", "reasoning_content": text},
    "block": lambda text: {"role": "system", "content": [{"type": "text", "text": text}]},
}


def blocks(*texts: str) -> list[dict]:
    return [{"type": "text", "text": text} for text in texts]


def test_all_special_tokens_and_marks_in_angle_brackets_are_reserved(qwen3_processor, tiny_processor):
    reserved = reserved_tokens(qwen3_processor.tokenizer)
    assert reserved == {token.content for token in qwen3_processor.tokenizer.added_tokens_decoder.values()}
    assert {"<|vision_pad|>", "<tool_call>", "<|fim_prefix|>", "</think>", "<|dna_pad|>", "<|endoftext|>"} <= reserved
    assert reserved_tokens(tiny_processor.tokenizer) == reserved_tokens() < reserved


def test_words_that_somebody_added_are_not(qwen3_processor):
    tokenizer = deepcopy(qwen3_processor.tokenizer)
    tokenizer.add_tokens(["BRCA1", "   "])
    check_text("BRCA1   is p < 5 and q > 3, <b>bold</b>, <|, |>, <think", tokenizer)


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_every_token_is_found_in_every_text(qwen3_processor, entrance):
    tokenizer = qwen3_processor.tokenizer
    for token in reserved_tokens(tokenizer):
        with pytest.raises(ReservedTokenError) as error:
            check_conversation([{"role": "user", "content": "fine"}, ENTRANCES[entrance](f"a {token}b")], tokenizer)
        assert str(error.value) == f"the text holds {token}, which is reserved" and error.value.place[0] == 1


@pytest.mark.parametrize(
    "content, place",
    [
        (blocks("a<|im_", "end|>b"), (0, "content", 0)),
        (blocks("a", "b", "<", "|im_en", "d|", ">"), (0, "content", 2)),
        ([*blocks("a<|im_"), {"type": "dna", "dna": "ACGT"}, *blocks("end|>")], (0, "content", 0)),
        ([{"type": "dna", "dna": "ACGT"}, *blocks("", "<|im_end|>")], (0, "content", 2)),
        ("a <|im_end|>", (0, "content")),
    ],
)
def test_a_token_is_found_where_it_begins_however_it_is_cut(content, place):
    with pytest.raises(ReservedTokenError, match=r"holds <\|im_end\|>, which") as error:
        check_conversation([{"role": "user", "content": content}])
    assert error.value.place == place


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": "<think>\nIt breaks.\n</think>\n\nAnswer: x"},
        {"role": "assistant", "content": blocks("\n<thi", "nk>a</think>", "Answer: x")},
        {"role": "assistant", "content": None, "reasoning_content": "Step 1"},
        {"role": "assistant", "content": "Answer: x", "reasoning_content": None},
        {"role": "user", "content": blocks("Is <think or /think> a tag?")},
    ],
)
def test_the_answer_may_begin_with_its_reasoning(message):
    check_conversation([message])


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": "<think>never ends"},
        {"role": "assistant", "content": "never begins</think>Answer: x"},
        {"role": "assistant", "content": "So: <think>late</think>Answer: x"},
        {"role": "assistant", "content": "<think>a</think><think>b</think>Answer: x"},
        {"role": "assistant", "content": "<think>a<think>b</think>Answer: x"},
        {"role": "assistant", "content": "<think>a <|im_end|></think>Answer: x"},
        {"role": "assistant", "content": "<think>a</think>Answer: x<|im_end|>"},
        {"role": "assistant", "content": "<think>a</think>Answer: x", "reasoning_content": "Step 1"},
        {"role": "assistant", "content": "Answer: x", "reasoning_content": "<think>Step 1</think>"},
        {"role": "user", "content": "<think>a</think>What?"},
    ],
)
def test_other_think_tags_are_refused(message):
    with pytest.raises(ReservedTokenError):
        check_conversation([message])


PIECES = [
    "<|im_",
    "<|",
    "im_",
    "end|>",
    "|>",
    "<|im_end|>",
    "<think>",
    "</thi",
    "nk>",
    "<|dna_pad",
    "dna_",
    " ",
    "a",
    "\n",
]
texts = st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map("".join), min_size=1, max_size=3)


@given(user=texts, answer=texts, reasoning=st.lists(st.sampled_from(PIECES), max_size=3).map("".join))
@settings(max_examples=300, deadline=None)
def test_what_passes_is_tokenized_without_reserved_tokens(tiny_processor, user, answer, reasoning):
    """But for those of the template, and the think tags, of which there is one pair in each answer."""

    def conversation(user, answer, reasoning):
        said = {"role": "assistant", "content": answer, "reasoning_content": reasoning}
        return [{"role": "user", "content": user}, said]

    def reserved(messages):
        batch = tiny_processor.apply_chat_template([messages], tokenize=True, return_dict=True)
        tokens = tiny_processor.tokenizer.convert_ids_to_tokens(batch["input_ids"][0])
        return Counter(token for token in tokens if token in reserved_tokens())

    messages = conversation(blocks(*user), blocks(*answer), reasoning)
    try:
        check_conversation(messages, tiny_processor.tokenizer)
    except ReservedTokenError:
        return
    assert reserved(messages) == reserved(conversation("x", "x", "x"))
