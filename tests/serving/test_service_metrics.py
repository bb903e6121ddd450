import re

import openai
import pytest
import requests
from live_service import serving, variant_messages

from textgenome.serving.metrics import Histogram


SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="[^"]*",?)*)\})? (-?[0-9.e+]+)')


def read(text: str) -> dict[str, float]:
    """By name and labels each sample, in the text format of Prometheus, which is checked."""
    types, found = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in types
            types[name] = kind
        elif not line.startswith("# HELP "):
            name, labels, value = SAMPLE.fullmatch(line).groups()
            family = re.sub(r"_(bucket|sum|count)$", "", name)
            assert name in types or types[family] == "histogram", line
            assert f"{name} {labels}" not in found
            found[f"{name} {labels}" if labels else name] = float(value)
    assert text.endswith("\n")
    return found


def test_what_is_counted(tiny_model, tiny_processor):
    with serving(tiny_model, tiny_processor) as service:
        client = openai.OpenAI(base_url=f"{service.url}/v1", api_key="none")
        options = {"model": "tiny", "messages": variant_messages(), "max_tokens": 5}
        used = client.chat.completions.create(**options).usage
        list(client.chat.completions.create(**options, stream=True))
        requests.post(f"{service.url}/predict", json={})
        requests.get(f"{service.url}/ACGTACGT")
        requests.get(f"{service.url}/health", headers={"Host": "evil.example"})
        response = requests.get(f"{service.url}/metrics")
        with service.held():
            busy = read(requests.get(f"{service.url}/metrics").text)
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    found = read(response.text)
    chat = 'path="/v1/chat/completions"'
    assert found[f'textgenome_requests_total {chat},status="200"'] == 2
    assert found['textgenome_requests_total path="/predict",status="400"'] == 1
    assert found['textgenome_requests_total path="other",status="404"'] == 1
    assert found['textgenome_requests_total path="other",status="421"'] == 1
    assert found[f"textgenome_request_seconds_count {chat}"] == 2
    assert found['textgenome_answers_total outcome="length"'] == 2
    assert found["textgenome_prompt_tokens_total"] == 2 * used.prompt_tokens
    assert found["textgenome_completion_tokens_total"] == 10
    assert found["textgenome_answer_seconds_count"] == found["textgenome_first_token_seconds_count"] == 2
    assert 0 < found["textgenome_first_token_seconds_sum"] <= found["textgenome_answer_seconds_sum"]
    assert found["textgenome_ready"] == 1
    assert found["textgenome_questions_waiting"] == found["textgenome_waiting_bytes"] == 0
    assert busy["textgenome_questions_running"] == 1
    assert found["process_resident_memory_bytes"] > 1e8
    assert "ACGT" not in response.text


def test_questions_that_fail_are_counted(tiny_model, tiny_processor, monkeypatch):
    monkeypatch.setattr(tiny_model, "generate", lambda **_: 1 / 0)
    with serving(tiny_model, tiny_processor) as service:
        body = {"reference_sequence": "ACGT", "variant_sequence": "ACTT", "question": "What?"}
        assert requests.post(f"{service.url}/predict", json=body).status_code == 500
        found = read(requests.get(f"{service.url}/metrics").text)
    assert found['textgenome_answers_total outcome="failed"'] == 1
    assert found['textgenome_requests_total path="/predict",status="500"'] == 1
    assert found["textgenome_first_token_seconds_count"] == 0


def test_buckets_count_what_is_below_them():
    latencies = Histogram()
    for seconds in (0.05, 0.2, 0.2, 1000):
        latencies.observe(seconds)
    lines = dict(line.rsplit(" ", 1) for line in latencies.lines("x"))
    assert lines['x_bucket{le="0.05"}'] == "1"
    assert lines['x_bucket{le="0.1"}'] == "1"
    assert lines['x_bucket{le="0.25"}'] == "3"
    assert lines['x_bucket{le="+Inf"}'] == lines["x_count"] == "4"
    assert float(lines["x_sum"]) == pytest.approx(1000.45)
