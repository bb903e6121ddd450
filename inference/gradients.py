"""Gradient times input: how a score would change if the embedding of a base shrank to nothing, to first order."""

import numpy as np
import torch
from transformers import PreTrainedModel

from textgenome.data.labels import REGRESSION, SEVERAL
from textgenome.inference.generation import evaluation_mode, prompt_inputs
from textgenome.inference.mutagenesis import Window
from textgenome.processing.processing_dna import tokenize_dna
from textgenome.processing.processing_textgenome import TextGenomeProcessor
from textgenome.processing.processing_textgenome_dna import TextGenomeDNAProcessor


SMALLEST = 1e-6  # added before the logarithm of a signal or a probability


def follow(
    model: PreTrainedModel,
    processor: TextGenomeProcessor,
    prompts: list[list[dict]],
    text: str,
    enable_thinking: bool,
    dna_inputs_embeds: torch.Tensor | None = None,
    odds: bool = False,
) -> torch.Tensor:
    """Natural logarithm of the probability that the model writes a text after each prompt, and ends its turn.

    Args:
        model: The fused model, in evaluation mode.
        processor: Its processor.
        prompts: Of one batch.
        text: With its think block, as `generate` returns it.
        enable_thinking: As in `generate`.
        dna_inputs_embeds: In place of the embeddings of the DNA.
        odds: Add up the logarithms of the odds of each token instead.

    Returns:
        `(prompts,)`, float32.
    """
    inputs = prompt_inputs(processor, prompts, enable_thinking).to(model.device)
    turn = processor.tokenizer(f"{text}<|im_end|>", add_special_tokens=False, return_tensors="pt")["input_ids"]
    turn = turn.to(model.device).expand(len(prompts), -1)
    mask = torch.cat([inputs.pop("attention_mask"), torch.ones_like(turn)], 1)
    ids = torch.cat([inputs.pop("input_ids"), turn], 1)
    embeds = {} if dna_inputs_embeds is None else {"dna_inputs_embeds": dna_inputs_embeds}
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    logits = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        use_cache=False,
        logits_to_keep=turn.shape[1] + 1,
        **inputs,
        **embeds,
    ).logits[:, :-1]
    return (log_odds(logits.float(), turn) if odds else _likelihoods(logits.float(), turn)).sum(1)


def _likelihoods(logits: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    return logits.log_softmax(-1).gather(-1, chosen[..., None])[..., 0]


def log_odds(logits: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Logarithm of the odds of the chosen class against all others, `(...)` of logits `(..., classes)`.

    Unlike the logarithm of its probability it has a gradient where the model is sure.
    """
    others = logits.scatter(-1, chosen[..., None], float("-inf"))
    return logits.gather(-1, chosen[..., None])[..., 0] - others.logsumexp(-1)


def gradient_of_text(
    model: PreTrainedModel,
    processor: TextGenomeProcessor,
    prompt: list[dict],
    text: str,
    enable_thinking: bool,
    window: Window,
) -> np.ndarray | None:
    """Of the log-odds of a text, see `follow`: `(bases,)` of the window that is walked along.

    Returns:
        None where the encoder takes no embeddings: see `encode_dna`.
    """
    inputs = prompt_inputs(processor, [prompt], enable_thinking).to(model.device)
    embeds = _embed(model, inputs["dna_input_ids"])
    if embeds is None:
        return None
    with evaluation_mode(model), torch.enable_grad():
        (score,) = follow(model, processor, [prompt], text, enable_thinking, embeds, odds=True)
        (gradient,) = torch.autograd.grad(score, embeds)
    return _by_base(gradient * embeds, inputs["dna_attention_mask"], processor, window)


def gradient_of_head(
    model: PreTrainedModel, processor: TextGenomeDNAProcessor, window: Window, output: int, place: int | None = None
) -> np.ndarray | None:
    """Of an output of a head: `(bases,)` of the window. Of the log-odds of a class or label, of the value of a
    regression, or of the logarithm of the mean signal of a track.

    Args:
        model: With a head on DNA.
        processor: Its processor.
        window: What it reads.
        output: The number of the class, label or track.
        place: Of a model that labels bases: which base, 0-based.

    Returns:
        None where the encoder takes no embeddings.
    """
    columns = ([sequence] for sequence in window.windows)
    inputs = processor(*columns, are_windows=True, return_tensors="pt").to(model.device)
    embeds = _embed(model, inputs["dna_input_ids"])
    if embeds is None:
        return None
    with evaluation_mode(model), torch.enable_grad():
        logits = model(**inputs, dna_inputs_embeds=embeds).logits[0].float()
        logits = logits if place is None else logits[place]
        if logits.dim() == 2:
            score = (logits.mean(0)[output] + SMALLEST).log()
        elif model.config.problem_type in (REGRESSION, SEVERAL) or len(logits) == 1:
            score = logits[output]
        else:
            score = log_odds(logits, torch.tensor(output, device=logits.device))
        (gradient,) = torch.autograd.grad(score, embeds)
    return _by_base(gradient * embeds, inputs["dna_attention_mask"], processor, window)


def _embed(model: PreTrainedModel, input_ids: torch.Tensor) -> torch.Tensor | None:
    """A leaf with the embeddings of tokens, `(batch, sequences, length, width)`; None where the encoder takes none."""
    try:
        embedding = model.base_model.dna_encoder.get_input_embeddings()
    except NotImplementedError:  # of encoders that read bases through a convolution, such as Borzoi
        return None
    averages = getattr(model.config.dna_config, "average_strands", False)
    if model.config.both_strands != "none" or averages or embedding is None:
        return None
    with torch.no_grad():
        embeds = embedding(input_ids)
    return embeds.detach().requires_grad_()


def _by_base(products: torch.Tensor, mask: torch.Tensor, processor, window: Window) -> np.ndarray:
    """The products of the sequence that is walked along, `(bases,)`: those of a token are shared by its bases."""
    values = products.detach()[0, window.along].sum(-1)[mask[0, window.along].bool()].float().cpu().numpy()
    sequence = window.windows[window.along]
    _, offsets = tokenize_dna(processor.dna_tokenizer, [sequence], offsets=True)
    found = np.zeros(len(sequence))
    for value, (start, end) in zip(values, offsets[0]):
        if end > start:
            found[start:end] += value / (end - start)
    return found


__all__ = ["SMALLEST", "follow", "gradient_of_head", "gradient_of_text"]
