"""A batch of questions that are answered together, some tokens at a time, so that others come between."""

import time
from collections.abc import Callable

import torch
from torch.nn import functional as F
from transformers import PreTrainedModel, PreTrainedTokenizerBase, StoppingCriteria, StoppingCriteriaList

from textgenome.inference.generation import ends_of_turn, prompt_inputs
from textgenome.inference.prefill import read_apart
from textgenome.inference.scoring import label_likelihoods
from textgenome.modeling_cache import CACHE_NAME
from textgenome.processing.processing_textgenome import TextGenomeProcessor
from textgenome.serving.questions import Answer


class PublishTokens(StoppingCriteria):
    """Hands each row its token as soon as it is there, ends the rows that are done, and all of them for a pause.

    Attributes:
        paused: Whether it has ended all rows for a pause.
    """

    def __init__(
        self,
        answers: list[Answer],
        tokenizer: PreTrainedTokenizerBase,
        ends: set[int],
        is_pause: Callable[[int], bool],
    ):
        self.answers, self.tokenizer, self.ends, self.is_pause = answers, tokenizer, ends, is_pause
        self.steps, self.paused = 0, False

    def __call__(self, input_ids: torch.LongTensor, scores, **kwargs) -> torch.BoolTensor:
        tokens = input_ids[:, -1].tolist()
        done = [answer.add(token, self.tokenizer, self.ends) for answer, token in zip(self.answers, tokens)]
        self.steps += 1
        self.paused = not all(done) and self.is_pause(self.steps)
        return torch.tensor([self.paused or each for each in done], device=input_ids.device)


class Batch:
    """Questions of one kind, and how far their answers are.

    Args:
        answers: To the questions.
    """

    def __init__(self, answers: list[Answer]):
        self.answers, self.started = answers, time.monotonic()
        self._inputs = None  # for `generate`, once the prompts are read
        self._left = max(answer.question.max_tokens for answer in answers)

    @property
    def rows(self) -> int:
        """How many answers are not whole, of those that somebody waits for."""
        return sum(not (answer.ended or answer.abandoned) for answer in self.answers)

    def advance(self, model: PreTrainedModel, processor: TextGenomeProcessor, is_pause: Callable[[int], bool]) -> bool:
        """Read the prompts, or go on from where it paused.

        Args:
            model: The fused model.
            processor: Its processor.
            is_pause: Asked behind each token with the number of tokens since the start or the last pause. A question
                with a seed does not pause: others would draw from the same stream.

        Returns:
            Whether it paused. If not, all answers are whole that ever will be.
        """
        question = self.answers[0].question
        options = {"do_sample": False, **dict.fromkeys(("temperature", "top_p", "top_k"))}
        if question.temperature:
            options = {"do_sample": True, "temperature": question.temperature}
            options |= {} if question.top_p is None else {"top_p": question.top_p}
        if self._inputs is None:
            conversations = [answer.question.conversation for answer in self.answers]
            inputs = prompt_inputs(processor, conversations, question.enable_thinking).to(model.device)
            self._inputs = read_apart(model, inputs, **options)
        goes_through = question.seed is not None or model.generation_config.use_cache is False
        publish = PublishTokens(
            self.answers,
            processor.tokenizer,
            ends_of_turn(model, processor),
            (lambda _: False) if goes_through else is_pause,
        )
        # A seed is for this answer only: what is drawn after it stays unknown.
        with torch.random.fork_rng(enabled=question.seed is not None):
            if question.seed is not None:
                torch.manual_seed(question.seed)
            outputs = model.generate(
                **self._inputs,
                max_new_tokens=self._left,
                stopping_criteria=StoppingCriteriaList([publish]),
                return_dict_in_generate=True,
                **options,
            )
        if publish.paused:
            mask = F.pad(self._inputs["attention_mask"], (0, publish.steps), value=1)
            self._inputs = {"input_ids": outputs.sequences, "attention_mask": mask, CACHE_NAME: outputs[CACHE_NAME]}
            self._left -= publish.steps
            return True
        self._score(model, processor)
        return False

    def _score(self, model: PreTrainedModel, processor: TextGenomeProcessor) -> None:
        labels = self.answers[0].question.labels
        ended = [answer for answer in self.answers if answer.ended and labels]
        if ended:
            conversations = [answer.question.conversation for answer in ended]
            texts = [answer.text for answer in ended]
            likelihoods = label_likelihoods(model, processor, conversations, list(labels), texts).tolist()
            for answer, each in zip(ended, likelihoods):
                answer.score(dict(zip(labels, each)))


__all__ = ["Batch"]
