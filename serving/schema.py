"""What a request may hold, and turning it into a question."""

import hashlib
import json
import secrets
from typing import Annotated, Literal

from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from transformers import PreTrainedTokenizerBase

from textgenome.inference.generation import prompt_inputs
from textgenome.processing.processing_dna import normalize_dna, variant_window
from textgenome.processing.reserved_tokens import ReservedTokenError, check_conversation, check_text
from textgenome.serving.engine import Engine, Question


NEW_TOKENS = 1024  # longest answer, unless the request says otherwise
CHARACTERS = 16  # more of them a token than any prose has: longer texts are refused before they are tokenized
FIELDS = 32  # more than any object has
# A plain hash of a short sequence could be found by trying: this one says only what is equal, and only within one run.
_KEY = secrets.token_bytes(32)

EXAMPLE = {
    "reference": "AGTCCTTGGCTCTATAGGGCACTACTTTCTTTTCAGGCTTTATACTGTTCAGATT",
    "variant": "AGTCCTTGGCTCTATAGGGCACTACTTTCTTTTCTGGCTTTATACTGTTCAGATT",
    "question": "Which signal does this variant break?",
}


class FieldError(ValueError):
    """A request that cannot be answered. `field` is the path of what is wrong with it."""

    def __init__(self, field: str, message: str, status: int = 400):
        super().__init__(message)
        self.field, self.status = field, status


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _bound_fields(cls, fields):
        # Each field that is not known makes an error of its own: a full body of them would take seconds.
        if isinstance(fields, dict) and len(fields) > FIELDS:
            raise ValueError(f"an object has {len(fields)} fields, at most {FIELDS} are taken")
        return fields


class TextBlock(Strict):
    type: Literal["text"]
    text: str = Field(min_length=1)


class DNABlock(Strict):
    type: Literal["dna"]
    dna: str = Field(description="One sequence.")


class VariantBlock(Strict):
    type: Literal["variant"]
    reference: str = Field(description="The reference sequence, of any length: it is cut around the change.")
    variant: str = Field(description="The same stretch with the variant.")


Block = Annotated[TextBlock | DNABlock | VariantBlock, Field(discriminator="type")]


def _as_blocks(content):
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [] if content is None else content


def _as_list(stop):
    return [stop] if isinstance(stop, str) else stop


def _check_temperature(temperature: float | None) -> float | None:
    if temperature and temperature < 0.01:
        raise ValueError("a temperature above 0 must be at least 0.01")
    return temperature


Temperature = Annotated[
    float | None,
    Field(ge=0, le=2, description="0, the default, always takes the most likely token; above, sample."),
    AfterValidator(_check_temperature),
]
Text = Annotated[str, Field(min_length=1, max_length=200)]


class Message(Strict):
    role: Literal["system", "user", "assistant"]
    content: Annotated[
        list[Block],
        Field(fail_fast=True, description="Only the assistant may have said nothing."),
        BeforeValidator(_as_blocks, json_schema_input_type=str | list[Block] | None),
    ]
    reasoning_content: str | None = None


class StreamOptions(Strict):
    include_usage: bool = False


class ChatRequest(Strict):
    """As the chat completions of OpenAI, with blocks for DNA, and `labels` and `enable_thinking`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "messages": [
                        {
                            "role": "user",
                            "content": [
                                {
                                    "type": "variant",
                                    "reference": EXAMPLE["reference"],
                                    "variant": EXAMPLE["variant"],
                                },
                                {"type": "text", "text": EXAMPLE["question"]},
                            ],
                        }
                    ],
                    "max_tokens": 64,
                }
            ]
        }
    )

    model: str | None = Field(None, description="The name of the model; may be left out.")
    messages: list[Message] = Field(
        min_length=1, max_length=1000, fail_fast=True, description="The last one is of the user."
    )
    n: Literal[1] | None = Field(None, description="Answers to a request: one.")
    stream: bool | None = Field(None, description="Send the answer as it is written, as server-sent events.")
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(
        None,
        ge=1,
        validation_alias=AliasChoices("max_tokens", "max_completion_tokens"),
        description=f"Longest answer, reasoning included; by default {NEW_TOKENS}, or what the limit leaves.",
    )
    temperature: Temperature = None
    top_p: float | None = Field(None, gt=0, le=1, description="With a temperature: share to sample from.")
    seed: int | None = Field(None, ge=0, lt=2**63, description="The same seed samples the same answer.")
    stop: Annotated[list[Text] | None, BeforeValidator(_as_list, json_schema_input_type=str | list[str] | None)] = (
        Field(None, max_length=4, description="Texts before which the answer ends.")
    )
    labels: list[Text] | None = Field(
        None, max_length=64, description="Answers to score: how likely is each, behind the reasoning of this answer?"
    )
    enable_thinking: bool | None = Field(
        None, description="Whether the model reasons before it answers; by default if it was trained to."
    )


class PredictRequest(Strict):
    """One question about one variant."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "reference_sequence": EXAMPLE["reference"],
                    "variant_sequence": EXAMPLE["variant"],
                    "question": EXAMPLE["question"],
                    "max_length": 64,
                }
            ]
        }
    )

    reference_sequence: str = Field(description="Of any length: it is cut around the change.")
    variant_sequence: str = Field(description="The same stretch with the variant.")
    question: str = Field(min_length=1)
    max_length: int | None = Field(None, ge=1, description="Longest answer in tokens, reasoning included.")
    temperature: Temperature = None

    def as_chat(self) -> ChatRequest:
        variant = {"type": "variant", "reference": self.reference_sequence, "variant": self.variant_sequence}
        blocks = [variant, {"type": "text", "text": self.question}]
        return ChatRequest(
            messages=[{"role": "user", "content": blocks}], max_tokens=self.max_length, temperature=self.temperature
        )


