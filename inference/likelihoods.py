"""How likely a DNA language model takes a variant to be, against its reference. Nothing is trained."""

from collections.abc import Iterable

import torch

from textgenome.data.sequences import reverse_complement
from textgenome.inference.language_models import DNALanguageModel
from textgenome.processing.processing_dna import common_prefix, normalize_dna, variant_window


Pair = tuple[str, str]
DEFAULT_WINDOW = 8192
STRANDS = ("none", "average")


def score_variants(
    language_model: DNALanguageModel,
    pairs: Iterable[Pair],
    window: int | None = None,
    both_strands: str = "none",
    batch_size: int = 8,
) -> list[float | None]:
    """Log-likelihood ratios of variants to their references.

    Args:
        language_model: See `load_language_model`.
        pairs: Each a reference and its variant, of any length.
        window: Most bases of the windows that are cut around the difference, see `variant_window`. By default
            `default_window`.
        both_strands: `average` also scores the reverse complement, and takes the mean.
        batch_size: Pairs at a time.

    Returns:
        For each pair what `score_windows` returns.

    Raises:
        ValueError: If a sequence is not DNA, a pair is equal, or the window is longer than the model reads.
    """
    window = check_window(language_model, window)
    windows = [variant_window(*map(normalize_dna, pair), window) for pair in pairs]
    scores = []
    for start in range(0, len(windows), batch_size):
        scores += score_windows(language_model, windows[start : start + batch_size], window, both_strands)
    return scores


def default_window(language_model: DNALanguageModel) -> int:
    """8,192 bases, or what the model reads if that is less."""
    return min(DEFAULT_WINDOW, language_model.most_bases or DEFAULT_WINDOW)


def check_window(language_model: DNALanguageModel, window: int | None) -> int:
    """The window, or by default `default_window`.

    Raises:
        ValueError: If it is longer than the model reads.
    """
    most = language_model.most_bases
    if window is not None and most is not None and window > most:
        raise ValueError(
            f"A window of {window} bases is longer than {language_model.name} reads: choose at most {most}."
        )
    return window or default_window(language_model)


@torch.no_grad()
def score_windows(
    language_model: DNALanguageModel, pairs: list[Pair], window: int, both_strands: str = "none"
) -> list[float | None]:
    """Log-likelihood ratios of pairs that `variant_window` has cut, in one batch.

    A causal model gives the difference of the log-likelihoods of both windows. Tokens before the first changed one add
    nothing to it; tokens with N, and a first token that nothing comes before, are context only. A masked model reads
    the window once, with the changed tokens masked: the difference is that of the log-probabilities of these tokens.

    Args:
        language_model: See `load_language_model`.
        pairs: Windows in the letters A, C, G, T and N.
        window: Most bases of the windows they were cut to: it says which place in its token a variant has, where
            tokens hold several bases.
        both_strands: See `score_variants`.

    Returns:
        Natural logarithms, negative where the reference is more likely. None where a masked model cannot compare: the
        variant changes the number of tokens, as insertions and deletions do.
    """
    if both_strands not in STRANDS:
        raise ValueError(f"both_strands is {' or '.join(STRANDS)}, not {both_strands!r}.")
    strands = [pairs]
    if both_strands == "average":
        strands.append([tuple(map(reverse_complement, pair)) for pair in pairs])
    score = _score_causal if language_model.is_causal else _score_masked
    tokens = [[_tokens(language_model, pair, window) for pair in strand] for strand in strands]
    scores = score(language_model, [pair for strand in tokens for pair in strand])
    by_pair = zip(*(scores[i : i + len(pairs)] for i in range(0, len(scores), len(pairs))))
    return [None if None in each else sum(each) / len(each) for each in by_pair]


def _tokens(language_model: DNALanguageModel, pair: Pair, window: int) -> tuple[list[int], list[int]]:
    """The tokens of both windows. Where they hold several bases, some bases are cut off the start, so that a variant
    has the same place in its token at the end of a contig as elsewhere."""
    size = language_model.bases_per_token
    shift = (common_prefix(*pair) - (window - 1) // 2) % size
    if shift and common_prefix(*pair) > shift:
        pair = tuple(sequence[shift:] for sequence in pair)
    return tuple(language_model.tokenize(list(pair)))


def _score_causal(language_model: DNALanguageModel, pairs: list[tuple[list[int], list[int]]]) -> list[float]:
    distinct = {tuple(ids): None for pair in pairs for ids in pair}
    rows = {ids: row for row, ids in enumerate(distinct)}
    input_ids, attention_mask = language_model.pad([*map(list, rows)])
    log_probs = language_model.predict(input_ids, attention_mask)[:, :-1]
    targets = input_ids[:, 1:]
    scored = attention_mask[:, 1:].bool() & language_model.are_bases(targets)
    log_probs = log_probs.gather(-1, targets[..., None])[..., 0].double() * scored
    scores = []
    for reference, variant in pairs:
        first = max(common_prefix(reference, variant) - 1, 0)  # the target of that place is the first changed token
        ends = [log_probs[rows[tuple(ids)], first:].sum() for ids in (reference, variant)]
        scores.append((ends[1] - ends[0]).item())
    return scores


def _score_masked(language_model: DNALanguageModel, pairs: list[tuple[list[int], list[int]]]) -> list[float | None]:
    places = [i for i, (reference, variant) in enumerate(pairs) if len(reference) == len(variant)]
    scores = [None] * len(pairs)
    if not places:
        return scores
    reference, attention_mask = language_model.pad([pairs[i][0] for i in places])
    variant, _ = language_model.pad([pairs[i][1] for i in places])
    changed = reference != variant
    masked = reference.masked_fill(changed, language_model.tokenizer.mask_token_id)
    log_probs = language_model.predict(masked, attention_mask)
    scored = changed & language_model.are_bases(reference) & language_model.are_bases(variant)
    of_both = [log_probs.gather(-1, ids[..., None])[..., 0].double() for ids in (reference, variant)]
    for place, score in zip(places, ((of_both[1] - of_both[0]) * scored).sum(-1).tolist()):
        scores[place] = score
    return scores


__all__ = ["check_window", "default_window", "score_variants", "score_windows"]
