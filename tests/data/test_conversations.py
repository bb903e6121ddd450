import pytest

from textgenome.data.conversations import BadRow, row_to_messages


USER = {"role": "user", "content": [{"type": "dna", "dna": "ACGT"}, {"type": "text", "text": "What?"}]}
ASSISTANT = {"role": "assistant", "content": "Answer: cancer"}
CALL = {"type": "function", "function": {"name": "f", "arguments": "{}"}}


def check(*messages):
    return row_to_messages({"messages": list(messages)})


def refused(*messages):
    with pytest.raises(BadRow) as error:
        check(*messages)
    return error.value.column, str(error.value)


@pytest.mark.parametrize(
    "field, value",
    [
        ("tool_calls", [CALL]),
        ("function_call", {"name": "f"}),
        ("reasoning", "Step 1"),
        ("thinking", "Step 1"),
        ("name", "Ann"),
        ("weight", 0),
        ("train", False),
        ("Content", "x"),
    ],
)
def test_a_field_that_is_not_read_is_refused(field, value):
    for place, messages in ((1, [USER, {**ASSISTANT, field: value}]), (0, [{**USER, field: value}, ASSISTANT])):
        expected = "it is not read; only role, content, reasoning_content are"
        assert refused(*messages) == (f"messages[{place}].{field}", expected)


@pytest.mark.parametrize("value", [None, [], {}, ""])
def test_a_field_that_says_nothing_is_taken(value):
    messages = [{**USER, "tool_calls": value}, {**ASSISTANT, "name": value, "reasoning_content": None}]
    assert check(*messages) == messages


@pytest.mark.parametrize("role", ["Assistant", "ASSISTANT", "User", "tool", "developer", "human", "gpt", " user", ""])
def test_another_role_is_refused(role):
    column, message = refused(USER, ASSISTANT, {"role": role, "content": "Answer: cancer"})
    assert column == "messages[2].role" and message == f"it is {role!r}, but must be system, user or assistant"


@pytest.mark.parametrize("reasoning", [["Step 1"], {"text": "Step 1"}, [], 3, True])
def test_reasoning_must_be_text(reasoning):
    column, message = refused(USER, {**ASSISTANT, "reasoning_content": reasoning})
    assert column == "messages[1].reasoning_content" and message.startswith("expected text, got ")


def test_only_the_assistant_reasons():
    column, message = refused({**USER, "reasoning_content": "Step 1"}, ASSISTANT)
    assert (column, message) == ("messages[0].reasoning_content", "only the assistant reasons")


@pytest.mark.parametrize(
    "block, field",
    [
        ({"type": "text", "text": "What?", "dna": "ACGT"}, "dna"),
        ({"type": "dna", "dna": "ACGT", "text": "What?"}, "text"),
        ({"type": "variant", "reference": "ACGT", "variant": "ACTT", "strand": "-"}, "strand"),
    ],
)
def test_a_field_of_a_block_that_is_not_read_is_refused(block, field):
    column, message = refused({"role": "user", "content": [block]}, ASSISTANT)
    assert column == f"messages[0].content[0].{field}" and message.startswith("it is not read; only type, ")
    check({"role": "user", "content": [{**block, field: None}]}, ASSISTANT)


@pytest.mark.parametrize("content", ["", " \n", "\u200b", [], [{"type": "text", "text": "\ufeff"}]])
def test_an_assistant_that_says_nothing_is_no_turn_to_learn_from(content):
    silent = {"role": "assistant", "content": content}
    assert refused(USER, silent) == ("messages", "there is no turn of the assistant to learn from")
    check(USER, silent, USER, ASSISTANT)
    check(USER, {**silent, "reasoning_content": "Step 1"})