# Where what stands in a `PredictRequest` stands in its `as_chat`.
PREDICT_FIELDS = {
    "messages.0.content.0.reference": "reference_sequence",
    "messages.0.content.0.variant": "variant_sequence",
    "messages.0.content.0": "variant_sequence",
    "messages.0.content.1.text": "question",
    "messages": "reference_sequence, variant_sequence, question",
    "max_tokens": "max_length",
}


class PredictResponse(BaseModel):
    answer: str = Field(description="What stands behind `Answer:`, or all that the model said after its reasoning.")
    reasoning: str
    processing_time: float = Field(description="Seconds.")
    model_loaded: bool
    notice: str


def refuse_reserved(conversation: list[dict], labels: list[str], tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise `FieldError` for text that holds a reserved token."""
    try:
        check_conversation(conversation, tokenizer)
    except ReservedTokenError as error:
        block = ".text" if len(error.place) > 2 else ""
        raise FieldError(".".join(map(str, ("messages", *error.place))) + block, str(error)) from error
    for i, label in enumerate(labels):
        try:
            check_text(label, tokenizer)
        except ReservedTokenError as error:
            raise FieldError(f"labels.{i}", str(error)) from error


def read_question(request: ChatRequest, engine: Engine) -> Question:
    """Check a request against the limits, and cut its variants to their windows.

    Args:
        request: What came.
        engine: What is to answer it, its model loaded.

    Raises:
        FieldError: If it cannot be answered.
    """
    processor, limits = engine.processor, engine.limits
    texts = [block.text for message in request.messages for block in message.content if block.type == "text"]
    texts += [message.reasoning_content for message in request.messages if message.reasoning_content]
    written = sum(map(len, texts))
    if written > CHARACTERS * engine.tokens:
        message = (
            f"{written} characters of text are more than the {engine.tokens} tokens of prompt and answer together"
        )
        raise FieldError("messages", message)
    sequences = []

    def check_dna(field: str, sequence: str) -> str:
        if len(sequence) > limits.bases:
            raise FieldError(field, f"the sequence has {len(sequence)} bases, at most {limits.bases} are taken")
        sequences.append(sequence)
        if len(sequences) > limits.sequences:
            raise FieldError(field, f"the request has more than {limits.sequences} sequences")
        try:
            return normalize_dna(sequence)
        except ValueError as error:
            raise FieldError(field, str(error)) from error

    def check_block(field: str, block: Block, role: str) -> dict:
        if block.type == "text":
            return block.model_dump()
        if role != "user":
            raise FieldError(f"{field}.type", "DNA stands in messages of the user only")
        if block.type == "dna":
            return {"type": "dna", "dna": check_dna(f"{field}.dna", block.dna)}
        pair = check_dna(f"{field}.reference", block.reference), check_dna(f"{field}.variant", block.variant)
        try:
            reference, variant = variant_window(*pair, size=processor.dna_window)
        except ValueError as error:
            raise FieldError(field, str(error)) from error
        return {"type": "variant", "reference": reference, "variant": variant}

    conversation = []
    for i, message in enumerate(request.messages):
        field = f"messages.{i}"
        if not message.content and message.role != "assistant":
            raise FieldError(f"{field}.content", "there is none")
        blocks = [check_block(f"{field}.content.{j}", block, message.role) for j, block in enumerate(message.content)]
        conversation.append({"role": message.role, "content": blocks})
        if message.reasoning_content:
            conversation[-1]["reasoning_content"] = message.reasoning_content
    if conversation[-1]["role"] != "user":
        raise FieldError(f"messages.{len(conversation) - 1}.role", "the last message must be of the user")
    labels = request.labels or []
    refuse_reserved(conversation, labels, processor.tokenizer)
    enable_thinking = processor.reasons if request.enable_thinking is None else request.enable_thinking

    try:
        prompt_tokens = int(prompt_inputs(processor, [conversation], enable_thinking)["attention_mask"].sum())
    except ValueError as error:
        raise FieldError("messages", str(error)) from error
    room = engine.tokens - prompt_tokens
    if room < 1:
        message = f"the prompt has {prompt_tokens} tokens, prompt and answer may have {engine.tokens} together"
        raise FieldError("messages", message)
    if (request.max_tokens or 0) > room:
        message = f"{request.max_tokens} tokens after the {prompt_tokens} of the prompt are more than {engine.tokens}"
        raise FieldError("max_tokens", message)
    return Question(
        conversation=conversation,
        prompt_tokens=prompt_tokens,
        max_tokens=request.max_tokens or min(NEW_TOKENS, room),
        temperature=request.temperature or 0,
        top_p=request.top_p,
        seed=request.seed,
        stop=tuple(request.stop or ()),
        labels=tuple(dict.fromkeys(labels)),
        enable_thinking=enable_thinking,
        fingerprint=hashlib.blake2b(json.dumps(conversation).encode(), digest_size=8, key=_KEY).hexdigest(),
        sequences=len(sequences),
        bases=sum(map(len, sequences)),
    )


__all__ = [
    "EXAMPLE",
    "PREDICT_FIELDS",
    "ChatRequest",
    "FieldError",
    "PredictRequest",
    "PredictResponse",
    "read_question",
]
