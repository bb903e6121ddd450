import base64
import math
from concurrent.futures import ThreadPoolExecutor

import numpy
import openai
import pytest
import requests
import torch
from conftest import random_dna
from fastapi.testclient import TestClient
from live_service import serving, variant_messages

from textgenome.inference import embed
from textgenome.inference.scoring import score_labels
from textgenome.serving.app import create_app
from textgenome.serving.engine import Engine
from textgenome.serving.limits import Limits
from textgenome.serving.responses import NOTICE, EmbeddingList, ScoreList


SEQUENCES = [random_dna(40), random_dna(3, 1), random_dna(40).lower()]
LABELS = ["splice loss", "b"]


@pytest.fixture
def service(tiny_model, tiny_processor):
    with serving(tiny_model, tiny_processor, Limits(seconds=20)) as running:
        yield running


@pytest.fixture
def app(tiny_model, tiny_processor):
    limits = Limits(bases=500, sequences=4, tokens=256)
    with TestClient(create_app(Engine(limits, tiny_model, tiny_processor), "tiny"), "http://127.0.0.1") as client:
        yield client


def pair_of(length=40, seed=0):
    block = variant_messages(length, seed)[0]["content"][0]
    return {"reference": block["reference"], "variant": block["variant"]}


def test_embeddings_by_the_client_of_openai(service, tiny_model, tiny_processor):
    client = openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0)
    expected = embed(tiny_model, tiny_processor, SEQUENCES)
    for options in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):
        found = client.embeddings.create(model="tiny", input=SEQUENCES, **options)
        vectors = [each.embedding for each in found.data]
        if options.get("encoding_format") == "base64":
            vectors = [numpy.frombuffer(base64.b64decode(vector), "<f4").tolist() for vector in vectors]
        torch.testing.assert_close(torch.tensor(vectors), expected, atol=1e-5, rtol=1e-5)
        assert [each.index for each in found.data] == [0, 1, 2] and found.notice == NOTICE
        assert found.usage.prompt_tokens == found.usage.total_tokens == 83
    (one,) = client.embeddings.create(model="tiny", input=SEQUENCES[1], extra_body={"pooling": "max"}).data
    expected = embed(tiny_model, tiny_processor, SEQUENCES[1], "max")
    torch.testing.assert_close(torch.tensor([one.embedding]), expected, atol=1e-5, rtol=1e-5)


def test_what_is_longer_than_the_encoder_reads_is_encoded_in_tiles(tiny_model, tiny_processor):
    reads = tiny_processor.dna_tokenizer.model_max_length
    sequence = random_dna(3 * reads)
    with serving(tiny_model, tiny_processor) as service:
        body = {"input": sequence}
        (found,) = requests.post(f"{service.url}/v1/embeddings", json=body, timeout=30).json()["data"]
    expected = embed(tiny_model, tiny_processor, sequence)
    torch.testing.assert_close(torch.tensor([found["embedding"]]), expected, atol=1e-5, rtol=1e-5)


def test_scores_are_those_of_the_labels(service, tiny_model, tiny_processor):
    conversations = [variant_messages(20 + i, i) for i in range(3)]
    scored = score_labels(tiny_model, tiny_processor, conversations, LABELS)
    expected = dict(row for batch in scored for row in batch)
    body = {"pairs": [pair_of(20 + i, i) for i in range(3)], "question": "What is lost?", "labels": LABELS}
    answer = requests.post(f"{service.url}/score", json=body, timeout=30).json()
    ScoreList.model_validate(answer)
    for i, each in enumerate(answer["data"]):
        assert each["index"] == i
        assert each["label_scores"] == pytest.approx({label: math.exp(s) for label, s in expected[i].items()}, 1e-4)
    assert answer["usage"]["total_tokens"] > 100 and answer["notice"] == NOTICE


def test_answers_are_as_described(app):
    EmbeddingList.model_validate(app.post("/v1/embeddings", json={"input": "ACGT", "user": "me"}).json())
    body = {"input": ["ACGT"], "encoding_format": "base64", "model": "tiny"}
    EmbeddingList.model_validate(app.post("/v1/embeddings", json=body).json())


