import json
import re
import signal
import socket
import time

import pytest
import requests
from conftest import TINY_CHECKPOINT, random_dna
from malformed import BLOCK, CHAT, PREDICT, ROW, TEXT, chat, malformed
from service_process import start
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from typer.testing import CliRunner

from textgenome.commands import app


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
        assert response.json()["notice"] and len(response.text) < 2000
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


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(app, ["serve", str(TINY_CHECKPOINT), "--port", port])
    assert result.exit_code == 1
    assert f"port {port} of 127.0.0.1: Address already in use" in result.output


@pytest.mark.parametrize(
    "words, message",
    [
        (["--port", "99999"], "--port"),
        (["--port", "-1"], "--port"),
        (["--max_seconds", "inf"], "inf is not a finite number"),
        (["--max_seconds", "1e400"], "inf is not a finite number"),
        (["--max_seconds", "nan"], "--max_seconds"),
        (["--max_seconds", "0"], "seconds must be a finite number above 0"),
        (["--max_queue", "0"], "--max_queue"),
        (["--max_body_bytes", "99000000"], "raise waiting_bytes or lower body_bytes"),
        (["--host", "no such host"], "Cannot listen on port 0 of no such host"),
        (["--host", "a" * 300], "Cannot listen on port 0"),
        (["--api_key", ""], "TEXTGENOME_API_KEY) is empty"),
        (["--api_key", "secret\n"], "no client could send it"),
        (["--allow_host", "https://dna.example"], "give a name or an address alone"),
        (["--allow_origin", "lab.example"], "give scheme and name alone"),
        (["--model", "out\\puts"], "out\\puts"),
        (["--model", ""], "''"),
    ],
)
def test_what_cannot_be_is_one_line(words, message):
    words = ["serve", *([] if "--model" in words else [str(TINY_CHECKPOINT)]), "--port", "0", *words]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, SystemExit) and result.exit_code in (1, 2)
    *usage, line = result.output.splitlines()
    assert line.startswith("Error: ") and message in line
    assert all(each.startswith(("Usage: ", "Try ")) or not each for each in usage)


@pytest.mark.parametrize("key", ["", " ", "secret\n"])
def test_a_key_in_the_environment_that_nobody_could_send_is_an_error(key):
    result = CliRunner().invoke(app, ["serve", str(TINY_CHECKPOINT), "--port", "0"], env={"TEXTGENOME_API_KEY": key})
    assert result.exit_code == 1
    assert "Error: The key (--api_key, TEXTGENOME_API_KEY)" in result.output


def test_numbers_of_other_commands_are_finite():
    words = ["evaluate", "--model", "x", "--dataset_name", "x", "--output_dir", "x", "--temperature", "inf"]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, SystemExit) and result.exit_code == 2
    assert "inf is not a finite number" in result.output.splitlines()[-1]


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
