import asyncio
import http.client
import json
import math
import shutil
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
import requests
from conftest import TINY_CHECKPOINT, random_dna
from fastapi.testclient import TestClient
from live_service import say, serving, variant_messages
from transformers import AutoProcessor

from textgenome.inference.generation import generate
from textgenome.inference.scoring import score_labels
from textgenome.serving import batches
from textgenome.serving.app import create_app
from textgenome.serving.engine import Engine
from textgenome.serving.limits import Limits
from textgenome.serving.reasoning import split_reasoning
from textgenome.serving.responses import NOTICE


LOCAL = "http://127.0.0.1"


@pytest.fixture
def service(tiny_model, tiny_processor):
    with serving(tiny_model, tiny_processor) as running:
        yield running


@pytest.fixture
def client(service):
    return openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0)


def complete(client, messages, max_tokens=12, **options):
    return client.chat.completions.create(model="tiny", messages=messages, max_tokens=max_tokens, **options)


def join(chunks, name: str) -> str:
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    return "".join(getattr(delta, name, None) or "" for delta in deltas)


def test_the_answer_is_that_of_generate(service, client, tiny_model, tiny_processor):
    conversations = [variant_messages(8 + 3 * i, i, question="Why? " * (i + 1)) for i in range(9)]
    texts = generate(tiny_model, tiny_processor, conversations, batch_size=1, max_new_tokens=12)
    expected = [split_reasoning(text) for text in texts]
    alone = [complete(client, messages).choices[0].message for messages in conversations]
    assert [(message.reasoning_content, message.content) for message in alone] == expected

    with ThreadPoolExecutor(9) as pool:
        with service.held():
            asked = [pool.submit(complete, client, messages) for messages in conversations]
            service.wait_until(lambda: len(service.engine.waiting) == 9)
        together = [each.result().choices[0].message for each in asked]
    assert [(message.reasoning_content, message.content) for message in together] == expected


def test_a_streamed_answer_is_the_plain_one(client):
    messages = variant_messages()
    plain = complete(client, messages, max_tokens=40)
    chunks = list(complete(client, messages, max_tokens=40, stream=True, stream_options={"include_usage": True}))
    assert join(chunks, "content") == plain.choices[0].message.content
    assert join(chunks, "reasoning_content") == plain.choices[0].message.reasoning_content
    assert chunks[-2].choices[0].finish_reason == plain.choices[0].finish_reason == "length"
    assert chunks[-1].usage == plain.usage
    assert plain.usage.completion_tokens == 40
    assert plain.notice == chunks[0].notice == NOTICE


def test_reasoning_and_answer_are_apart(tiny_model, tiny_processor):
    say(tiny_model, tiny_processor, "<think>\nStep 1: é\n</think>\n\nAnswer: splice loss<|im_end|>")
    with serving(tiny_model, tiny_processor) as service:
        client = openai.OpenAI(base_url=f"{service.url}/v1", api_key="none")
        plain = complete(client, variant_messages(), max_tokens=64).choices[0]
        chunks = list(complete(client, variant_messages(), max_tokens=64, stream=True))
        answer = requests.post(
            f"{service.url}/predict",
            json={"reference_sequence": "ACGT", "variant_sequence": "ACTT", "question": "What?"},
        ).json()
    assert plain.finish_reason == "stop"
    assert (plain.message.reasoning_content, plain.message.content) == ("Step 1: é", "Answer: splice loss")
    assert join(chunks, "reasoning_content") == "Step 1: é"
    assert join(chunks, "content") == "Answer: splice loss"
    assert len(chunks) > 8
    assert answer.pop("processing_time") > 0
    assert answer == {
        "answer": "splice loss",
        "reasoning": "Step 1: é",
        "model_loaded": True,
        "notice": NOTICE,
    }


def test_a_row_that_is_done_leaves_its_batch(service, client):
    with ThreadPoolExecutor(2) as pool:
        with service.held():
            long = pool.submit(complete, client, variant_messages(30), max_tokens=150)
            short = pool.submit(complete, client, variant_messages(20), max_tokens=2)
            service.wait_until(lambda: len(service.engine.waiting) == 2)
        assert short.result().usage.completion_tokens == 2
        assert not long.done()
        assert long.result().usage.completion_tokens == 150


def test_a_short_question_does_not_wait_for_a_long_one(service, client):
    alone = complete(client, variant_messages(30), max_tokens=120)
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(complete, client, variant_messages(30), max_tokens=120)
        service.wait_until(lambda: service.engine.batches and service.engine.batches[0].answers[0].tokens)
        assert complete(client, variant_messages(20), max_tokens=2).usage.completion_tokens == 2
        assert not long.done()
        assert long.result().choices == alone.choices


def test_stop_cuts_the_answer(client):
    messages = variant_messages()
    whole = complete(client, messages, max_tokens=40).choices[0].message.content
    mark = whole[10:13]
    stopped = complete(client, messages, max_tokens=40, stop=[mark, "never said"]).choices[0]
    chunks = list(complete(client, messages, max_tokens=40, stop=mark, stream=True))
    assert stopped.finish_reason == "stop"
    assert stopped.message.content == join(chunks, "content") == whole[: whole.index(mark)].strip()


