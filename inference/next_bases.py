"""The next bases of sequences: how well a causal DNA model predicts them, and bases that it writes itself."""

import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import LogitsProcessor, LogitsProcessorList

from textgenome.data.tables import read_text, split_csv
from textgenome.genome.progress import by_batch
from textgenome.inference.language_models import DNALanguageModel
from textgenome.processing.processing_dna import normalize_dna


WRITTEN = "ACGT"  # what is generated; prompts may hold N


class Generated(NamedTuple):
    """What a model wrote after a prompt.

    Args:
        prompt: Number of the prompt, from 0.
        sample: Number of the sequence after this prompt, from 0.
        bases: The new bases, without the prompt.
        log_likelihood: Natural logarithm of their probability at temperature 1.
    """

    prompt: int
    sample: int
    bases: str
    log_likelihood: float

    @property
    def bits_per_base(self) -> float:
        return -self.log_likelihood / math.log(2) / len(self.bases)


def read_prompts(path: str | Path) -> list[str]:
    """The sequences in the first column of a CSV file, whose first line is a header.

    Raises:
        ValueError: If there are none, or one is not DNA; the message names the line.
    """
    sequences = []
    for number, (sequence, *_) in enumerate(list(split_csv(read_text(path)))[1:], start=2):
        try:
            sequences.append(normalize_dna(sequence))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
    if not sequences:
        raise ValueError(f"{path}: no sequences follow the header.")
    return sequences


def check_writes_bases(language_model: DNALanguageModel) -> None:
    """Raise ValueError for a model that does not write one base after the other."""
    if not language_model.is_causal:
        raise ValueError(
            f"{language_model.name} predicts masked tokens, not the next one. HyenaDNA, Evo2 and Genos do."
        )
    if language_model.bases_per_token > 1:
        raise ValueError(f"{language_model.name} has tokens of several bases: only single bases are predicted here.")


@torch.no_grad()
def measure_next_bases(language_model: DNALanguageModel, sequences: list[str]) -> tuple[float, float]:
    """Predict each base of sequences from those before it. Where the next letter is N, nothing is predicted.

    Args:
        language_model: Causal, of one token a base.
        sequences: Of two bases or more each, in the letters A, C, G, T and N.

    Returns:
        The mean over sequences of their mean cross-entropy in nats, and of their share of right bases.

    Raises:
        ValueError: If the model does not predict single bases, or there is nothing to predict.
    """
    check_writes_bases(language_model)
    losses, shares = [], []
    for sequence in sequences:
        ids, mask = language_model.pad(language_model.tokenize([sequence]))
        log_probs, targets = language_model.predict(ids, mask)[0, :-1], ids[0, 1:]
        known = language_model.are_bases(targets)
        if known.any():
            log_probs, targets = log_probs[known], targets[known]
            losses.append(-log_probs.gather(-1, targets[:, None]).mean().item())
            shares.append((log_probs.argmax(-1) == targets).float().mean().item())
    if not losses:
        raise ValueError("No bases to predict: each sequence needs at least two.")
    return sum(losses) / len(losses), sum(shares) / len(shares)


class BaseSampler(LogitsProcessor):
    """Leaves greedy decoding the base that is drawn, by the Gumbel trick (Gumbel, Natl. Bur. Stand., 1954).

    Each sequence has a generator of random numbers of its own: what is drawn for it does not depend on the others of
    its batch, nor on the device.

    Args:
        bases: Ids of the tokens to draw from.
        temperature: 0 takes the most likely base.
        seeds: One for each sequence.
    """

    def __init__(self, bases: list[int], temperature: float, seeds: list[int]):
        self.bases, self.temperature = bases, temperature
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        chosen = scores[:, self.bases].double()
        if self.temperature:
            draws = torch.stack([torch.rand(len(self.bases), generator=each).double() for each in self.generators])
            chosen = chosen / self.temperature - (-draws.clamp_min(1e-12).log()).log().to(scores.device)
        drawn = torch.full_like(scores, -torch.inf)
        drawn[:, self.bases] = chosen.to(scores.dtype)
        return drawn


