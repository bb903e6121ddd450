import http.client
import json
import socket
import time
from contextlib import ExitStack, closing, contextmanager

import pytest
import requests
from conftest import random_dna
from live_service import serving, variant_messages

from textgenome.serving.limits import SMALL, Budget, Limits, QueueFull


JSON = {"Content-Type": "application/json"}
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@contextmanager
def sending(service, body: bytes, length: int | None = None):
    """A client that has sent so much of a request, of a body that is said to be longer."""
    with socket.create_connection(("127.0.0.1", int(service.url.rpartition(":")[2])), timeout=20) as connection:
        connection.sendall(HEAD + f"Content-Length: {length or len(body)}\r\n\r\n".encode() + body)
        yield connection


def ask(service, **options) -> requests.Response:
    body = {"messages": variant_messages(), "max_tokens": 1, **options}
    return requests.post(f"{service.url}/v1/chat/completions", json=body)


def test_a_body_that_does_not_arrive_is_not_waited_for(tiny_model, tiny_processor):
    with serving(tiny_model, tiny_processor, Limits(seconds=0.3)) as service:
        with closing(http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=20)) as asking:
            asking.putrequest("POST", "/predict")
            asking.putheader("Content-Type", "application/json")
            asking.putheader("Content-Length", "9")
            asking.endheaders(b"{")
            response = asking.getresponse()
            assert (response.status, response.getheader("Connection")) == (408, "close")
            assert "0.3 seconds" in json.load(response)["error"]["message"]


def test_a_body_that_is_too_large_is_refused_before_and_while_it_arrives(tiny_model, tiny_processor):
    with serving(tiny_model, tiny_processor, Limits(body_bytes=200_000)) as service:
        with sending(service, b"", length=200_001) as connection:
            assert b" 413 " in connection.recv(100)

        def chunks():
            for _ in range(4):
                yield b" " * 60_000

        response = requests.post(f"{service.url}/predict", data=chunks(), headers=JSON)
        assert response.status_code == 413
        assert response.json()["error"]["message"] == "body: at most 200000 bytes are taken"
        assert service.engine.budget.held == 0


def test_bodies_that_arrive_are_bounded_together(tiny_model, tiny_processor):
    with serving(tiny_model, tiny_processor, Limits(body_bytes=200_000, waiting_bytes=300_000)) as service:
        with ExitStack() as stack:
            stack.enter_context(sending(service, b"{", length=150_000))
            stack.enter_context(sending(service, b"{", length=150_000))
            service.wait_until(lambda: service.engine.budget.held == 300_000)
            response = requests.post(f"{service.url}/predict", data=b" " * 100_000, headers=JSON)
            assert (response.status_code, response.headers["Retry-After"]) == (429, "1")
            # Those that are small find room: only what is large waits for what is large.
            assert ask(service).status_code == 200
            stack.enter_context(sending(service, b"{", length=SMALL))
            assert requests.post(f"{service.url}/predict", data=b" " * SMALL, headers=JSON).status_code == 400
        service.wait_until(lambda: service.engine.budget.held == 0)
        assert requests.post(f"{service.url}/predict", data=b" " * 100_000, headers=JSON).status_code == 400


def test_what_waits_holds_its_windows_only(tiny_model, tiny_processor):
    sequence = random_dna(500_000)
    block = {"type": "variant", "reference": sequence, "variant": f"{sequence[:200_000]}A{sequence[200_000:]}"}
    messages = [{"role": "user", "content": [block, {"type": "text", "text": "What?"}]}]
    with serving(tiny_model, tiny_processor) as service, service.held():
        body = json.dumps({"messages": messages, "max_tokens": 1}).encode()
        with sending(service, body) as connection:
            service.wait_until(lambda: len(service.engine.waiting) == 1)
            assert service.engine.budget.held == 0
            assert service.engine.waiting[0].question.size < 1000
            service.gate.set()
            assert b" 200 OK" in connection.recv(100)


def test_questions_that_wait_are_bounded_together(tiny_model, tiny_processor, monkeypatch):
    """Long texts stay: a service for long prompts may not fill its memory with them."""
    monkeypatch.setattr(tiny_model.config.get_text_config(), "max_position_embeddings", 1_000_000)
    limits = Limits(tokens=1_000_000, body_bytes=300_000, waiting_bytes=300_000)
    content = [{"type": "text", "text": "What? " * 30_000}]
    body = json.dumps({"messages": [{"role": "user", "content": content}], "max_tokens": 1}).encode()
    with serving(tiny_model, tiny_processor, limits) as service:
        with service.held(), sending(service, body):
            service.wait_until(lambda: len(service.engine.waiting) == 1)
            assert 180_000 < service.engine.budget.held < 190_000
            response = requests.post(f"{service.url}/v1/chat/completions", data=body, headers=JSON)
            assert (response.status_code, response.headers["Retry-After"]) == (429, "1")
            service.engine.waiting.clear()  # it would take seconds to answer
        service.wait_until(lambda: service.engine.budget.held == 0)


@pytest.mark.parametrize("more", [{}, {"seed": 1, "temperature": 1}])
def test_lengths_are_compared_before_anything_is_tokenized(tiny_model, tiny_processor, monkeypatch, more):
    def fail(*_, **__):
        raise AssertionError("it was tokenized")

    monkeypatch.setattr("textgenome.processing.processing_textgenome.tokenize_dna", fail)
    monkeypatch.setattr(tiny_processor.tokenizer, "_encode_plus", fail, raising=False)
    blocks = [{"type": "dna", "dna": random_dna(900_000)}] * 4
    too_long = [
        [*blocks, {"type": "text", "text": "What?"}],
        [{"type": "dna", "dna": random_dna(120)}] * 10,
        [{"type": "text", "text": "x" * 100_000}],
    ]
    with serving(tiny_model, tiny_processor) as service:
        for content in too_long:
            started = time.monotonic()
            response = ask(service, messages=[{"role": "user", "content": content}], **more)
            assert response.status_code == 400, response.text
            assert "tokens" in response.json()["error"]["message"]
            assert time.monotonic() - started < 5


def test_a_budget_is_given_back_however_a_request_ends():
    budget = Budget(300_000)
    with budget.share() as share, pytest.raises(QueueFull):
        share.resize(200_000)
        share.resize(100_000)
        assert budget.held == 100_000
        with budget.share() as other:
            other.resize(SMALL)
            assert budget.held == 100_000
            other.resize(200_000)
        assert budget.held == 100_000
        share.resize(300_001)
    assert budget.held == 0


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
@pytest.mark.parametrize("name", ["seconds", "body_bytes", "queue", "connections"])
def test_a_limit_is_a_finite_number_above_0(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a finite number above 0"):
        Limits(**{name: value})


def test_one_request_must_find_room():
    with pytest.raises(ValueError, match="raise waiting_bytes or lower body_bytes"):
        Limits(body_bytes=20_000_000)
