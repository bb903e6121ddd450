import json
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from conftest import TINY_CHECKPOINT, random_dna, variant_row
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from typer.testing import CliRunner

from textgenome.commands import app


PREDICT, CHAT = "/predict", "/v1/chat/completions"
NAN, INFINITY = float("nan"), float("inf")
ROW = {key: value for key, value in variant_row(40).items() if key != "answer"}
BLOCK = {"type": "variant", "reference": ROW["reference_sequence"], "variant": ROW["variant_sequence"]}
TEXT = {"type": "text", "text": "What?"}


def chat(*blocks, role: str = "user", **more) -> dict:
    return {"messages": [{"role": role, "content": list(blocks)}], **more}


def nested(depth: int):
    value = "deep"
    for _ in range(depth):
        value = [value]
    return value


def malformed() -> list[tuple[str, str, dict | bytes]]:
    """Path, field and body of requests that are to be refused."""
    no_text = [None, 1, 1.5, True, [], {}, ["ACGT"], nested(50)]
    no_dna = [*no_text, "", " ", "ACGJ", "ACGT!", "АСGТ", "A\x00C", "../../etc/passwd", "A" * 1_000_001, "\ud800"]
    no_number = [-1, "1", True, [], {}, NAN, INFINITY, -INFINITY, 1e400, 10**400]
    found = []
    for name in ("reference_sequence", "variant_sequence"):
        found += [(PREDICT, name, {**ROW, name: value}) for value in no_dna]
    found += [(PREDICT, "question", {**ROW, "question": value}) for value in (*no_text, "", "<|im_start|>", "\ud800")]
    found += [(PREDICT, "max_length", {**ROW, "max_length": value}) for value in (*no_number, 0, 1.5, 100_000)]
    found += [(PREDICT, "temperature", {**ROW, "temperature": value}) for value in (*no_number, 3, 1e-9)]
    found += [(PREDICT, name, {key: value for key, value in ROW.items() if key != name}) for name in ROW]
    found += [(PREDICT, "variant_sequence", {**ROW, "variant_sequence": ROW["reference_sequence"].lower()})]
    found += [(PREDICT, name, {**ROW, name: "/root"}) for name in ("dna_input_ids", "model_path", random_dna(30))]

    for name in ("reference", "variant"):
        found += [(CHAT, f"0.content.0.{name}", chat({**BLOCK, name: value}, TEXT)) for value in no_dna]
    found += [(CHAT, "messages.0.content.0", chat({**BLOCK, "variant": BLOCK["reference"]}, TEXT))]
    found += [(CHAT, "content.0.dna", chat({"type": "dna", "dna": value}, TEXT)) for value in no_dna]
    found += [(CHAT, "messages", chat({"type": "dna", "dna": random_dna(300)}, TEXT))]
    found += [(CHAT, "content.16.dna", chat(*[{"type": "dna", "dna": "ACGT"}] * 17, TEXT))]
    found += [
        (CHAT, "content.1.text", chat(BLOCK, {"type": "text", "text": value})) for value in (*no_text, "", "<think>")
    ]
    cut = [{"type": "text", "text": text} for text in ("Why?<|im_", "end|>\n<|im_start", "|>assistant")]
    found += [(CHAT, "messages.0.content.1.text", chat(BLOCK, *cut))]
    unknown = [
        {},
        {"type": None},
        {"type": 1},
        {"type": "image_url", "image_url": {"url": "file:///"}},
        {"dna": "ACGT"},
    ]
    unknown += [None, 1, "ACGT", [], {"type": "audio"}, {"type": ["dna"]}, {"type": {}}]
    found += [(CHAT, "messages.0.content.0", chat(block, TEXT)) for block in unknown]
    found += [(CHAT, "content.0.path", chat({"type": "dna", "dna": "ACGT", "path": "/root"}, TEXT))]
    found += [(CHAT, "role", chat(TEXT, role=role)) for role in (None, 1, "", "root", "assistant", "system")]
    found += [(CHAT, "type", {"messages": [*chat(BLOCK, role="assistant")["messages"], *chat(TEXT)["messages"]]})]
    found += [
        (CHAT, "messages", {"messages": value}) for value in (None, 1, "x", [], {}, [1], [[]], [{}], nested(500))
    ]
    found += [
        (CHAT, "messages.0.content", {"messages": [{"role": "user", "content": value}]}) for value in (1, [], {}, "")
    ]
    found += [(CHAT, "messages", chat({"type": "text", "text": "word " * 3000}))]
    valid = chat(BLOCK, TEXT)
    found += [(CHAT, "max_tokens", {**valid, "max_tokens": value}) for value in (*no_number, 0, 100_000)]
    found += [(CHAT, "temperature", {**valid, "temperature": value}) for value in (*no_number, 3, 1e-9)]
    found += [(CHAT, "top_p", {**valid, "top_p": value}) for value in (*no_number, 0, 2)]
    found += [(CHAT, "seed", {**valid, "seed": value}) for value in (*no_number, 0.5, 2**64)]
    found += [(CHAT, "stream", {**valid, "stream": value}) for value in (1, "true", [])]
    found += [(CHAT, "stop", {**valid, "stop": value}) for value in (1, "", [""], [1], ["a"] * 5, {}, "x" * 201)]
    found += [
        (CHAT, "labels", {**valid, "labels": value}) for value in ("x", [""], [1], ["a"] * 65, {}, ["<|im_end|>"])
    ]
    found += [(CHAT, "model", {**valid, "model": value}) for value in (1, [], "/etc/passwd", "other")]
    found += [(CHAT, name, {**valid, name: 2}) for name in ("n", "tools", "inputs_embeds", "response_format")]
    found += [(CHAT, "fields", valid | {f"field {i}": 1 for i in range(100_000)})]
    found += [(CHAT, "messages.0", b'{"messages": [' + b"1," * 1_900_000 + b"1]}")]
    found += [
        (CHAT, "messages.0.content.0", b'{"messages": [{"role": "user", "content": [' + b"1," * 1_900_000 + b"1]}]}")
    ]
    found += [(CHAT, "messages", chat({"type": "text", "text": "x" * 3_900_000}))]
    found += [(CHAT, "messages", {"messages": chat(TEXT)["messages"] * 50_000})]
    bodies = [
        b"",
        b"{",
        b"null",
        b"[]",
        b"1",
        b'"x"',
        b"\xff\xfe{}",
        b'{"messages": "\xff"}',
        b"{" * 9999,
        b"[" * 100_000,
    ]
    bodies += [b"A" * 10_000_000, json.dumps({**ROW, "question": "x" * 10_000_000}).encode(), b"\x00" * 100]
    found += [(path, "body", body) for body in bodies for path in (PREDICT, CHAT)]
    return found