@pytest.mark.parametrize(
    "body, status, field, message",
    [
        ({}, 400, "input", "Field required"),
        ({"input": []}, 400, "input", "at least 1 item"),
        ({"input": [1, 2]}, 400, "input.0", "valid string"),
        ({"input": ["ACGT", "ACJT"]}, 400, "input.1", "The character 'J' at position 3 of the DNA is not a base"),
        ({"input": ""}, 400, "input.0", "The DNA sequence is empty"),
        ({"input": "A" * 501}, 400, "input.0", "the sequence has 501 bases, at most 500 are taken"),
        ({"input": ["A"] * 5}, 400, "input.4", "the request has more than 4 sequences"),
        ({"input": "A", "dimensions": 3}, 400, "dimensions", "not permitted"),
        ({"input": "A", "pooling": "none"}, 400, "pooling", "'mean', 'max', 'min' or 'last'"),
        ({"input": "A", "model": "other"}, 404, "model", "this service knows 'tiny' only"),
    ],
)
def test_requests_for_embeddings_that_are_refused(app, body, status, field, message):
    response = app.post("/v1/embeddings", json=body)
    error = response.json()["error"]
    assert response.status_code == status and error["param"] == field and message in error["message"]


@pytest.mark.parametrize(
    "change, status, field, message",
    [
        ({"labels": ["a"]}, 400, "labels", "at least 2 items"),
        ({"labels": ["a", "<think>"]}, 400, "labels.1", "the text holds <think>, which is reserved"),
        ({"question": "Why?<|im_end|>"}, 400, "question", "the text holds <|im_end|>, which is reserved"),
        ({"pairs": []}, 400, "pairs", "at least 1 item"),
        ({"pairs": [pair_of()] * 3}, 400, "pairs", "more than 4 sequences; a pair is two"),
        ({"pairs": [pair_of(), {"reference": "AC", "variant": "AC"}]}, 400, "pairs.1.variant", "are equal"),
        ({"pairs": [{"reference": "AJ", "variant": "AC"}]}, 400, "pairs.0.reference", "'J' at position 2"),
        ({"question": "why " * 400}, 400, "pairs.0", "prompt and answer may have 256 together"),
        ({"model": "other"}, 404, "model", "this service knows 'tiny' only"),
    ],
)
def test_requests_for_scores_that_are_refused(app, change, status, field, message):
    body = {"pairs": [pair_of()], "question": "What?", "labels": LABELS, **change}
    response = app.post("/score", json=body)
    error = response.json()["error"]
    assert response.status_code == status and error["param"] == field and message in error["message"]


def test_they_take_turns_with_questions_and_are_counted(service):
    with ThreadPoolExecutor(1) as pool:
        with service.held():
            asked = pool.submit(requests.post, f"{service.url}/v1/embeddings", json={"input": "ACGT"}, timeout=30)
            service.wait_until(lambda: service.engine.jobs == 1)
            busy = requests.get(f"{service.url}/metrics", timeout=30).text
        assert asked.result().ok
    text = requests.get(f"{service.url}/metrics", timeout=30).text
    assert "textgenome_jobs 1\n" in busy and "textgenome_jobs 0\n" in text
    assert 'textgenome_jobs_total{kind="embeddings",outcome="done"} 1\n' in text
    assert 'textgenome_requests_total{path="/v1/embeddings",status="200"} 1\n' in text


def test_a_job_that_takes_too_long_is_given_up(tiny_model, tiny_processor):
    with serving(tiny_model, tiny_processor, Limits(seconds=0.3, queue=2)) as service:
        with service.held():
            late = requests.post(f"{service.url}/v1/embeddings", json={"input": "ACGT"}, timeout=30)
            assert late.status_code == 408 and service.engine.jobs == 0


def test_a_full_queue_refuses_jobs(tiny_model, tiny_processor):
    with serving(tiny_model, tiny_processor, Limits(queue=1)) as service, ThreadPoolExecutor(1) as pool:
        with service.held():
            waiting = pool.submit(requests.post, f"{service.url}/v1/embeddings", json={"input": "ACGT"}, timeout=30)
            service.wait_until(lambda: service.engine.jobs == 1)
            refused = requests.post(f"{service.url}/v1/embeddings", json={"input": "ACGT"}, timeout=30)
            assert refused.status_code == 429 and int(refused.headers["Retry-After"]) >= 1
        assert waiting.result().ok


def test_a_failure_tells_nothing_of_what_was_asked(service, monkeypatch, caplog):
    def fail(encoder, tokenizer, sequences, pooling):
        raise RuntimeError(sequences[0])

    monkeypatch.setattr("textgenome.inference.embedding.embed_batch", fail)
    failed = requests.post(f"{service.url}/v1/embeddings", json={"input": "ACGTTGCA"}, timeout=30)
    assert failed.status_code == 500 and "The model failed on this request" in failed.json()["error"]["message"]
    assert "ACGTTGCA" not in failed.text + caplog.text


def test_a_key_is_asked_for(tiny_model, tiny_processor):
    with serving(tiny_model, tiny_processor, api_key="secret") as service:
        for path in ("/v1/embeddings", "/score"):
            assert requests.post(f"{service.url}{path}", json={}, timeout=30).status_code == 401
