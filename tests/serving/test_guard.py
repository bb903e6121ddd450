import json
import socket

import openai
import pytest
import requests
from fastapi.testclient import TestClient
from live_service import serving, variant_messages

from textgenome.serving.app import create_app
from textgenome.serving.engine import Engine
from textgenome.serving.guard import Callers


def test_a_key_is_asked_for(tiny_model, tiny_processor):
    with serving(tiny_model, tiny_processor, api_key="sécret") as service:
        client = openai.OpenAI(base_url=f"{service.url}/v1", api_key="other")
        with pytest.raises(openai.AuthenticationError, match="Authorization: Bearer KEY"):
            client.chat.completions.create(model="tiny", messages=variant_messages())
        assert requests.post(f"{service.url}/predict", json={}).status_code == 401
        for path in ("/v1/models", "/v1/models/tiny", "/metrics"):
            assert requests.get(f"{service.url}{path}").status_code == 401
        assert requests.get(f"{service.url}/health").status_code == 200
        headers = {"Authorization": "Bearer sécret".encode()}
        assert requests.get(f"{service.url}/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "header, status",
    [("Authorization: Bearer wrong", 401), ("Host: evil.example", 421), ("Origin: https://evil.example", 403)],
)
def test_who_may_not_ask_is_told_before_the_body_arrives(tiny_model, tiny_processor, header, status):
    """Also one that waits to be told to go on."""
    host = "" if header.startswith("Host") else "Host: localhost\r\n"
    head = f"POST /predict HTTP/1.1\r\n{host}{header}\r\nContent-Type: application/json\r\nContent-Length: 3000000\r\n"
    with serving(tiny_model, tiny_processor, api_key="secret") as service:
        for expect in ("", "Expect: 100-continue\r\n"):
            with socket.create_connection(("127.0.0.1", int(service.url.rpartition(":")[2])), timeout=5) as asking:
                asking.sendall(f"{head}{expect}\r\n".encode())
                assert asking.recv(1000).startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.parametrize("key", ["", " ", "\t", "secret\n", " secret", "sec\x00ret"])
def test_a_key_that_no_client_could_send_is_an_error(key):
    with pytest.raises(ValueError, match="TEXTGENOME_API_KEY"):
        create_app(Engine(), "tiny", key)


def ask(callers: Callers, **headers):
    with TestClient(create_app(Engine(), "tiny", None, callers), "http://127.0.0.1:8000") as client:
        return client.get("/v1/models", headers=headers)


@pytest.mark.parametrize(
    "listens_on, allowed, refused",
    [
        ("127.0.0.1", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000"], ["10.0.0.1", "127.0.0.1.nip.io"]),
        ("localhost", ["localhost:8000", "127.0.0.1"], ["evil.example", "localhost.evil.example"]),
        ("0.0.0.0", ["10.0.0.1:8000", "[2001:db8::1]", "localhost"], ["evil.example:8000", "1.2.3.4.evil.example"]),
        ("::", ["10.0.0.1", "[2001:db8::1]:80"], ["evil.example", "2001:db8::1", "10.0.0.1:x", "a@localhost"]),
        ("10.0.0.1", ["10.0.0.1:8000"], ["10.0.0.2", "evil.example", ""]),
    ],
)
def test_only_names_of_the_service_are_answered(listens_on, allowed, refused):
    for host in allowed:
        assert ask(Callers(listens_on), host=host).status_code == 200, host
    for host in (*refused, "evil.example", "evil.example:8000", "localhost/", "localhost,evil.example"):
        response = ask(Callers(listens_on), host=host)
        assert response.status_code == 421, host
        assert response.json()["error"]["param"] == "Host"
        assert "--allow_host" in response.json()["error"]["message"]


def test_other_names_can_be_allowed():
    callers = Callers("127.0.0.1", allow_hosts=("DNA.example", "10.1.2.3"))
    for host in ("dna.example", "DNA.EXAMPLE:443", "10.1.2.3:80", "localhost"):
        assert ask(callers, host=host).status_code == 200
    for host in ("evil.dna.example", "dna.example.evil", "10.1.2.4"):
        assert ask(callers, host=host).status_code == 421


@pytest.mark.parametrize("name", ["https://dna.example", "dna.example:443", "", "*", "a b", "dna.example/"])
def test_a_malformed_name_is_an_error(name):
    if name != "*":
        with pytest.raises(ValueError, match="--allow_host"):
            Callers("127.0.0.1", allow_hosts=(name,))
        with pytest.raises(ValueError, match="--allow_origin"):
            Callers("127.0.0.1", allow_origins=(name.replace("https://", ""),))


@pytest.mark.parametrize(
    "origin, status",
    [
        ("http://127.0.0.1:8000", 200),
        ("https://127.0.0.1:8000", 200),  # a proxy brought TLS
        ("https://dna.example", 200),  # a proxy wrote its own name into Host
        ("https://lab.example", 200),
        ("http://lab.example", 403),
        ("http://127.0.0.1:3000", 403),
        ("http://localhost:8000", 403),
        ("https://evil.example", 403),
        ("https://lab.example.evil", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_pages_of_other_sites_may_not_ask(origin, status):
    callers = Callers("127.0.0.1", allow_hosts=("dna.example",), allow_origins=("https://lab.example",))
    assert ask(callers, origin=origin).status_code == status


@pytest.mark.parametrize("allowed", [(), ("https://lab.example",), ("*",)])
def test_a_browser_is_told_which_sites_may_ask(allowed):
    preflight = {"Origin": "https://lab.example", "Access-Control-Request-Method": "POST"}
    callers = Callers("127.0.0.1", allow_origins=allowed)
    with TestClient(create_app(Engine(), "tiny", None, callers), "http://127.0.0.1") as client:
        responses = [client.options("/predict", headers=preflight), client.get("/health", headers=preflight)]
    found = [response.headers.get("access-control-allow-origin") for response in responses]
    assert found == [allowed[0] if allowed else None] * 2
    assert responses[0].status_code == (200 if allowed else 403)


def test_what_can_be_got_has_a_head(tiny_model, tiny_processor):
    with serving(tiny_model, tiny_processor) as service, requests.Session() as session:
        for path in ("/health", "/", "/v1/models", "/v1/models/tiny", "/metrics", "/openapi.json", "/page/page.js"):
            response = session.head(service.url + path)
            assert (response.status_code, response.content) == (200, b""), path
            length = len(session.get(service.url + path).content)
            assert path == "/metrics" or int(response.headers["Content-Length"]) == length
        assert session.head(f"{service.url}/predict").status_code == 405
        assert session.head(f"{service.url}/none").status_code == 404


def test_a_failure_is_logged_without_what_was_asked(tiny_model, tiny_processor, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("ACGT" * 3)

    monkeypatch.setattr("textgenome.serving.routes.read_chat", fail)
    with TestClient(create_app(Engine(None, tiny_model, tiny_processor), "tiny"), "http://127.0.0.1") as client:
        response = client.post("/v1/chat/completions", json={"messages": variant_messages()})
    assert response.status_code == 500
    assert "RuntimeError" in caplog.text and "ACGTACGTACGT" not in caplog.text + json.dumps(response.json())