def test_a_seed_samples_the_same_answer(service, client):
    def sample(**options):
        return complete(client, variant_messages(), temperature=1.5, **options).choices[0].message.content

    assert sample(seed=1) == sample(seed=1)
    assert len({sample(seed=seed) for seed in range(4)}) > 1
    assert len({sample() for _ in range(4)}) > 1
    with ThreadPoolExecutor(4) as pool:
        with service.held():
            asked = [pool.submit(sample, seed=1) for _ in range(4)]
            service.wait_until(lambda: len(service.engine.waiting) == 4)
        assert len({each.result() for each in asked}) == 1


def test_labels_are_scored(client, tiny_model, tiny_processor):
    labels = ["cancer", "a longer name"]
    conversation = variant_messages()
    [[(_, expected)]] = score_labels(tiny_model, tiny_processor, [conversation], labels)
    plain = complete(client, conversation, extra_body={"labels": labels})
    chunks = list(complete(client, conversation, extra_body={"labels": labels}, stream=True))
    assert plain.label_scores == pytest.approx({label: math.exp(score) for label, score in expected.items()})
    assert sum(plain.label_scores.values()) == pytest.approx(1)
    assert chunks[-1].label_scores == plain.label_scores


def test_labels_are_scored_behind_the_reasoning(tiny_model, tiny_processor):
    labels, conversation = ["cancer", "a longer name"], variant_messages()
    text = "<think>\nIt breaks.\n</think>\n\nAnswer: cancer"
    [[(_, expected)]] = score_labels(tiny_model, tiny_processor, [conversation], labels, outputs=[text])
    at_once = score_labels(tiny_model, tiny_processor, [conversation], labels)
    generate = tiny_model.generate

    def generate_text(**options):
        forced = say(tiny_model, tiny_processor, f"{text}<|im_end|>")
        generate(**options)
        forced.remove()

    tiny_model.generate = generate_text
    with serving(tiny_model, tiny_processor) as service:
        client = openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0)
        answer = complete(client, conversation, max_tokens=100, extra_body={"labels": labels})
    assert answer.choices[0].message.content == "Answer: cancer"
    assert answer.label_scores == pytest.approx({label: math.exp(score) for label, score in expected.items()})
    assert expected != pytest.approx(next(at_once)[0][1])


def test_thinking_can_be_left_out(client, tiny_model, tiny_processor):
    conversation = variant_messages()
    [expected] = generate(tiny_model, tiny_processor, [conversation], enable_thinking=False, max_new_tokens=12)
    answer = complete(client, conversation, extra_body={"enable_thinking": False})
    assert answer.choices[0].message.content == split_reasoning(expected)[1]


def test_a_model_thinks_as_it_was_trained_to(service, client, tmp_path):
    conversation, more = variant_messages(), {"extra_body": {"enable_thinking": True}}
    thought = complete(client, conversation).usage.prompt_tokens
    assert complete(client, conversation, **more).usage.prompt_tokens == thought
    shutil.copytree(TINY_CHECKPOINT, tmp_path, dirs_exist_ok=True)
    processor = AutoProcessor.from_pretrained(TINY_CHECKPOINT)
    processor.reasons = False
    processor.save_pretrained(tmp_path)
    asyncio.run(service.engine.load(str(tmp_path)))
    assert complete(client, conversation).usage.prompt_tokens > thought
    assert complete(client, conversation, **more).usage.prompt_tokens == thought


def test_conversations_go_on(client):
    earlier = [
        {"role": "system", "content": "Be brief."},
        *variant_messages(),
        {"role": "assistant", "content": "A site.", "reasoning_content": "Step 1"},
        {"role": "user", "content": [{"type": "dna", "dna": random_dna(20)}, {"type": "text", "text": "And here?"}]},
    ]
    assert complete(client, earlier).usage.prompt_tokens > complete(client, variant_messages()).usage.prompt_tokens


def test_an_answer_that_ended_in_thought_can_be_sent_back(client):
    question = {"role": "user", "content": "Go on."}
    for content in ("", None):
        thought = {"role": "assistant", "content": content, "reasoning_content": "Step 1"}
        assert complete(client, [*variant_messages(), thought, question], n=1).choices
        with pytest.raises(openai.BadRequestError, match=r"messages\.0\.content: there is none"):
            complete(client, [{"role": "user", "content": content}, question])


def test_errors_are_those_of_the_client(service, client):
    equal = [{"role": "user", "content": [{"type": "variant", "reference": "ACGT", "variant": "acgu"}]}]
    with pytest.raises(openai.BadRequestError, match="are equal") as error:
        complete(client, equal)
    assert error.value.param == "messages.0.content.0"
    with pytest.raises(openai.NotFoundError, match="'tiny' only"):
        client.chat.completions.create(model="other", messages=variant_messages())
    with pytest.raises(openai.APIStatusError, match="at most 4000000 bytes"):
        complete(client, [{"role": "user", "content": "A" * 5_000_000}])


