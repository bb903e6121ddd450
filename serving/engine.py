"""Answering questions: one thread owns the model, and what waits for it is answered in batches."""

import asyncio
import math
import time
import traceback
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from tokenizers.decoders import DecodeStream
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.utils import logging

from textgenome.inference.asking import open_fused
from textgenome.inference.generation import ends_of_turn, prompt_inputs
from textgenome.inference.predictions import join_processes
from textgenome.inference.scoring import score_batch
from textgenome.processing.processing_textgenome import TextGenomeProcessor
from textgenome.serving.limits import Limits


logger = logging.get_logger(__name__)


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked, checked and cut.

    Args:
        conversation: Messages with windows in place of whole sequences.
        prompt_tokens: How many tokens they are.
        max_tokens: Longest answer.
        temperature: 0 always takes the most likely token.
        top_p: Share to sample from; by default that of the model.
        seed: Of sampling.
        stop: Texts before which the answer ends.
        labels: Answers to score.
        enable_thinking: Whether to reason first.
        fingerprint: What a log may say of the content.
        sequences: How many there are.
        bases: How many they have together, as they came.
    """

    conversation: list[dict]
    prompt_tokens: int
    max_tokens: int
    temperature: float = 0
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    enable_thinking: bool = True
    fingerprint: str = ""
    sequences: int = 0
    bases: int = 0

    @property
    def kind(self) -> tuple:
        """Questions of one kind can share a batch. What a seed draws would change with the rows beside it."""
        sampling = (self.temperature, self.top_p, self.seed if self.seed is None else self) if self.temperature else ()
        return self.enable_thinking, self.labels, sampling


class QueueFull(Exception):
    """Too many questions wait. `retry_after` is in seconds."""

    def __init__(self, retry_after: int):
        super().__init__("Too many requests wait.")
        self.retry_after = retry_after


class ModelFailed(Exception):
    """The log says where."""

    def __init__(self):
        super().__init__("The model failed on this request.")


class Answer:
    """What becomes of a question. The thread of the model writes it, the event loop reads it.

    Attributes:
        text: As much as may be sent already.
        tokens: How many were generated, that which ends the turn included.
        ended: Why `text` is whole, `stop` or `length`, once it is.
        finish_reason: The same, once there are scores too.
        scores: Log-probabilities by label, if the question has any.
    """

    def __init__(self, question: Question):
        self.question = question
        self.text = ""
        self.tokens = 0
        self.ended: str | None = None
        self.finish_reason: str | None = None
        self.scores: dict[str, float] | None = None
        self.failed = False
        self.abandoned = False
        self.changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._ids: list[int] = []
        self._decoder = DecodeStream(skip_special_tokens=False)
        self._decoded = ""

    def add(self, token: int, tokenizer: PreTrainedTokenizerBase, ends: set[int]) -> bool:
        """Take one more token, unless the answer is whole or nobody waits for it. Returns whether that is so now."""
        if self.ended or self.abandoned:
            return True
        question, self.tokens = self.question, self.tokens + 1
        if token in ends:
            self._finish(tokenizer.decode(self._ids), "stop")
            return True
        self._ids.append(token)
        self._decoded += self._decoder.step(tokenizer.backend_tokenizer, token) or ""
        found = [place for stop in question.stop if (place := self._decoded.find(stop)) >= 0]
        if found:
            self._finish(self._decoded[: min(found)], "stop")
        elif self.tokens == question.max_tokens:
            self._finish(tokenizer.decode(self._ids), "length")
        else:
            self.text = hold_back(self._decoded, question.stop)
            self.notify()
        return self.ended is not None

    def _finish(self, text: str, reason: str) -> None:
        self.text, self.ended = text, reason
        if not self.question.labels:
            self.finish_reason = reason
        self.notify()

    def score(self, scores: dict[str, float]) -> None:
        self.scores, self.finish_reason = scores, self.ended
        self.notify()

    def fail(self) -> None:
        """Nothing more will come: unless the answer is whole, it has failed."""
        self.failed = self.finish_reason is None
        self.notify()

    def notify(self) -> None:
        self._loop.call_soon_threadsafe(self.changed.set)


def hold_back(text: str, marks: tuple[str, ...]) -> str:
    """The text without an end that may be the beginning of a mark."""
    longest = max(map(len, marks), default=1) - 1
    for length in range(min(longest, len(text)), 0, -1):
        if any(mark.startswith(text[-length:]) for mark in marks):
            return text[:-length]
    return text


class PublishTokens(StoppingCriteria):
    """Hands each row its token as soon as it is there, and ends the rows that are done."""

    def __init__(self, answers: list[Answer], tokenizer: PreTrainedTokenizerBase, ends: set[int]):
        self.answers, self.tokenizer, self.ends = answers, tokenizer, ends

    def __call__(self, input_ids: torch.LongTensor, scores, **kwargs) -> torch.BoolTensor:
        tokens = input_ids[:, -1].tolist()
        done = [answer.add(token, self.tokenizer, self.ends) for answer, token in zip(self.answers, tokens)]
        return torch.tensor(done, device=input_ids.device)


class Engine:
    """A model, the thread that owns it, and the questions that wait for it.

    Args:
        limits: What it takes on.
        model: The fused model, if it is loaded already; `load` loads one.
        processor: Its processor.

    Attributes:
    """

    def __init__(
        self,
        limits: Limits | None = None,
        model: PreTrainedModel | None = None,
        processor: TextGenomeProcessor | None = None,
    ):
        self.limits = limits or Limits()
        self.model = model
        self.processor = processor
        self.waiting: list[Answer] = []
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._batch_seconds = 1.0

    @property
    def ready(self) -> bool:
        return self.model is not None

    @property
    def tokens(self) -> int:
        """Of prompt and answer together, at most."""
        return min(self.limits.tokens, self.model.config.get_text_config().max_position_embeddings)

    async def load(self, name: str, revision: str = "main", dtype: str = "auto") -> None:
        """Load a model, a folder or a Hub id, while the event loop goes on."""

        def load_on_device() -> tuple[PreTrainedModel, TextGenomeProcessor]:
            checkpoint = open_fused(name, revision)
            return checkpoint.load(dtype).to(join_processes().device), checkpoint.processor

        self.model, self.processor = await asyncio.get_running_loop().run_in_executor(self._thread, load_on_device)

    async def run(self) -> None:
        """Answer what waits, batch after batch, until cancelled."""
        while True:
            await self._arrived.wait()
            batch = self._next_batch()
            if not batch:
                self._arrived.clear()
                continue
            started = time.monotonic()
            await asyncio.get_running_loop().run_in_executor(self._thread, self._answer, batch)
            self._batch_seconds = time.monotonic() - started

    async def ask(self, question: Question) -> AsyncIterator[Answer]:
        """Put a question in the queue.

        Yields:
            Its answer, empty as soon as it waits, and again whenever there is more of it.

        Raises:
            QueueFull: If too many wait already.
            TimeoutError: If the answer takes longer than allowed.
            ModelFailed: If the model did.
        """
        self.refuse_if_full()
        started, answer, outcome = asyncio.get_running_loop().time(), Answer(question), "abandoned"
        self.waiting.append(answer)
        self._arrived.set()
        try:
            while True:
                finished = answer.finish_reason
                yield answer
                if finished:
                    outcome = finished
                    return
                async with asyncio.timeout_at(started + self.limits.seconds):
                    await answer.changed.wait()
                answer.changed.clear()
                if answer.failed:
                    raise ModelFailed
        except (TimeoutError, ModelFailed) as error:
            outcome = type(error).__name__
            raise
        finally:
            answer.abandoned = True
            if answer in self.waiting:
                self.waiting.remove(answer)
            logger.info(
                f"question {question.fingerprint}: {question.sequences} sequences, {question.bases} bases, "
                f"{question.prompt_tokens} + {answer.tokens} tokens, {outcome}, "
                f"{asyncio.get_running_loop().time() - started:.2f} s"
            )

    def refuse_if_full(self) -> None:
        """Raise `QueueFull` if too many questions wait already."""
        if len(self.waiting) >= self.limits.queue:
            batches = len(self.waiting) / self.limits.batch_size
            raise QueueFull(math.ceil(batches * self._batch_seconds))

    def _next_batch(self) -> list[Answer]:
        """Take the question that waits longest, and others of its kind."""
        alike = [answer for answer in self.waiting if answer.question.kind == self.waiting[0].question.kind]
        batch = alike[: self.limits.batch_size]
        self.waiting = [answer for answer in self.waiting if answer not in batch]
        return batch

    def _answer(self, batch: list[Answer]) -> None:
        """Answer a batch. If it fails before the first token, each half is tried.

        Half of it may fit in memory, and a question that fails should not take others with it.
        """
        failed = False
        try:
            self._generate(batch)
        except Exception as error:
            failed = True
            # Without its message, which could hold what was asked.
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error(f"A batch of {len(batch)} failed with {type(error).__name__}:\n{where}")
        # Here the error is gone, and with it what its frames kept in memory.
        if failed and len(batch) > 1 and not any(answer.tokens for answer in batch):
            middle = len(batch) // 2
            self._answer(batch[:middle])
            self._answer(batch[middle:])
        for answer in batch:
            answer.fail()

    def _generate(self, batch: list[Answer]) -> None:
        model, processor, question = self.model, self.processor, batch[0].question
        conversations = [answer.question.conversation for answer in batch]
        options = {"do_sample": False, **dict.fromkeys(("temperature", "top_p", "top_k"))}
        if question.temperature:
            options = {"do_sample": True, "temperature": question.temperature}
            options |= {} if question.top_p is None else {"top_p": question.top_p}
        publish = PublishTokens(batch, processor.tokenizer, ends_of_turn(model, processor))
        # A seed is for this answer only: what is drawn after it stays unknown.
        with torch.random.fork_rng(enabled=question.seed is not None):
            if question.seed is not None:
                torch.manual_seed(question.seed)
            model.generate(
                **prompt_inputs(processor, conversations, question.enable_thinking).to(model.device),
                max_new_tokens=max(answer.question.max_tokens for answer in batch),
                stopping_criteria=StoppingCriteriaList([publish]),
                **options,
            )
        ended = [answer for answer in batch if answer.ended and question.labels]
        if ended:
            conversations = [answer.question.conversation for answer in ended]
            outputs = [answer.text for answer in ended]
            for answer, scores in zip(ended, score_batch(model, processor, conversations, question.labels, outputs)):
                answer.score(scores)


__all__ = ["Answer", "Engine", "ModelFailed", "Question", "QueueFull", "hold_back"]