def generate_bases(
    language_model: DNALanguageModel, prompts: list[str], num: int = 1, **options
) -> list[list[Generated]]:
    """Continue sequences by a causal model.

    Args:
        language_model: Causal, of one token a base.
        prompts: Sequences in the letters A, C, G, T and N.
        num: Sequences for each prompt.
        options: See `generate_batches`.

    Returns:
        For each prompt its sequences.
    """
    asked = [(prompt, sample) for prompt in range(len(prompts)) for sample in range(num)]
    found = [one for batch in generate_batches(language_model, prompts, asked, **options) for one in batch]
    return [[one for one in found if one.prompt == prompt] for prompt in range(len(prompts))]


@torch.no_grad()
def generate_batches(
    language_model: DNALanguageModel,
    prompts: list[str],
    asked: list[tuple[int, int]],
    length: int = 200,
    temperature: float = 1.0,
    seed: int = 0,
    batch_size: int = 8,
    use_cache: bool = True,
) -> Iterator[list[Generated]]:
    """Continue sequences, a batch at a time.

    Args:
        language_model: See `generate_bases`.
        prompts: See `generate_bases`.
        asked: Numbers of the prompt and of the sample of each sequence to generate.
        length: How many bases to write.
        temperature: The logits are divided by it; 0 takes the most likely base each time.
        seed: With the numbers of a sequence it says what is drawn for it.
        batch_size: Sequences at a time.
        use_cache: Whether models that can keep what they have read. It changes nothing but the time.

    Raises:
        ValueError: If the model does not predict single bases, or reads less than a prompt with its new bases.
    """
    check_writes_bases(language_model)
    for number, prompt in enumerate(prompts):
        check_prompt(language_model, f"Prompt {number}", len(prompt), length)
    bases = [ids[0] for ids in language_model.tokenize(list(WRITTEN))]
    tokenizer = language_model.tokenizer
    batches = [asked[start : start + batch_size] for start in range(0, len(asked), batch_size)]
    for batch in by_batch(batches, len(asked), "Generating", unit="sequence"):
        ids, mask = language_model.pad(language_model.tokenize([prompts[prompt] for prompt, _ in batch]), "left")
        seeds = [random.Random(f"{seed} {prompt} {sample}").getrandbits(63) for prompt, sample in batch]
        output = language_model.model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=length,
            do_sample=False,
            use_cache=use_cache,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=None,
            logits_processor=LogitsProcessorList([BaseSampler(bases, temperature, seeds)]),
            output_logits=True,
            return_dict_in_generate=True,
        )
        written = output.sequences[:, ids.shape[1] :]
        log_probs = torch.stack(output.logits, dim=1).double().log_softmax(-1)
        sums = log_probs.gather(-1, written[..., None].to(log_probs.device))[..., 0].sum(-1).tolist()
        letters = dict(zip(bases, WRITTEN))
        yield [
            Generated(*names, "".join(letters[token] for token in row), total)
            for names, row, total in zip(batch, written.tolist(), sums)
        ]


def check_prompt(language_model: DNALanguageModel, name: str, bases: int, length: int) -> None:
    """Raise ValueError if the model cannot read a prompt of so many bases with `length` new ones."""
    most = language_model.most_bases
    if most is not None and bases + length > most:
        raise ValueError(
            f"{name} has {bases} bases, with {length} new ones {bases + length}, but {language_model.name} reads at "
            f"most {most}. Give its last {max(most - length, 0)}, or generate fewer."
        )


__all__ = [
    "Generated",
    "check_prompt",
    "check_writes_bases",
    "generate_bases",
    "generate_batches",
    "measure_next_bases",
    "read_prompts",
]
