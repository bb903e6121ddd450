"""What the service answers."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


NOTICE = "Research use only, not for diagnosis."


class Answered(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Noticed(Answered):
    notice: Literal[NOTICE] = NOTICE


class ErrorDetail(Answered):
    message: str = Field(description="What is wrong and, after the name of a field, with which.")
    type: str
    param: str | None = Field(description="Path of the field that is wrong, such as `messages.0.content.0.dna`.")
    code: None = None


class ErrorResponse(Noticed):
    """An error as OpenAI words it."""

    error: ErrorDetail


class Usage(Answered):
    prompt_tokens: int = Field(description="Placeholders of DNA included.")
    completion_tokens: int = Field(description="The reasoning and the token that ends the turn included.")
    total_tokens: int


class AnsweredMessage(Answered):
    role: Literal["assistant"]
    content: str
    reasoning_content: str


class Choice(Answered):
    index: Literal[0]
    message: AnsweredMessage
    logprobs: None
    finish_reason: Literal["stop", "length"]


class ChatCompletion(Noticed):
    id: str
    object: Literal["chat.completion"]
    created: int = Field(description="Seconds since 1970.")
    model: str
    choices: list[Choice] = Field(min_length=1, max_length=1)
    usage: Usage
    label_scores: dict[str, float] | None = Field(
        None, description="By label its probability among the labels, where the request has any."
    )


class Delta(Answered):
    role: Literal["assistant"] | None = None
    content: str | None = None
    reasoning_content: str | None = None


class ChunkChoice(Answered):
    index: Literal[0]
    delta: Delta
    logprobs: None
    finish_reason: Literal["stop", "length"] | None


class ChatCompletionChunk(Answered):
    """What an event of a stream holds after `data: `.

    The first says the notice, the last but `[DONE]` finish reason, label scores and, if asked for, usage. A failure
    after the first is an event with `error` in place of the choices, and ends the stream.
    """

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice] = Field(max_length=1)
    usage: Usage | None = None
    label_scores: dict[str, float] | None = None
    notice: Literal[NOTICE] | None = None


class PredictResponse(Noticed):
    answer: str = Field(description="What follows `Answer:`, or all that the model said after its reasoning.")
    reasoning: str
    processing_time: float = Field(description="Seconds.")
    model_loaded: bool


class ReadUsage(Answered):
    prompt_tokens: int = Field(description="Tokens that were read.")
    total_tokens: int


class Embedding(Answered):
    object: Literal["embedding"]
    index: int = Field(description="Of the sequence in `input`.")
    embedding: list[float] | str


class EmbeddingList(Noticed):
    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: ReadUsage


class Score(Answered):
    object: Literal["score"]
    index: int = Field(description="Of the pair in `pairs`.")
    label_scores: dict[str, float] = Field(description="By label its probability among the labels.")


class ScoreList(Noticed):
    object: Literal["list"]
    data: list[Score]
    model: str
    usage: ReadUsage


class Model(Answered):
    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "textgenome"
    dna_window: int | None = Field(description="Most bases of a window, once the model is loaded.")


class ModelList(Noticed):
    object: Literal["list"] = "list"
    data: list[Model]


class Health(Noticed):
    live: bool = True
    ready: bool = Field(description="Whether the model is loaded.")


__all__ = [
    "NOTICE",
    "ChatCompletion",
    "ChatCompletionChunk",
    "EmbeddingList",
    "ErrorResponse",
    "Health",
    "Model",
    "ModelList",
    "PredictResponse",
    "ScoreList",
]
