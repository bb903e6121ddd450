"""Turning a request into a question: lengths are compared before anything is tokenized."""

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import replace

from transformers import PreTrainedTokenizerBase

from textgenome.inference.generation import count_prompt_tokens
from textgenome.inference.without_dna import conversation_without_dna
from textgenome.processing.processing_dna import normalize_dna, variant_window
from textgenome.processing.reserved_tokens import ReservedTokenError, check_conversation, check_text
from textgenome.serving.engine import Engine
from textgenome.serving.errors import FieldError
from textgenome.serving.jobs import EmbeddingJob, ScoreJob
from textgenome.serving.questions import Question
from textgenome.serving.schema import (
    NEW_TOKENS,
    SCORE_FIELDS,
    ChatRequest,
    EmbeddingsRequest,
    Message,
    ScoreRequest,
)


CHARACTERS = 16  # more of them a token than any prose has: longer texts are refused before they are tokenized
# A plain hash of a short sequence could be found by trying: this one says only what is equal, and only within one run.
_KEY = secrets.token_bytes(32)


def read_question(request: ChatRequest, engine: Engine) -> Question:
    """Check a request against the limits, and cut its variants to their windows.

    Args:
        request: What came.
        engine: What is to answer it, its model loaded.

    Raises:
        FieldError: If it cannot be answered.
    """
    processor = engine.processor
    check_characters(request, engine.tokens)
    checks = Checks(engine)
    conversation = [checks.message(f"messages.{i}", message) for i, message in enumerate(request.messages)]
    if conversation[-1]["role"] != "user":
        raise FieldError(f"messages.{len(conversation) - 1}.role", "the last message must be of the user")
    labels = request.labels or []
    refuse_reserved(conversation, labels, processor.tokenizer)
    enable_thinking = processor.reasons if request.enable_thinking is None else request.enable_thinking
    try:
        prompt_tokens = count_prompt_tokens(processor, conversation, engine.tokens, enable_thinking)
    except ValueError as error:
        raise FieldError("messages", str(error)) from error
    written = json.dumps(conversation, ensure_ascii=False).encode()
    question = Question(
        conversation=conversation,
        prompt_tokens=prompt_tokens,
        max_tokens=longest_answer(request, prompt_tokens, engine.tokens),
        temperature=request.temperature or 0,
        top_p=request.top_p,
        seed=request.seed,
        stop=tuple(request.stop or ()),
        labels=tuple(dict.fromkeys(labels)),
        enable_thinking=enable_thinking,
        stream=bool(request.stream),
        include_usage=bool(request.stream_options and request.stream_options.include_usage),
        fingerprint=hashlib.blake2b(written, digest_size=8, key=_KEY).hexdigest(),
        size=len(written),
        sequences=len(checks.lengths),
        bases=sum(checks.lengths),
    )
    bare = conversation_without_dna(conversation) if labels else None
    if bare is None:
        return question
    # Greedy, whatever the question is: what it is compared with should not change from one request to the next.
    plain = {"temperature": 0, "top_p": None, "seed": None, "stop": ()}
    return replace(question, without_dna=replace(question, conversation=bare, **plain))


def read_embeddings(request: EmbeddingsRequest, engine: Engine) -> EmbeddingJob:
    """Check the sequences of a request against the limits; the rest is as in `read_question`."""
    checks = Checks(engine)
    letters = [checks.dna(f"input.{i}", sequence) for i, sequence in enumerate(request.input)]
    pooling = request.pooling or "mean"
    return EmbeddingJob.of(letters, sum(checks.lengths), engine.model, engine.processor, pooling=pooling)