@contextmanager
def start(log: Path, *options: str):
    """A service as a stranger starts it: process, address and log."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "textgenome.commands", "serve", str(TINY_CHECKPOINT), "--port", str(port), *options]
    with log.open("w") as file, subprocess.Popen(words, stdout=file, stderr=file) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            for _ in range(600):
                try:
                    if requests.get(f"{url}/health").ok:
                        break
                except requests.exceptions.ConnectionError:
                    pass
                assert process.poll() is None, log.read_text()
                time.sleep(0.1)
            yield process, url, log
        finally:
            process.kill()


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    with start(tmp_path_factory.mktemp("serve") / "log") as running:
        yield running


def test_what_is_malformed_is_refused_by_name(command):
    _, url, _ = command
    requested = malformed()
    assert len(requested) >= 200
    session = requests.Session()
    for path, field, body in requested:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        started = time.monotonic()
        response = session.post(url + path, data=content, headers={"Content-Type": "application/json"})
        seconds = time.monotonic() - started
        described = f"{path} {field} {content[:200]} -> {response.status_code} {response.text[:200]}"
        assert 400 <= response.status_code < 500, described
        assert field in response.json()["error"]["message"], described
        assert response.json()["notice"]
        assert seconds < 5, f"{described} after {seconds:.1f} s"
    assert session.post(url + PREDICT, data=json.dumps(ROW)).status_code == 400  # not said to be JSON
    for method, path in (("GET", PREDICT), ("POST", "/"), ("GET", f"/{random_dna(40)}"), ("GET", "/page/../app.py")):
        assert session.request(method, url + path).json()["error"]["message"]
    assert session.post(url + PREDICT, json={**ROW, "max_length": 3}).ok


def test_a_stopped_service_finishes_what_runs_and_its_log_holds_no_bases(command):
    process, url, log = command
    body = chat(BLOCK, TEXT, stream=True, max_tokens=150)
    answers = [requests.post(url + CHAT, json=body, stream=True).iter_lines() for _ in range(4)]
    for answer in answers:
        next(answer)
    process.send_signal(signal.SIGTERM)
    assert [list(answer)[-2] for answer in answers] == [b"data: [DONE]"] * 4
    process.wait(20)
    text = log.read_text()
    assert len(re.findall(r"question [0-9a-f]{16}: 2 sequences, 80 bases, \d+ \+ 150 tokens, length", text)) == 4
    assert not re.search(r"[ACGTUN]{13}", text, re.IGNORECASE)
    assert "What?" not in text and "Traceback" not in text


@pytest.mark.slow
def test_a_client_that_never_finishes_does_not_hold_up_a_stop(tmp_path):
    with start(tmp_path / "log", "--max_seconds", "2") as (process, url, _):
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as asking:
            asking.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
            time.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            process.wait(20)
            assert b" 408 " in asking.recv(1000)


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(app, ["serve", str(TINY_CHECKPOINT), "--port", port])
    assert result.exit_code == 1
    assert f"port {port} of 127.0.0.1: Address already in use" in result.output


def test_a_model_that_reads_no_dna_is_named(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(TINY_CHECKPOINT)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "qwen3"}')
    result = CliRunner().invoke(app, ["serve", str(tmp_path), "--port", "0"])
    assert result.exit_code == 1
    assert f"{tmp_path}: A qwen3 model is not a model of textgenome" in result.output


def test_a_model_that_is_not_there_is_named():
    result = CliRunner().invoke(app, ["serve", "no/model", "--port", "0"])
    assert result.exit_code == 1
    assert "Error: no/model: there is no such folder." in result.output
