"""The description of the API: what each path takes, and every status it answers with."""

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from textgenome.serving.metrics import CONTENT_TYPE
from textgenome.serving.responses import (
    ChatCompletion,
    ChatCompletionChunk,
    EmbeddingList,
    ErrorResponse,
    Explained,
    HeadPrediction,
    Health,
    ScoreList,
    VariantList,
    Windows,
)
from textgenome.serving.schema import (
    ChatRequest,
    EmbeddingsRequest,
    ExplainRequest,
    HeadRequest,
    Pair,
    PredictRequest,
    ScoreRequest,
    VariantsRequest,
)


REF = "#/components/schemas/{model}"
ADDED = (
    ChatRequest,
    EmbeddingsRequest,
    ExplainRequest,
    HeadRequest,
    Pair,
    PredictRequest,
    ScoreRequest,
    VariantsRequest,
    ChatCompletionChunk,
)  # no route has them as argument or result
MEANINGS = {
    400: "The request is malformed, or more than is taken; `param` names the field.",
    401: "The key is missing or wrong.",
    403: "A page of another site asks, which is not allowed.",
    404: "There is no such model, or no genome for VCF files.",
    408: "The body or the answer took too long.",
    413: "The body is too large.",
    421: "The service does not go by the name in `Host`.",
    429: "Too much waits; `Retry-After` says when to come back.",
    500: "The model failed.",
    503: "The model is being loaded, or too many clients are connected.",
}


def errors(*statuses: int) -> dict[int | str, dict]:
    found = {status: {"model": ErrorResponse, "description": MEANINGS[status]} for status in sorted(statuses)}
    return {**found, "default": {"model": ErrorResponse, "description": "Another error."}}


def body_of(model: type[BaseModel]) -> dict:
    """The body is read by the route itself, so that it is not kept: only the description knows of it."""
    content = {"application/json": {"schema": {"$ref": REF.format(model=model.__name__)}}}
    return {"requestBody": {"required": True, "content": content}}


EVERYWHERE = (403, 421, 500, 503)
ASKED = (400, 401, 408, 413, 429, *EVERYWHERE)
STREAM = {
    "schema": {"$ref": REF.format(model=ChatCompletionChunk.__name__)},
    "example": 'data: {"object": "chat.completion.chunk", "choices": [...]}\n\ndata: [DONE]\n\n',
}
CHAT = {
    "responses": {
        200: {
            "model": ChatCompletion,
            "description": "The answer; with `stream` as server-sent events, each with a chunk, and then `[DONE]`.",
            "content": {"text/event-stream": STREAM},
        },
        **errors(404, *ASKED),
    },
    "openapi_extra": body_of(ChatRequest),
}
PREDICT = {"responses": errors(*ASKED), "openapi_extra": body_of(PredictRequest)}
EMBEDDINGS = {
    "responses": {200: {"model": EmbeddingList, "description": "A vector for each sequence."}, **errors(404, *ASKED)},
    "openapi_extra": body_of(EmbeddingsRequest),
}
SCORE = {
    "responses": {200: {"model": ScoreList, "description": "Label scores of each pair."}, **errors(404, *ASKED)},
    "openapi_extra": body_of(ScoreRequest),
}
EXPLAIN = {
    "responses": {
        200: {"model": Explained, "description": "The effect of each change, and a picture."},
        **errors(404, *ASKED),
    },
    "openapi_extra": body_of(ExplainRequest),
}
HEAD = {
    "responses": {200: {"model": HeadPrediction, "description": "What the head says."}, **errors(404, *ASKED)},
    "openapi_extra": body_of(HeadRequest),
}
WINDOWS = {
    "responses": {200: {"model": Windows, "description": "Both windows, and where the change is."}, **errors(*ASKED)},
    "openapi_extra": body_of(Pair),
}
VARIANTS = {
    "responses": {
        200: {"model": VariantList, "description": "The windows of each variant."},
        **errors(404, *ASKED),
    },
    "openapi_extra": body_of(VariantsRequest),
}
MODELS = {"responses": errors(401, *EVERYWHERE)}
MODEL = {"responses": errors(401, 404, *EVERYWHERE)}
METRICS = {
    "responses": {
        200: {"description": "Text format of Prometheus.", "content": {CONTENT_TYPE: {"schema": {"type": "string"}}}},
        **errors(401, *EVERYWHERE),
    }
}
HEALTH = {
    "responses": {
        **errors(403, 421, 500),
        503: {"model": Health, "description": "The model is being loaded."},
    }
}


def describe(app: FastAPI) -> dict:
    """The description of an app, with the bodies that its routes read themselves."""
    described = FastAPI.openapi(app)
    schemas = described["components"]["schemas"]
    if ChatRequest.__name__ not in schemas:
        _, added = models_json_schema([(model, "validation") for model in ADDED], ref_template=REF)
        schemas |= {name: schema for name, schema in added["$defs"].items() if name not in schemas}
    return described


__all__ = [
    "CHAT",
    "EMBEDDINGS",
    "EXPLAIN",
    "HEAD",
    "HEALTH",
    "METRICS",
    "MODEL",
    "MODELS",
    "PREDICT",
    "SCORE",
    "VARIANTS",
    "WINDOWS",
    "describe",
]
