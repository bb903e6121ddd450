"""What can be asked under which path."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from textgenome.inference.answers import split_output
from textgenome.serving.bodies import parse, read_body
from textgenome.serving.chat import completion, embedding_list, score_list, stream_completion
from textgenome.serving.engine import Engine
from textgenome.serving.errors import LEFT, FieldError
from textgenome.serving.explaining import read_explanation
from textgenome.serving.heads import read_head
from textgenome.serving.jobs import Job
from textgenome.serving.limits import SMALL
from textgenome.serving.metrics import CONTENT_TYPE
from textgenome.serving.openapi import (
    CHAT,
    EMBEDDINGS,
    EXPLAIN,
    HEAD,
    HEALTH,
    METRICS,
    MODEL,
    MODELS,
    PREDICT,
    SCORE,
    VARIANTS,
    WINDOWS,
)
from textgenome.serving.questions import Answer, Question
from textgenome.serving.reading import read_embeddings, read_question, read_scores
from textgenome.serving.reasoning import split_reasoning
from textgenome.serving.responses import (
    Explained,
    HeadPrediction,
    Health,
    Model,
    ModelList,
    PredictResponse,
    VariantList,
    Windows,
)
from textgenome.serving.schema import (
    PREDICT_FIELDS,
    ChatRequest,
    EmbeddingsRequest,
    ExplainRequest,
    HeadRequest,
    Pair,
    PredictRequest,
    ScoreRequest,
    Strict,
    VariantsRequest,
)
from textgenome.serving.tasks import labels_known, sequences_read, task_of
from textgenome.serving.windows import read_vcf, read_windows


Read = TypeVar("Read")
PAGE = Path(__file__).parent / "page"
bearer = HTTPBearer(auto_error=False, description="Only where the service was started with a key.")


@dataclass(frozen=True)
class Service:
    """What all routes share.

    Args:
        engine: Answers the questions; its model may be loaded later.
        model_name: What clients call the model.
        api_key: What they must send as bearer token, if anything.
        fasta: The genome of VCF files that may come, if any may.
        readers: Threads that read requests, of which large ones take one at most.
        large: Held while a large request is read: however many come, they take memory and time one after the other.
    """

    engine: Engine
    model_name: str
    api_key: str | None = None
    fasta: Path | None = None
    readers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "reader"))
    large: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))


def get_service(request: Request) -> Service:
    return request.app.state.service


Serving = Annotated[Service, Depends(get_service)]


def check_key(service: Serving, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
    """Refuse who has no key, before anything of the body is read."""
    given = credentials.credentials.encode("latin-1") if credentials else b""  # as the bytes of a header are read
    if service.api_key is not None and not secrets.compare_digest(given, service.api_key.encode()):
        message = "Send the key of this service as `Authorization: Bearer KEY`."
        raise HTTPException(401, message, {"WWW-Authenticate": "Bearer"})


public, router = APIRouter(), APIRouter(dependencies=[Depends(check_key)])


@router.post("/v1/chat/completions", summary="Continue a conversation about DNA", **CHAT)
async def chat(request: Request, service: Serving) -> Response:
    question = await read(request, service, read_chat, writes_text=True)
    answers = await start(service.engine, question)
    if question.stream:
        stream = stream_completion(answers, service.model_name, question.include_usage)
        # Proxies that collect a response before they send it would undo the streaming.
        return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
    return JSONResponse(completion(await finish(answers, request), service.model_name))


@router.post("/predict", summary="Ask about a variant", **PREDICT)
async def predict(request: Request, service: Serving) -> PredictResponse:
    started = time.monotonic()
    question = await read(request, service, read_predict, writes_text=True)
    answer = await finish(await start(service.engine, question), request)
    reasoning, content = split_reasoning(answer.text)
    before, given = split_output(answer.text)  # as `textgenome ask` does
    return PredictResponse(
        answer=given or content,
        reasoning=before if given else reasoning,
        processing_time=time.monotonic() - started,
        model_loaded=service.engine.ready,
    )


@router.post("/v1/embeddings", summary="Embed DNA by the encoder of the model", **EMBEDDINGS)
async def embeddings(request: Request, service: Serving) -> Response:
    encoding, job = await read(request, service, read_embedding_job)
    vectors = await while_connected(service.engine.work(job), request)
    return JSONResponse(embedding_list(vectors, service.model_name, job.tokens, encoding))


@router.post("/score", summary="Score the possible answers to a question about variants", **SCORE)
async def score(request: Request, service: Serving) -> Response:
    job = await read(request, service, partial(read_job, kind=ScoreRequest, read_as=read_scores), writes_text=True)
    scores = await while_connected(service.engine.work(job), request)
    return JSONResponse(score_list(scores, service.model_name, job.tokens))


@router.post("/explain", summary="Which bases does the answer depend on?", **EXPLAIN)
async def explain(request: Request, service: Serving) -> Explained:
    return await one_of(service, request, ExplainRequest, read_explanation)


@router.post("/dna", summary="What does the head of the model say of DNA?", **HEAD)
async def dna(request: Request, service: Serving) -> HeadPrediction:
    return await one_of(service, request, HeadRequest, read_head, writes_text=False)


@router.post("/window", summary="What does the model see of a reference and its variant?", **WINDOWS)
async def window(request: Request, service: Serving) -> Windows:
    return await read(request, service, lambda body, service: read_windows(parse(body, Pair), service.engine))


@router.post("/variants", summary="The windows of the variants of a small VCF file", **VARIANTS)
async def variants(request: Request, service: Serving) -> VariantList:
    if service.fasta is None:
        raise HTTPException(404, "This service has no genome: start it with --fasta to read VCF files.")

    def read_as(body: bytearray, service: Service) -> VariantList:
        return read_vcf(parse(body, VariantsRequest), service.engine, service.fasta)

    return await read(request, service, read_as)


async def one_of(
    service: Service, request: Request, kind: type[Strict], read_as: Callable, writes_text: bool | None = None
):
    """What a job of one result computes for a request of a kind."""
    job = await read(request, service, partial(read_job, kind=kind, read_as=read_as), writes_text)
    (found,) = await while_connected(service.engine.work(job), request)
    return found


def about_model(engine: Engine) -> dict:
    """What a client must know of the model to ask it; nothing before it is loaded."""
    if not engine.ready:
        return {"dna_window": None, "task": None, "sequences": None, "labels": None, "examples": []}
    return {
        "dna_window": engine.processor.dna_window,
        "task": task_of(engine.model),
        "sequences": sequences_read(engine.model),
        "labels": labels_known(engine.model, engine.processor),
        "examples": engine.processor.examples or [],
    }


def describe_model(service: Service) -> Model:
    return Model(id=service.model_name, **about_model(service.engine), takes_vcf=service.fasta is not None)


@router.get("/v1/models", summary="The models: there is one", **MODELS)
async def models(service: Serving) -> ModelList:
    return ModelList(data=[describe_model(service)])


@router.get("/v1/models/{model:path}", summary="The model", **MODEL)
async def model(model: str, service: Serving) -> Model:
    check_model(model, service)
    return describe_model(service)


@router.get("/metrics", summary="What the service counts, for Prometheus", response_class=PlainTextResponse, **METRICS)
async def metrics(service: Serving) -> Response:
    engine = service.engine
    text = engine.metrics.text(
        textgenome_ready=int(engine.ready),
        textgenome_questions_waiting=len(engine.waiting),
        textgenome_questions_running=engine.running,
        textgenome_jobs=engine.jobs,
        textgenome_waiting_bytes=engine.budget.held,
    )
    return Response(text, media_type=CONTENT_TYPE)


@public.get("/health", summary="Is the service live, and is the model loaded?", **HEALTH)
async def health(service: Serving, response: Response) -> Health:
    response.status_code = 200 if service.engine.ready else 503
    return Health(ready=service.engine.ready)


@public.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(PAGE / "index.html")


async def read(
    request: Request,
    service: Service,
    read_body_as: Callable[[bytearray, Service], Read],
    writes_text: bool | None = None,
) -> Read:
    """The question or job of a request. Nothing else of it is kept while that waits.

    Args:
        request: What comes.
        service: What it comes to.
        read_body_as: Makes the question or job of the body.
        writes_text: Whether it is for models that write text, or for those with a head; by default for both.
    """
    engine = service.engine
    if not engine.ready:
        raise HTTPException(503, "The model is being loaded.", {"Retry-After": "5"})
    if writes_text is not None and writes_text != engine.writes_text:
        other = "writes no text: POST /dna tells what its head predicts" if writes_text else "has no head: ask it"
        raise HTTPException(400, f"This model {other}.")
    engine.refuse_if_full()
    with engine.budget.share() as share:
        body = await read_body(request, engine.limits, share)
        async with service.large if len(body) > SMALL else nullcontext():
            return await asyncio.get_running_loop().run_in_executor(service.readers, read_body_as, body, service)


def read_chat(body: bytearray, service: Service) -> Question:
    request = parse(body, ChatRequest)
    if request.model is not None:
        check_model(request.model, service)
    return read_question(request, service.engine)


def read_predict(body: bytearray, service: Service) -> Question:
    request = parse(body, PredictRequest)
    try:
        return read_question(request.as_chat(), service.engine)
    except FieldError as error:
        raise FieldError(PREDICT_FIELDS[error.field], str(error), error.status) from error


def read_embedding_job(body: bytearray, service: Service) -> tuple[str | None, Job]:
    request = parse(body, EmbeddingsRequest)
    if request.model is not None:
        check_model(request.model, service)
    return request.encoding_format, read_embeddings(request, service.engine)


def read_job(body: bytearray, service: Service, kind: type[Strict], read_as: Callable[[Strict, Engine], Job]) -> Job:
    request = parse(body, kind)
    if request.model is not None:
        check_model(request.model, service)
    return read_as(request, service.engine)


def check_model(name: str, service: Service) -> None:
    if name != service.model_name:
        raise FieldError("model", f"this service knows {service.model_name!r} only", status=404)


async def start(engine: Engine, question: Question) -> AsyncIterator[Answer]:
    """Put a question in the queue, or raise that it is full."""
    answers = engine.ask(question)
    await anext(answers)
    return answers


async def finish(answers: AsyncIterator[Answer], request: Request) -> Answer:
    """Wait for the whole answer, as long as the client does."""

    async def last() -> Answer:
        return [answer async for answer in answers][-1]

    return await while_connected(last(), request)


async def while_connected(work: Coroutine[None, None, Read], request: Request) -> Read:
    """What comes of work, which is given up when the client leaves."""

    async def leave() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.create_task(work), asyncio.create_task(leave())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise HTTPException(LEFT, "The client has left.")
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


__all__ = ["PAGE", "Service", "public", "router"]
