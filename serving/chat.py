"""The answers of the API: conversations, whole or in server-sent events, embeddings and scores."""

import base64
import json
import math
import secrets
import time
from collections.abc import AsyncIterator, Mapping

import torch

from textgenome.serving.engine import ModelFailed
from textgenome.serving.questions import Answer
from textgenome.serving.reasoning import split_reasoning
from textgenome.serving.responses import NOTICE


def usage(answer: Answer) -> dict[str, int]:
    prompt, completion = answer.question.prompt_tokens, answer.tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def label_scores(answer: Answer) -> dict[str, dict[str, float]]:
    """See `as_scores`; nothing where there are no labels."""
    if answer.scores is None:
        return {}
    return as_scores(answer.scores, answer.without_dna and answer.without_dna.scores)


def as_scores(likelihoods: Mapping[str, float], without_dna: Mapping[str, float] | None) -> dict:
    """Logarithms of likelihoods as probabilities of labels: among each other, and that it is none of these."""
    among, others = _probabilities(likelihoods)
    prior = {"label_scores_without_dna": _probabilities(without_dna)[0]} if without_dna else {}
    return {"label_scores": among, "other_answers": others, **prior}


def _probabilities(likelihoods: Mapping[str, float]) -> tuple[dict[str, float], float]:
    most = max(likelihoods.values())
    total = sum(math.exp(each - most) for each in likelihoods.values())
    among = {label: math.exp(each - most) / total for label, each in likelihoods.items()}
    return among, max(0.0, 1 - total * math.exp(most))


def header(kind: str, model: str) -> dict:
    return {"id": f"chatcmpl-{secrets.token_hex(12)}", "object": kind, "created": int(time.time()), "model": model}


def completion(answer: Answer, model: str) -> dict:
    """The whole answer."""
    reasoning, content = split_reasoning(answer.text)
    message = {"role": "assistant", "content": content, "reasoning_content": reasoning}
    return {
        **header("chat.completion", model),
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}],
        "usage": usage(answer),
        **label_scores(answer),
        "notice": NOTICE,
    }


def embedding_list(vectors: list[torch.Tensor], model: str, tokens: int, encoding: str | None = None) -> dict:
    """Vectors in the form of OpenAI's embeddings; `base64` encodes 32-bit floats, the lowest byte first."""

    def encode(vector: torch.Tensor) -> list[float] | str:
        if encoding != "base64":
            return vector.tolist()
        return base64.b64encode(vector.numpy().astype("<f4").tobytes()).decode()

    data = [{"object": "embedding", "index": i, "embedding": encode(vector)} for i, vector in enumerate(vectors)]
    return list_of(data, model, tokens)


def score_list(scores: list[tuple[dict, dict | None]], model: str, tokens: int) -> dict:
    """Logarithms of likelihoods of labels, with DNA and without, as probabilities."""
    data = [{"object": "score", "index": i, **as_scores(*each)} for i, each in enumerate(scores)]
    return list_of(data, model, tokens)


def list_of(data: list[dict], model: str, tokens: int) -> dict:
    used = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": model, "usage": used, "notice": NOTICE}


async def stream_completion(answers: AsyncIterator[Answer], model: str, include_usage: bool) -> AsyncIterator[str]:
    """The answer as it grows, in events. The first says the notice, the last but `[DONE]` label scores and usage."""
    head = header("chat.completion.chunk", model)
    sent = ["", ""]

    def event(delta: dict, finish_reason: str | None = None, **more) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return f"data: {json.dumps({**head, 'choices': [choice], **more})}\n\n"

    yield event({"role": "assistant", "content": ""}, notice=NOTICE)
    try:
        async for answer in answers:
            finish_reason = answer.finish_reason
            parts = split_reasoning(answer.text, finish_reason is not None)
            for i, name in enumerate(("reasoning_content", "content")):
                if len(parts[i]) > len(sent[i]):
                    yield event({name: parts[i][len(sent[i]) :]})
                    sent[i] = parts[i]
    except (TimeoutError, ModelFailed) as error:
        message = "The answer took longer than allowed." if isinstance(error, TimeoutError) else str(error)
        yield f"data: {json.dumps({'error': {'message': message, 'type': 'server_error'}})}\n\n"
        return
    yield event({}, finish_reason, **label_scores(answer))
    if include_usage:
        yield f"data: {json.dumps({**head, 'choices': [], 'usage': usage(answer)})}\n\n"
    yield "data: [DONE]\n\n"


__all__ = ["completion", "embedding_list", "score_list", "stream_completion"]
