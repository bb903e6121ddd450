import pytest
from fastapi.testclient import TestClient
from live_service import variant_messages

from textgenome.serving.app import create_app
from textgenome.serving.bodies import parse
from textgenome.serving.engine import Engine
from textgenome.serving.errors import FieldError
from textgenome.serving.schema import ChatRequest


# What a client may send without asking for anything.
NOTHING = {
    "n": [1, None],
    "frequency_penalty": [0, 0.0, None],
    "presence_penalty": [0, 0.0, None],
    "logit_bias": [{}, {"50256": 0}, None],
    "logprobs": [False, None],
    "top_logprobs": [0, None],
    "tools": [[], None],
    "tool_choice": ["none", "auto", None],
    "parallel_tool_calls": [True, False, None],
    "functions": [[], None],
    "function_call": ["none", "auto", None],
    "modalities": [["text"], None],
    "response_format": [{"type": "text"}, None],
    "stop": [[], None],
    "stream": [False, None],
    "stream_options": [{}, {"include_usage": None}, {"include_obfuscation": False}, None],
    "store": [False, None],
    "metadata": [{}, None],
    "service_tier": ["auto", "default", None],
    "verbosity": ["medium", None],
    "reasoning_effort": [None],
    "audio": [None],
    "prediction": [None],
    "web_search_options": [None],
    "moderation": [None],
    "user": ["anyone", None],
    "safety_identifier": ["anyone", None],
    "prompt_cache_key": ["anything", None],
    "prompt_cache_retention": ["in_memory", None],
    "seed": [None],
    "temperature": [0, None],
    "top_p": [1, None],
    "labels": [[], None],
    "enable_thinking": [None],
    "model": ["tiny", None],
    "a_field_of_tomorrow": [None],
}
REPLAYED = {
    "role": "assistant",
    "content": "A site.",
    "reasoning_content": None,
    "refusal": None,
    "annotations": [],
    "audio": None,
    "function_call": None,
    "tool_calls": None,
    "name": None,
}


@pytest.fixture
def client(tiny_model, tiny_processor):
    app = create_app(Engine(None, tiny_model, tiny_processor), "tiny")
    with TestClient(app, "http://127.0.0.1") as client:
        yield client


def content_of(response) -> str:
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]["message"]["content"]


def test_values_that_ask_for_nothing_are_accepted(client):
    plain = {"messages": variant_messages(), "max_tokens": 3}
    expected = content_of(client.post("/v1/chat/completions", json=plain))
    for number in range(max(map(len, NOTHING.values()))):
        options = {name: values[min(number, len(values) - 1)] for name, values in NOTHING.items()}
        assert content_of(client.post("/v1/chat/completions", json={**plain, **options})) == expected


@pytest.mark.parametrize("name, value", [(name, value) for name, values in NOTHING.items() for value in values])
def test_each_value_that_asks_for_nothing_is_accepted(name, value):
    assert ChatRequest.model_validate({"messages": variant_messages(), name: value}).messages


def test_an_answer_is_sent_back_as_it_came(client):
    question = {"role": "user", "content": "And here?", "name": None}
    more = [REPLAYED, {**REPLAYED, "tool_calls": [], "annotations": None}]
    for replayed in (*more, {name: value for name, value in REPLAYED.items() if value is not None}):
        messages = [*variant_messages(), replayed, question]
        assert content_of(client.post("/v1/chat/completions", json={"messages": messages, "max_tokens": 3}))


def test_the_developer_is_the_system(client):
    tokens = []
    for role in ("system", "developer"):
        messages = [{"role": role, "content": "Be brief."}, *variant_messages()]
        response = client.post("/v1/chat/completions", json={"messages": messages, "max_tokens": 1})
        tokens.append(response.json()["usage"]["prompt_tokens"])
    assert tokens[0] == tokens[1] > 0


@pytest.mark.parametrize(
    "given",
    [
        {"max_tokens": 3},
        {"max_completion_tokens": 3},
        {"max_tokens": 3, "max_completion_tokens": 3},
        {"max_tokens": None, "max_completion_tokens": 3},
        {"max_tokens": 3, "max_completion_tokens": None},
    ],
)
def test_the_longest_answer_has_two_names(client, given):
    response = client.post("/v1/chat/completions", json={"messages": variant_messages(), **given})
    assert response.json()["usage"]["completion_tokens"] == 3


def test_two_longest_answers_are_refused(client):
    body = {"messages": variant_messages(), "max_tokens": 3, "max_completion_tokens": 4}
    error = client.post("/v1/chat/completions", json=body).json()["error"]
    assert error["param"] == "max_tokens"
    assert "max_tokens is 3 and max_completion_tokens 4" in error["message"]
    body = {"messages": variant_messages(), "max_completion_tokens": 100_000}
    assert client.post("/v1/chat/completions", json=body).json()["error"]["param"] == "max_completion_tokens"


@pytest.mark.parametrize("content_type", [None, "text/plain", "multipart/form-data", "application/jsonx"])
def test_another_content_type_is_named(client, content_type):
    headers = {"Content-Type": content_type} if content_type else {}
    response = client.post("/predict", content=b"{}", headers=headers)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "Content-Type")
    assert (content_type or "there is none") in error["message"]
    assert "say application/json" in error["message"]


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=utf-8", "application/x.y+json"]
)
def test_json_is_accepted(client, content_type):
    response = client.post("/predict", content=b"{}", headers={"Content-Type": content_type})
    assert response.json()["error"]["message"] == "reference_sequence: Field required"


def test_an_error_does_not_repeat_what_was_sent():
    body = bytearray(b'{"messages": [{"role": "user", "content": [{"type": "%s"}]}]}' % (b"x" * 100_000))
    with pytest.raises(FieldError) as error:
        parse(body, ChatRequest)
    assert len(str(error.value)) < 400
    assert not body
