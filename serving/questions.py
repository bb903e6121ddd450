"""A question, and the answer that the thread of the model writes and the event loop reads."""

import asyncio
from dataclasses import dataclass

from tokenizers.decoders import DecodeStream
from transformers import PreTrainedTokenizerBase

from textgenome.serving.reasoning import content_start, hold_back


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
        stop: Texts before which the answer ends; the reasoning may hold them.
        labels: Answers to score.
        enable_thinking: Whether to reason first.
        stream: Whether the answer is sent as it grows.
        include_usage: Whether a stream ends with the number of tokens.
        fingerprint: What a log may say of the content.
        size: Bytes that it holds while it waits.
        sequences: How many there are.
        bases: How many they have together, as they came.
        without_dna: The same without DNA, for scores of labels to be seen beside; None where there are no labels.
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
    stream: bool = False
    include_usage: bool = False
    fingerprint: str = ""
    size: int = 0
    sequences: int = 0
    bases: int = 0
    without_dna: "Question | None" = None

    @property
    def kind(self) -> tuple:
        """Questions of one kind can share a batch. What a seed draws would change with the rows beside it."""
        sampling = (self.temperature, self.top_p, self.seed if self.seed is None else self) if self.temperature else ()
        return self.enable_thinking, self.labels, sampling


class Answer:
    """What becomes of a question. The thread of the model writes it, the event loop reads it.

    Attributes:
        text: As much as may be sent already.
        tokens: How many were generated, that which ends the turn included.
        ended: Why `text` is whole, `stop` or `length`, once it is.
        finish_reason: The same, once there are scores too.
        scores: By label the logarithm of its likelihood, if the question has any.
        without_dna: The answer to the question without DNA, for its scores.
        failed: Whether the model failed before it was whole.
        abandoned: Whether nobody waits for it any more.
        changed: Set whenever there is more of it.
    """

    def __init__(self, question: Question, compared_with: "Answer | None" = None):
        self.question = question
        self._compared_with = compared_with
        self.without_dna = Answer(question.without_dna, self) if question.without_dna else None
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
        self.tokens += 1
        if token in ends:
            self._finish(tokenizer.decode(self._ids), "stop")
            return True
        self._ids.append(token)
        self._decoded += self._decoder.step(tokenizer.backend_tokenizer, token) or ""
        stops = self.question.stop
        start = content_start(self._decoded) if stops else None
        found = [] if start is None else [self._decoded.find(stop, start) for stop in stops]
        found = [place for place in found if place >= 0]
        if found:
            self._finish(self._decoded[: min(found)], "stop")
        elif self.tokens == self.question.max_tokens:
            self._finish(tokenizer.decode(self._ids), "length")
        else:
            start = len(self._decoded) if start is None else start
            self.text = self._decoded[:start] + hold_back(self._decoded[start:], stops)
            self.notify()
        return self.ended is not None

    def _finish(self, text: str, reason: str) -> None:
        self.text, self.ended = text, reason
        if not self.question.labels:
            self.finish_reason = reason
        self.notify()

    @property
    def all(self) -> list["Answer"]:
        """This answer, and that to the question without DNA if there is one."""
        return [self, *([self.without_dna] if self.without_dna else [])]

    def score(self, scores: dict[str, float]) -> None:
        self.scores = scores
        (self._compared_with or self)._finish_scored()

    def _finish_scored(self) -> None:
        if all(each.scores is not None for each in self.all):
            self.finish_reason = self.ended
            self.notify()

    def fail(self) -> None:
        """Nothing more will come of its batch: unless the answer is whole, it has failed.

        An answer whose comparison alone has failed goes on without it.
        """
        if self.ended is not None and (not self.question.labels or self.scores is not None):
            return
        if self._compared_with:
            self._compared_with.without_dna = None
            self._compared_with._finish_scored()
        else:
            self.failed = True
            self.notify()

    def notify(self) -> None:
        self._loop.call_soon_threadsafe(self.changed.set)


__all__ = ["Answer", "Question"]