def test_a_full_queue_says_when_to_come_back(tiny_model, tiny_processor):
    with serving(tiny_model, tiny_processor, Limits(queue=2)) as service, ThreadPoolExecutor(3) as pool:
        client = openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0)
        with service.held():
            asked = [pool.submit(complete, client, variant_messages()) for _ in range(2)]
            service.wait_until(lambda: len(service.engine.waiting) == 2)
            for stream in (True, False):
                with pytest.raises(openai.RateLimitError) as error:
                    complete(client, variant_messages(), stream=stream)
                assert int(error.value.response.headers["Retry-After"]) >= 1
        assert [each.result().choices[0].finish_reason for each in asked] == ["length"] * 2


def test_what_takes_too_long_is_ended(tiny_model, tiny_processor):
    with serving(tiny_model, tiny_processor, Limits(seconds=0.2)) as service:
        client = openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=2)
        with service.held():
            with pytest.raises(openai.APIStatusError, match=r"longer than 0.2 seconds") as error:
                complete(client, variant_messages())
            assert error.value.status_code == 408
            with pytest.raises(openai.APIError, match="longer than allowed"):
                list(complete(client, variant_messages(), stream=True))
            assert not service.engine.waiting


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_its_slot(service, client, stream):
    body = {"messages": variant_messages(), "max_tokens": 170, "stream": stream}
    with service.held():
        asking = http.client.HTTPConnection(service.url.removeprefix("http://"))
        asking.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        service.wait_until(lambda: len(service.engine.waiting) == 1)
        asking.close()
        service.wait_until(lambda: not service.engine.waiting)

    # ... and while it is answered
    steps = []

    def leave(*_):
        steps.append(1)
        if len(steps) == 3:
            asking.close()

    service.engine.model.register_forward_pre_hook(leave)
    asking.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    service.wait_until(lambda: len(steps) >= 3)
    assert complete(client, variant_messages(), max_tokens=1).choices
    assert len(steps) < 100


def test_a_failure_of_the_model_is_no_failure_of_the_service(service, client, tiny_model, monkeypatch, caplog):
    with monkeypatch.context() as context:
        context.setattr(tiny_model, "generate", lambda **_: 1 / 0)
        with pytest.raises(openai.InternalServerError):
            complete(client, variant_messages())
        with pytest.raises(openai.APIError, match="model failed"):
            list(complete(client, variant_messages(), stream=True))
    assert "ZeroDivisionError" in caplog.text
    assert complete(client, variant_messages()).choices


def test_a_batch_that_is_too_large_is_halved(service, client, tiny_model, monkeypatch):
    generate, sizes = tiny_model.generate, []

    def generate_few(input_ids, **options):
        sizes.append(len(input_ids))
        if len(input_ids) > 2:
            raise MemoryError
        return generate(input_ids=input_ids, **options)

    monkeypatch.setattr(tiny_model, "generate", generate_few)
    with ThreadPoolExecutor(5) as pool:
        with service.held():
            asked = [pool.submit(complete, client, variant_messages(20 + i)) for i in range(5)]
            service.wait_until(lambda: len(service.engine.waiting) == 5)
        assert all(each.result().choices for each in asked)
    assert sizes == [1, 5, 2, 3, 1, 2]


def test_an_answer_that_breaks_off_is_a_failure(client, tiny_model, monkeypatch):
    monkeypatch.setattr(tiny_model, "generate", lambda **_: None)
    with pytest.raises(openai.InternalServerError, match="model failed"):
        complete(client, variant_messages())


def test_scores_come_alone_if_only_those_without_dna_fail(client, monkeypatch):
    inputs = batches.prompt_inputs

    def with_dna_only(processor, conversations, *options):
        assert all("variant" in [block["type"] for block in messages[0]["content"]] for messages in conversations)
        return inputs(processor, conversations, *options)

    monkeypatch.setattr(batches, "prompt_inputs", with_dna_only)
    found = complete(client, variant_messages(), extra_body={"labels": ["yes", "no"]})
    assert set(found.label_scores) == {"yes", "no"}
    assert getattr(found, "label_scores_without_dna", None) is None


def test_the_model_is_listed(client):
    [model] = client.models.list().data
    assert (model.id, model.dna_window) == ("tiny", 64)


def test_it_is_live_before_it_is_ready():
    engine = Engine()
    with TestClient(create_app(engine, "tiny"), LOCAL) as client:
        health = client.get("/health")
        assert (health.status_code, health.json()["live"], health.json()["ready"]) == (503, True, False)
        refused = client.post("/v1/chat/completions", json={"messages": variant_messages()})
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        client.portal.call(engine.load, str(TINY_CHECKPOINT))
        assert client.get("/health").json()["ready"]
        assert client.post("/v1/chat/completions", json={"messages": variant_messages(), "max_tokens": 2}).is_success
