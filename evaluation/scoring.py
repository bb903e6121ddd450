"""Ranking known labels without generation."""

from collections.abc import Iterator

import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from textgenome.evaluation.generation import by_length, prompt_inputs
from textgenome.processing.processing_textgenome import TextGenomeProcessor


def score_labels(
    model: PreTrainedModel,
    processor: TextGenomeProcessor,
    conversations: list[list[dict]],
    labels: list[str],
    batch_size: int = 64,
    description: str = "Scoring",
) -> Iterator[list[tuple[int, dict[str, float]]]]:
    """How likely is each label as the whole answer, given at once, without reasoning?

    Args:
        model: The fused model.
        processor: Its processor.
        conversations: Each ends where the assistant is to speak.
        labels: The answers to choose from, at least one.
        batch_size: Conversations at a time.
        description: Of the progress bar.

    Yields:
        For each of a batch: its place in `conversations`, and what `score_batch` returns for it.
    """
    was_training = model.training
    model.eval()
    for places in tqdm(by_length(conversations, batch_size), desc=description, unit="batch", disable=None):
        yield list(zip(places, score_batch(model, processor, [conversations[i] for i in places], labels)))
    model.train(was_training)


@torch.no_grad()
def score_batch(
    model: PreTrainedModel, processor: TextGenomeProcessor, conversations: list[list[dict]], labels: list[str]
) -> list[dict[str, float]]:
    """Score labels for conversations that are a batch, with a model that does not train.

    Each prompt is encoded once; the labels continue from its cache.

    Returns:
        For each conversation, by label the log-probability among the labels, from the likelihood of all tokens of
        `Answer: <label>` and the end of the turn.
    """
    inputs = prompt_inputs(processor, conversations, False).to(model.device)
    mask = inputs["attention_mask"]
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    prompt = model(**inputs, position_ids=positions, use_cache=True, logits_to_keep=1)
    cache = prompt.past_key_values
    scores = []
    for label in labels:
        turn = processor.tokenizer(f"Answer: {label}<|im_end|>", add_special_tokens=False, return_tensors="pt")
        ids = turn["input_ids"].to(mask.device).expand(len(conversations), -1)
        given = ids[:, :-1]
        steps = torch.arange(1, given.shape[1] + 1, device=mask.device)
        answer = model(
            input_ids=given,
            attention_mask=torch.cat([mask, torch.ones_like(given)], dim=1),
            position_ids=positions[:, -1:] + steps,
            past_key_values=cache,
        )
        logits = torch.cat([prompt.logits, answer.logits], dim=1).float().log_softmax(-1)
        scores.append(logits.gather(-1, ids[..., None]).sum((1, 2)))
        cache.crop(-given.shape[1])
    likelihoods = torch.stack(scores, dim=1).log_softmax(-1).tolist()
    return [dict(zip(labels, row)) for row in likelihoods]


__all__ = ["score_batch", "score_labels"]
