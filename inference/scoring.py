"""Ranking known labels without generation."""

from collections.abc import Iterator

import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from textgenome.inference.answers import before_answer
from textgenome.inference.generation import by_length, evaluation_mode, prompt_inputs
from textgenome.modeling_cache import CACHE_NAME
from textgenome.processing.processing_textgenome import TextGenomeProcessor
from textgenome.processing.reserved_tokens import ReservedTokenError, check_text


def score_labels(
    model: PreTrainedModel,
    processor: TextGenomeProcessor,
    conversations: list[list[dict]],
    labels: list[str],
    batch_size: int = 64,
    description: str | None = None,
    outputs: list[str] | None = None,
) -> Iterator[list[tuple[int, dict[str, float]]]]:
    """How likely is each label as the answer?

    Args:
        model: The fused model.
        processor: Its processor.
        conversations: What is asked.
        labels: Answers to choose from.
        batch_size: Rows at a time.
        description: Of the progress bar.
        outputs: What the model wrote to each, see `score_batch`.

    Yields:
        For each of a batch: its place in `conversations`, and what `score_batch` returns for it.

    Raises:
        ValueError: If a label holds a reserved token, such as the end of a turn.
    """
    check_labels(labels, processor)
    with evaluation_mode(model):
        for places in tqdm(by_length(conversations, batch_size), desc=description, unit="batch", disable=None):
            written = outputs and [outputs[i] for i in places]
            scores = score_batch(model, processor, [conversations[i] for i in places], labels, written)
            yield list(zip(places, scores))


def check_labels(labels: list[str], processor: TextGenomeProcessor) -> None:
    """Raise `ValueError` for a label that holds a reserved token, such as the end of a turn."""
    for label in labels:
        try:
            check_text(label, processor.tokenizer)
        except ReservedTokenError as error:
            raise ValueError(f"The label {label!r} cannot be scored: {error}") from error


@torch.no_grad()
def score_batch(
    model: PreTrainedModel,
    processor: TextGenomeProcessor,
    conversations: list[list[dict]],
    labels: list[str],
    outputs: list[str] | None = None,
) -> list[dict[str, float]]:
    """Score labels for conversations that are a batch, with a model that does not train.

    Each prompt is encoded once; the labels continue from its cache.

    Args:
        model: The fused model.
        processor: Its processor.
        conversations: What is asked.
        labels: Answers to choose from.
        outputs: What the model wrote to each: a label then stands in the place of the answer, behind the reasoning. By
            default, and where there is no answer, it is given at once.

    Returns:
        For each conversation, by label the log-probability among the labels, from the likelihood of all tokens of the
        label behind `Answer:`, and of the end of the turn.
    """
    reasonings = [before_answer(output) for output in outputs] if outputs else [""] * len(conversations)
    begun = [
        [*conversation, {"role": "assistant", "content": f"{reasoning}Answer:"}]
        for conversation, reasoning in zip(conversations, reasonings)
    ]
    inputs = prompt_inputs(processor, begun, continue_final_message=True).to(model.device)
    mask = inputs["attention_mask"]
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    prompt = model(**inputs, position_ids=positions, use_cache=True, logits_to_keep=1)
    cache = prompt[CACHE_NAME]
    scores = []
    for label in labels:
        turn = processor.tokenizer(f" {label}<|im_end|>", add_special_tokens=False, return_tensors="pt")
        ids = turn["input_ids"].to(mask.device).expand(len(conversations), -1)
        given = ids[:, :-1]
        steps = torch.arange(1, given.shape[1] + 1, device=mask.device)
        answer = model(
            input_ids=given,
            attention_mask=torch.cat([mask, torch.ones_like(given)], dim=1),
            position_ids=positions[:, -1:] + steps,
            cache=cache,
        )
        logits = torch.cat([prompt.logits, answer.logits], dim=1).float().log_softmax(-1)
        scores.append(logits.gather(-1, ids[..., None]).sum((1, 2)))
        cache.crop(-given.shape[1])
    likelihoods = torch.stack(scores, dim=1).log_softmax(-1).tolist()
    return [dict(zip(labels, row)) for row in likelihoods]


__all__ = ["check_labels", "score_batch", "score_labels"]