def read_scores(request: ScoreRequest, engine: Engine) -> ScoreJob:
    """Check the pairs of a request against the limits, and cut them; the rest is as in `read_question`."""
    if 2 * len(request.pairs) > engine.limits.sequences:
        raise FieldError("pairs", f"the request has more than {engine.limits.sequences} sequences; a pair is two")
    encode, questions = engine.processor.tokenizer, []
    for i, pair in enumerate(request.pairs):
        try:
            questions.append(read_question(request.as_chat(pair), engine))
        except FieldError as error:
            field = SCORE_FIELDS.get(error.field, error.field).format(i)
            raise FieldError(field, str(error), error.status) from error
    longest = max(
        len(encode(f"Answer: {label}<|im_end|>", add_special_tokens=False)["input_ids"]) for label in request.labels
    )
    prompts = [question.prompt_tokens for question in questions]
    if max(prompts) + longest > engine.tokens:
        message = f"with the longest label the prompt has {max(prompts) + longest} tokens, more than {engine.tokens}"
        raise FieldError(f"pairs.{prompts.index(max(prompts))}", message)
    return ScoreJob(
        sequences=2 * len(questions),
        bases=sum(question.bases for question in questions),
        tokens=sum(prompts),
        size=sum(question.size for question in questions),
        conversations=tuple(question.conversation for question in questions),
        without_dna=questions[0].without_dna and questions[0].without_dna.conversation,
        labels=questions[0].labels,
    )


class Checks:
    """Checks the parts of one request, each under the name of its field, and counts its sequences.

    Attributes:
        lengths: Of the sequences so far, as they came.
    """

    def __init__(self, engine: Engine):
        self.processor, self.limits = engine.processor, engine.limits
        self.lengths: list[int] = []

    def message(self, field: str, message: Message) -> dict:
        if not message.content and message.role != "assistant":
            raise FieldError(f"{field}.content", "there is none")
        blocks = [self.block(f"{field}.content.{j}", block, message.role) for j, block in enumerate(message.content)]
        checked = {"role": "system" if message.role == "developer" else message.role, "content": blocks}
        if message.reasoning_content:
            checked["reasoning_content"] = message.reasoning_content
        return checked

    def block(self, field: str, block, role: str) -> dict:
        if block.type == "text":
            return {"type": "text", "text": block.text}
        if role != "user":
            raise FieldError(f"{field}.type", "only messages of the user take DNA")
        if block.type == "dna":
            return {"type": "dna", "dna": self.dna(f"{field}.dna", block.dna)}
        pair = self.dna(f"{field}.reference", block.reference), self.dna(f"{field}.variant", block.variant)
        reference, variant = cut_pair(field, pair, self.processor.dna_window)
        return {"type": "variant", "reference": reference, "variant": variant}

    def dna(self, field: str, sequence: str) -> str:
        if len(sequence) > self.limits.bases:
            raise FieldError(field, f"the sequence has {len(sequence)} bases, at most {self.limits.bases} are taken")
        self.lengths.append(len(sequence))
        if len(self.lengths) > self.limits.sequences:
            raise FieldError(field, f"the request has more than {self.limits.sequences} sequences")
        try:
            return normalize_dna(sequence)
        except ValueError as error:
            raise FieldError(field, str(error)) from error


def cut_pair(field: str, pair: Sequence[str], size: int) -> tuple[str, str]:
    """The windows of a reference and its variant, or a `FieldError` where none can be cut."""
    try:
        return variant_window(*pair, size)
    except ValueError as error:
        raise FieldError(field, str(error)) from error


def check_characters(request: ChatRequest, tokens: int) -> None:
    """Refuse more text than so many tokens can be."""
    texts = [block.text for message in request.messages for block in message.content if block.type == "text"]
    texts += [message.reasoning_content for message in request.messages if message.reasoning_content]
    written = sum(map(len, texts))
    if written > CHARACTERS * tokens:
        message = f"{written} characters of text are more than the {tokens} tokens of prompt and answer together"
        raise FieldError("messages", message)


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


def longest_answer(request: ChatRequest, prompt_tokens: int, tokens: int) -> int:
    """How many tokens the answer may have: what was asked for, or by default what there is room for."""
    room, given = tokens - prompt_tokens, {request.max_tokens, request.max_completion_tokens} - {None}
    if not given:
        return min(NEW_TOKENS, room)
    if len(given) > 1:
        message = f"max_tokens is {request.max_tokens} and max_completion_tokens {request.max_completion_tokens}"
        raise FieldError("max_tokens", f"{message}: they mean the same, give one")
    (longest,) = given
    if longest > room:
        field = "max_completion_tokens" if request.max_tokens is None else "max_tokens"
        raise FieldError(field, f"{longest} tokens after the {prompt_tokens} of the prompt are more than {tokens}")
    return longest


__all__ = ["Checks", "cut_pair", "read_embeddings", "read_question", "read_scores"]
