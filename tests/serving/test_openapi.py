import json

import openai
import pytest
from fastapi.testclient import TestClient
from live_service import variant_messages

from textgenome.serving.app import create_app
from textgenome.serving.engine import Engine
from textgenome.serving.responses import NOTICE, ChatCompletion, ChatCompletionChunk, ErrorResponse, ModelList
from textgenome.serving.routes import PAGE


@pytest.fixture
def client(tiny_model, tiny_processor):
    with TestClient(create_app(Engine(None, tiny_model, tiny_processor), "owner/tiny"), "http://127.0.0.1") as client:
        yield client


def test_the_examples_work(client):
    api = client.get("/openapi.json").json()
    asked = 0
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            if method == "get":
                assert client.get(path.replace("{model}", "owner/tiny")).is_success
                continue
            name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            for example in api["components"]["schemas"][name]["examples"]:
                assert client.post(path, json=example).json()["notice"] == NOTICE
                asked += 1
    assert asked == 8


def test_every_status_and_the_stream_are_described(client):
    api = client.get("/openapi.json").json()
    operations = {path: next(iter(methods.values())) for path, methods in api["paths"].items()}
    statuses = {path: set(operation["responses"]) for path, operation in operations.items()}
    asked = {"200", "400", "401", "403", "408", "413", "421", "429", "500", "503", "default"}
    assert statuses["/predict"] == asked
    for path in ("/v1/chat/completions", "/v1/embeddings", "/score", "/explain", "/dna", "/variants"):
        assert statuses[path] == asked | {"404"}
    assert statuses["/v1/models/{model}"] == {"200", "401", "403", "404", "421", "500", "503", "default"}
    assert {"200", "503"} <= statuses["/health"]
    content = operations["/v1/chat/completions"]["responses"]["200"]["content"]
    assert content["application/json"]["schema"]["$ref"].endswith("/ChatCompletion")
    assert content["text/event-stream"]["schema"]["$ref"].endswith("/ChatCompletionChunk")
    for path, operation in operations.items():
        for status, response in operation["responses"].items():
            assert response["description"], (path, status)


def test_all_references_lead_somewhere(client):
    api = client.get("/openapi.json").json()

    def references(node):
        if isinstance(node, dict):
            yield from [node["$ref"]] if "$ref" in node else []
            node = list(node.values())
        for each in node if isinstance(node, list) else []:
            yield from references(each)

    found = set(references(api))
    assert len(found) > 10
    assert {reference.rpartition("/")[2] for reference in found} <= set(api["components"]["schemas"])


def test_answers_are_as_described(client):
    body = {"messages": variant_messages(), "max_tokens": 4, "labels": ["a", "b"]}
    ChatCompletion.model_validate(client.post("/v1/chat/completions", json=body).json())
    del body["labels"]
    answer = client.post("/v1/chat/completions", json=body).json()
    ChatCompletion.model_validate(answer)
    assert "label_scores" not in answer
    stream = {"stream": True, "stream_options": {"include_usage": True}}
    events = client.post("/v1/chat/completions", json=body | stream).text.split("\n\n")[:-1]
    assert events.pop() == "data: [DONE]"
    chunks = [ChatCompletionChunk.model_validate(json.loads(event.removeprefix("data: "))) for event in events]
    assert len(chunks) > 3 and chunks[-1].usage.completion_tokens == 4
    ModelList.model_validate(client.get("/v1/models").json())
    for response in (client.post("/predict", json={}), client.get("/none"), client.get("/v1/models/other")):
        ErrorResponse.model_validate(response.json())


def test_a_model_is_found_by_its_name(client):
    found = client.get("/v1/models/owner/tiny").json()
    assert [found] == client.get("/v1/models").json()["data"]
    error = client.get("/v1/models/other")
    assert error.status_code == 404
    assert "'owner/tiny' only" in error.json()["error"]["message"]
    asked = openai.OpenAI(base_url="http://127.0.0.1/v1", api_key="none", http_client=client)
    assert asked.models.retrieve("owner/tiny").id == "owner/tiny"
    with pytest.raises(openai.NotFoundError):
        asked.models.retrieve("a\\b")


def test_nothing_is_loaded_from_elsewhere(client):
    for path in ("/docs", "/redoc"):
        assert client.get(path).status_code == 404
    for path in ("/", *(f"/page/{path.name}" for path in PAGE.iterdir())):
        assert "//" not in client.get(path).text.replace("// ", "")
