from itertools import pairwise

import pytest
from conftest import random_dna
from live_service import say, serving

from textgenome.serving.reasoning import content_start, hold_back, split_reasoning


@pytest.mark.parametrize(
    "text, parts",
    [
        ("<think>\nStep 1\n</think>\n\nAnswer: x", ("Step 1", "Answer: x")),
        ("<think>\n\n</think>\n\nAnswer: x", ("", "Answer: x")),
        ("<think>\nStep 1", ("Step 1", "")),
        (" Answer: x\n", ("", "Answer: x")),
        ("a < b", ("", "a < b")),
    ],
)
def test_reasoning_is_split_as_it_grows(text, parts):
    assert split_reasoning(text) == parts
    growing = [split_reasoning(text[:n], finished=False) for n in range(len(text))] + [parts]
    for i in range(2):
        for shorter, longer in pairwise(growing):
            assert longer[i].startswith(shorter[i])


@pytest.mark.parametrize(
    "text, content",
    [
        ("<think>\nStep 1\n</think>\n\nAnswer: x", "Answer: x"),
        (" \n<think></think>x", "x"),
        ("<think>\nStep 1", None),
        ("<thi", None),
        ("", None),
        ("<thing>", "<thing>"),
        ("\n a <think> b", "a <think> b"),
    ],
)
def test_where_the_content_starts(text, content):
    start = content_start(text)
    assert (start if start is None else text[start:]) == content


def test_the_beginning_of_a_mark_is_held_back():
    assert hold_back("one st", ("stop", "st.")) == "one "
    assert hold_back("one sto", ("stop", "o!")) == "one "
    assert hold_back("one", ()) == "one"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "stop, content",
    [
        ("Step", "Answer: splice Step loss"),
        (["\n", "\n\n"], "Answer: splice Step loss"),
        ("<", "Answer: splice Step loss"),
        (["loss", "never said"], "Answer: splice Step"),
        ("Answer", ""),
    ],
)
def test_stop_acts_on_the_answer_and_not_on_the_reasoning(tiny_model, tiny_processor, chat_of, stop, content, stream):
    said = "<think>\nStep 1\n\nStep 2 < 3\n</think>\n\nAnswer: splice Step loss<|im_end|>"
    content = content.replace(" Step loss", "") if stop == "Step" else content
    say(tiny_model, tiny_processor, said)
    with serving(tiny_model, tiny_processor) as service:
        answered = chat_of(service.url, stop=stop, stream=stream)
    assert answered == ("Step 1\n\nStep 2 < 3", content)


def test_stop_acts_on_an_answer_without_reasoning(tiny_model, tiny_processor, chat_of):
    say(tiny_model, tiny_processor, "Answer: splice loss<|im_end|>")
    with serving(tiny_model, tiny_processor) as service:
        assert chat_of(service.url, stop=" loss") == ("", "Answer: splice")


@pytest.fixture
def chat_of():
    """Ask one question; returns the reasoning and the content."""
    import openai

    def ask(url: str, stream: bool = False, **options) -> tuple[str, str]:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        content = [{"type": "dna", "dna": random_dna(20)}, {"type": "text", "text": "What?"}]
        options = {"model": "tiny", "messages": [{"role": "user", "content": content}], "max_tokens": 64, **options}
        if not stream:
            message = client.chat.completions.create(**options).choices[0].message
            return message.reasoning_content, message.content
        deltas = [chunk.choices[0].delta for chunk in client.chat.completions.create(stream=True, **options)]
        return tuple(
            "".join(getattr(delta, name, None) or "" for delta in deltas) for name in ("reasoning_content", "content")
        )

    return ask
