"""Answering questions: one thread owns the model, and what waits for it is answered in batches."""

import asyncio
import gc
import math
import time
import traceback
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

from transformers import PreTrainedModel, ProcessorMixin
from transformers.utils import logging

from textgenome.inference.checkpoints import open_checkpoint
from textgenome.inference.generation import most_positions
from textgenome.inference.predicting import WINDOW_POOLINGS
from textgenome.inference.predictions import join_processes
from textgenome.serving.batches import Batch
from textgenome.serving.jobs import Job, Steps
from textgenome.serving.limits import Budget, Limits, QueueFull
from textgenome.serving.metrics import Metrics
from textgenome.serving.questions import Answer, Question
from textgenome.serving.tasks import ANSWERS, task_of


logger = logging.get_logger(__name__)

BATCHES = 4  # at a time: each more makes them smaller, and the steps of small batches are no cheaper
TURN = 16  # tokens that a batch writes before the next one, or a job, has its turn


class ModelFailed(Exception):
    """The log says where."""

    def __init__(self):
        super().__init__("The model failed on this request.")


class Engine:
    """A model, the thread that owns it, and the questions that wait for it.

    Args:
        limits: What it takes on.
        model: A fused model, or one with a head, if it is loaded already; `load` loads one.
        processor: Its processor.

    Attributes:
        waiting: Answers to questions that no batch has taken yet.
        batches: What is answered now, in turn: that which has its turn first.
        jobs: How many jobs wait or run.
        budget: What requests hold while they are read or wait.
        metrics: What is counted.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        model: PreTrainedModel | None = None,
        processor: ProcessorMixin | None = None,
    ):
        self.limits = limits or Limits()
        self.model = model
        self.processor = processor
        self.waiting: list[Answer] = []
        self.batches: list[Batch] = []
        self.jobs = 0
        self.budget = Budget(self.limits.waiting_bytes)
        self.metrics = Metrics()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._batch_seconds = 1.0

    @property
    def ready(self) -> bool:
        return self.model is not None

    @property
    def writes_text(self) -> bool:
        """Whether the model answers questions; else it has a head."""
        return task_of(self.model) == ANSWERS

    @property
    def running(self) -> int:
        """How many questions are answered now."""
        return sum(batch.rows for batch in self.batches)

    @property
    def tokens(self) -> int:
        """Of prompt and answer together, at most."""
        return min(self.limits.tokens, most_positions(self.model.config))

    async def load(self, name: str, revision: str = "main", dtype: str = "auto") -> None:
        """Load a model, a folder or a Hub id, while the event loop goes on.

        Raises:
            OSError: If there is no such model.
            ValueError: If it is one that predicts expression, which takes the genome and the variants of people.
        """

        def load_on_device() -> tuple[PreTrainedModel, ProcessorMixin]:
            checkpoint = open_checkpoint(name, revision)
            if getattr(checkpoint.config, "pooling", None) in WINDOW_POOLINGS:
                raise ValueError(f"{name} predicts expression, which is not served: use `textgenome predict`.")
            return checkpoint.load(dtype).to(join_processes().device), checkpoint.processor

        self.model, self.processor = await asyncio.get_running_loop().run_in_executor(self._thread, load_on_device)
        # What is there now stays. The garbage collector would go through all of it again and again, with everything
        # else waiting, whenever a request of many small values is read.
        gc.collect()
        gc.freeze()

    async def run(self) -> None:
        """Answer what waits, in batches that take turns, until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self.waiting or self.batches:
                if self._may_start():
                    self.batches.insert(0, Batch(self._next_batch()))
                batch = self.batches[0]
                left = await asyncio.get_running_loop().run_in_executor(self._thread, self._advance, batch)
                self.batches = [*self.batches[1:], *left]
                if batch not in left:
                    self._batch_seconds = time.monotonic() - batch.started

    def _may_start(self) -> bool:
        """Whether what waits may start now, beside what runs: not in batches too small to be worth a step."""
        if not self.waiting or not self.batches:
            return bool(self.waiting)
        least = max(1, min(len(self.waiting), self.limits.batch_size // BATCHES))
        return len(self.batches) < BATCHES and self.limits.batch_size - self.running >= least

    def _is_pause(self, steps: int) -> bool:
        """Whether the batch that has its turn pauses now, so many tokens behind its last pause."""
        return self._may_start() or (len(self.batches) + self.jobs > 1 and steps >= TURN)

    async def ask(self, question: Question) -> AsyncIterator[Answer]:
        """Put a question in the queue.

        Yields:
            Its answer, empty as soon as it waits, and again whenever there is more of it.

        Raises:
            QueueFull: If too many wait already, or hold too much.
            TimeoutError: If the answer takes longer than allowed.
            ModelFailed: If the model did.
        """
        self.refuse_if_full()
        with self.budget.share() as share:
            share.resize(question.size)
            answer = Answer(question)
            self.waiting += answer.all
            self._arrived.set()
            try:
                async with aclosing(self._follow(answer)) as growing:
                    async for each in growing:
                        yield each
            finally:
                for each in answer.all:
                    each.abandoned = True
                    if each in self.waiting:
                        self.waiting.remove(each)

    async def _follow(self, answer: Answer) -> AsyncIterator[Answer]:
        """An answer as it grows; at its end it is logged and counted, however it ends."""
        now, question, outcome, first = asyncio.get_running_loop().time, answer.question, "abandoned", True
        started = now()
        try:
            while True:
                finished = answer.finish_reason
                if answer.tokens and first:
                    self.metrics.first_token_seconds.observe(now() - started)
                    first = False
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
            outcome = "timed_out" if isinstance(error, TimeoutError) else "failed"
            raise
        finally:
            seconds = now() - started
            self.metrics.count_answer(outcome, question.prompt_tokens, answer.tokens, seconds)
            logger.info(
                f"question {question.fingerprint}: {question.sequences} sequences, {question.bases} bases, "
                f"{question.prompt_tokens} + {answer.tokens} tokens, {outcome}, {seconds:.2f} s"
            )

    async def work(self, job: Job) -> list:
        """Compute a job, a step at each of its turns with the batches of questions and other jobs.

        Raises:
            QueueFull: If too many questions and jobs wait already, or hold too much.
            TimeoutError: If it takes longer than allowed.
            ModelFailed: If the model did.
        """
        self.refuse_if_full()
        started, outcome = time.monotonic(), "abandoned"
        self.jobs += 1
        try:
            with self.budget.share() as share:
                share.resize(job.size)
                async with asyncio.timeout(self.limits.seconds):
                    found = await self._take_steps(job)
            outcome = "done"
            return found
        except (TimeoutError, ModelFailed) as error:
            outcome = "timed_out" if isinstance(error, TimeoutError) else "failed"
            raise
        finally:
            self.jobs -= 1
            self.metrics.count_job(job.name, outcome, job.tokens)
            logger.info(
                f"{job.name}: {job.sequences} sequences, {job.bases} bases, {job.tokens} tokens, {outcome}, "
                f"{time.monotonic() - started:.2f} s"
            )

    async def _take_steps(self, job: Job) -> list:
        """The thread of the model does what waits in the order in which it came: between steps, that is all else."""
        steps, found = job.steps(self.model, self.processor, self.limits), None
        try:
            while found is None:
                found = await asyncio.get_running_loop().run_in_executor(self._thread, self._take_step, job, steps)
            return found
        finally:
            self._thread.submit(steps.close)

    def _take_step(self, job: Job, steps: Steps) -> list | None:
        """What the job found, if this was its last step."""
        try:
            return next(steps)
        except StopIteration as end:
            return end.value
        except Exception as error:
            log_failure(job.name, error)
        raise ModelFailed  # not from the error, which could hold what was asked

    def refuse_if_full(self) -> None:
        """Raise `QueueFull` if too many questions and jobs wait already."""
        if len(self.waiting) + self.jobs >= self.limits.queue:
            batches = len(self.waiting) / self.limits.batch_size + self.jobs
            raise QueueFull("Too many requests wait.", math.ceil(batches * self._batch_seconds))

    def _next_batch(self) -> list[Answer]:
        """Take the question that waits longest, and others of its kind."""
        alike = [answer for answer in self.waiting if answer.question.kind == self.waiting[0].question.kind]
        batch = alike[: max(1, self.limits.batch_size - self.running)]
        self.waiting = [answer for answer in self.waiting if answer not in batch]
        return batch

    def _advance(self, batch: Batch) -> list[Batch]:
        """Give a batch its turn. If it fails before the first token, each half is tried.

        Half of it may fit in memory, and a question that fails should not take others with it.

        Returns:
            What of it goes on.
        """
        failed = False
        try:
            if batch.advance(self.model, self.processor, self._is_pause):
                return [batch]
        except Exception as error:
            failed = True
            log_failure(f"A batch of {len(batch.answers)}", error)
        # Here the error is gone, and with it what its frames kept in memory.
        answers = batch.answers
        if failed and len(answers) > 1 and not any(answer.tokens for answer in answers):
            middle = len(answers) // 2
            return [Batch(answers[:middle]), Batch(answers[middle:])]
        for answer in answers:
            answer.fail()
        return []


def log_failure(what: str, error: Exception) -> None:
    """Log where something failed, without the message of the error, which could hold what was asked."""
    where = "".join(traceback.format_tb(error.__traceback__))
    logger.error(f"{what} failed with {type(error).__name__}:\n{where}")


__all__ = ["Engine", "ModelFailed", "log_failure"]
