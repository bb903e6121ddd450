"""DNA as text: checking sequences, cutting a pair of them around its variant, and tokenizing them."""

import re
from functools import lru_cache
from itertools import product

from transformers import PreTrainedTokenizerBase
from transformers.utils import logging


logger = logging.get_logger(__name__)

DNA_WINDOW = 2048  # bases of a window by default: 1,024 on either side, as in BioReason (arXiv 2505.23579)
BASES = "ACGTN"
# Input is upper-cased, U becomes T, ambiguity codes of IUPAC (Nucleic Acids Res. 13:3021, 1985) become N.
_FOLD = str.maketrans("acgtunrywskmbdhvURYWSKMBDHV", "ACGTTNNNNNNNNNNNTNNNNNNNNNN")
_SEVERAL_BASES = re.compile(rf"[{BASES}]{{2}}", re.IGNORECASE)
_NOT_DNA = re.compile(r"[^ACGTUNRYWSKMBDHVacgtunrywskmbdhv\s]")


def normalize_dna(sequence: str) -> str:
    """Bring a DNA (or RNA) sequence to the letters A, C, G, T and N.

    Input is upper-cased, whitespace removed, U becomes T, and the ambiguity codes of IUPAC become N.

    Raises:
        TypeError: If `sequence` is not a string.
        ValueError: If it is empty, or holds anything else; the message names the character and its position in
            the string as it was given, counted from 1.
    """
    if not isinstance(sequence, str):
        raise TypeError(f"A DNA sequence must be a string, got {type(sequence).__name__}.")
    if sequence and sequence.isascii():  # as most are: this takes a tenth of the time
        others = sequence.encode().translate(None, BASES.encode())
        if not others:
            return sequence
        if not others.translate(None, BASES.lower().encode()):
            return sequence.upper()  # genomes mark repeats by lower case
    wrong = _NOT_DNA.search(sequence)
    if wrong:
        raise ValueError(f"The character {wrong.group()!r} at position {wrong.start() + 1} of the DNA is not a base.")
    folded = "".join(sequence.split()).translate(_FOLD)
    if not folded:
        raise ValueError("The DNA sequence is empty.")
    return folded


def common_prefix(first: str | list, second: str | list) -> int:
    """How many items two sequences start with alike."""
    low, high = 0, min(len(first), len(second))
    if first[:1] != second[:1]:
        return 0
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def common_ends(first: str | list, second: str | list) -> tuple[int, int]:
    """How many items two sequences start with alike, and how many of the rest they end with alike."""
    start = common_prefix(first, second)
    return start, common_prefix(first[start:][::-1], second[start:][::-1])


def variant_window(reference: str, variant: str, size: int) -> tuple[str, str]:
    """Cut a reference and its variant to windows around the place where they differ.

    The changed segment is what remains between the longest common prefix and the then longest common suffix. The
    prefix is taken first, so a change inside a repeat is placed at the right-most of its equivalent positions. Both
    windows have the same flanks, as equal in length as the ends of the sequences allow. A change longer than the
    window is cut: its start stays in the middle, and a warning is logged.

    Args:
        reference: The reference sequence, of any length.
        variant: The same stretch with the variant, of any length.
        size: Most bases of a window.

    Returns:
        The window of the reference and that of the variant, in the letters A, C, G, T and N.

    Raises:
        ValueError: If a sequence is not DNA, if both are equal, or if `size` is too small for windows that differ.
    """
    reference, variant = normalize_dna(reference), normalize_dna(variant)
    if size < 1:
        raise ValueError(f"The window must hold at least one base, got {size}.")
    if reference == variant:
        raise ValueError("The reference and the variant are equal: there is no variant to show.")
    if max(len(reference), len(variant)) <= size:
        return reference, variant
    start, suffix = common_ends(reference, variant)
    reference_end, variant_end = len(reference) - suffix, len(variant) - suffix
    longest = max(reference_end, variant_end) - start

    left = max(0, start - size // 2)
    start_of_change = reference[left : left + size], variant[left : left + size]
    if longest > size:
        windows = start_of_change
        logger.warning_once(
            f"A change of {longest} bases is longer than the window of {size}: the windows show where it starts."
        )
    else:
        spare = size - longest
        left_flank = min(start, max(spare // 2, spare - suffix))
        right_flank = min(suffix, spare - left_flank)
        windows = (
            reference[start - left_flank : reference_end + right_flank],
            variant[start - left_flank : variant_end + right_flank],
        )
        # An insertion or deletion that fills its window leaves the other one no flank: that shows where it happens.
        windows = tuple(window or other for window, other in zip(windows, start_of_change))
    if windows[0] == windows[1] or not all(windows):
        raise ValueError(f"A window of {size} bases is too small to show this variant.")
    return windows


def tokenize_dna(
    dna_tokenizer: PreTrainedTokenizerBase, sequences: list[str], offsets: bool = False, **kwargs
) -> tuple[list[list[int]], list[list[tuple[int, int]]] | None]:
    """Tokenize sequences that `normalize_dna` has seen.

    Args:
        dna_tokenizer: Of the DNA encoder.
        sequences: In the letters A, C, G, T and N.
        offsets: Whether to say which bases each token covers.
        kwargs: For the tokenizer.

    Returns:
        The token ids of each sequence and, if asked for, where in it each token starts and ends.

    Raises:
        ValueError: If a sequence has more tokens than the encoder reads.
    """
    table = None if kwargs else _base_ids(dna_tokenizer)
    if table is not None:
        encoded = [list(sequence.encode().translate(table)) for sequence in sequences]
        places = [[(i, i + 1) for i in range(len(ids))] for ids in encoded] if offsets else None
    else:
        batch = dna_tokenizer(sequences, return_attention_mask=False, return_offsets_mapping=offsets, **kwargs)
        encoded, places = batch["input_ids"], batch.get("offset_mapping")
    for ids, sequence in zip(encoded, sequences):
        _check_length(len(sequence), len(ids), dna_tokenizer.model_max_length)
    return encoded, places


def min_tokens(dna_tokenizer: PreTrainedTokenizerBase, bases: int) -> int:
    """Fewest tokens that so many bases can be, without tokenizing them."""
    return -(-bases // longest_token(dna_tokenizer))


@lru_cache(maxsize=8)
def longest_token(dna_tokenizer: PreTrainedTokenizerBase) -> int:
    """Bases of the longest token."""
    tokens = set(dna_tokenizer.get_vocab()).difference(dna_tokenizer.all_special_tokens)
    return max(1, *(sum(letter in BASES for letter in token.upper()) for token in tokens))


def token_spans(offsets: list[tuple[int, int]]) -> list[int]:
    """How many bases each token covers, of where it starts and ends: 0 for one that the tokenizer added."""
    return [end - start for start, end in offsets]


@lru_cache(maxsize=8)
def _base_ids(dna_tokenizer: PreTrainedTokenizerBase) -> bytes | None:
    """The id of each base at its code in ASCII, if the tokenizer makes of any DNA one small id a base, else None.

    Looking ids up takes a hundredth of the time. Whether that may be is asked of the tokenizer: it must know no token
    of several bases, and give the same for all words of five bases in a row.
    """
    if has_several_bases(dna_tokenizer):
        return None
    words = "".join(map("".join, product(BASES, repeat=5)))
    single = dna_tokenizer(list(BASES))["input_ids"]
    if any(len(i) != 1 or i[0] > 255 for i in single):
        return None
    table = bytes.maketrans(BASES.encode(), bytes(ids[0] for ids in single))
    ids = dna_tokenizer(words, verbose=False)["input_ids"]
    return table if ids == list(words.encode().translate(table)) else None


def has_several_bases(dna_tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a tokenizer knows tokens of several bases."""
    return any(map(_SEVERAL_BASES.search, dna_tokenizer.get_vocab()))


def complement_map(dna_tokenizer: PreTrainedTokenizerBase) -> dict[int, int]:
    """The id of the token of each base, and that of its complement: A and T, C and G, N and N.

    Raises:
        ValueError: If the tokenizer has tokens of several bases, which no reverse complement lines up with.
    """
    if has_several_bases(dna_tokenizer):
        raise ValueError(
            "both_strands needs a DNA tokenizer with a token for each base: tokens of several bases are cut at other "
            "places in the reverse complement."
        )
    encoded, offsets = tokenize_dna(dna_tokenizer, list(BASES), offsets=True)
    ids = [token for row, spans in zip(encoded, offsets) for token, span in zip(row, token_spans([*spans])) if span]
    complements = dict(zip(BASES, "TGCAN"))
    by_base = dict(zip(BASES, ids))
    return {by_base[base]: by_base[complements[base]] for base in BASES}


def check_tokens(dna_tokenizer: PreTrainedTokenizerBase, sequences: tuple[str, ...]) -> None:
    """Check that the encoder reads sequences of this length, and that the tokens of a pair differ.

    Where each base is a token, only lengths and ids are looked at.

    Args:
        dna_tokenizer: Of the DNA encoder.
        sequences: One, or a reference and its variant, in the letters A, C, G, T and N.

    Raises:
        ValueError: If a sequence has more tokens than the encoder reads, or the tokens of a pair are equal.
    """
    table = _base_ids(dna_tokenizer)
    if table is None:
        encoded, _ = tokenize_dna(dna_tokenizer, list(sequences))
    else:
        for sequence in sequences:
            _check_length(len(sequence), len(sequence), dna_tokenizer.model_max_length)
        encoded = [sequence.encode().translate(table) for sequence in sequences]
    if len(encoded) == 2:
        check_tokens_differ(*encoded)


def _check_length(bases: int, tokens: int, limit: int) -> None:
    if tokens > limit:
        raise ValueError(
            f"the DNA of {bases} bases has {tokens} tokens, but the encoder reads at most {limit}: lower dna_window, "
            "or give shorter sequences"
        )


def check_tokens_differ(reference: list[int] | bytes, variant: list[int] | bytes) -> None:
    """Raise a `ValueError` if the tokens of a pair are equal: to a tokenizer, different bases may be one token."""
    if reference == variant:
        raise ValueError("Reference and variant have equal DNA tokens: the model would see no variant.")


def truncate_dna(example: dict, truncate_dna_per_side: int = 1024) -> dict:
    """Cut the ends of a pair without looking for the variant, as BioReason's data preparation documents it.

    Both sequences, `reference_sequence` and `variant_sequence`, lose the same number of bases at either end:
    `truncate_dna_per_side`, or a quarter of the shorter sequence if that has no more than twice as many.

    Returns:
        A copy of `example` with the shorter sequences, in the letters A, C, G, T and N.

    Raises:
        ValueError: If a sequence is not DNA.
    """
    pair = {column: normalize_dna(example[column]) for column in ("reference_sequence", "variant_sequence")}
    shorter = min(map(len, pair.values()))
    cut = truncate_dna_per_side if shorter > 2 * truncate_dna_per_side else shorter // 4
    return {**example, **{column: sequence[cut : len(sequence) - cut] for column, sequence in pair.items()}}


__all__ = [
    "DNA_WINDOW",
    "check_tokens",
    "check_tokens_differ",
    "common_ends",
    "common_prefix",
    "complement_map",
    "longest_token",
    "min_tokens",
    "normalize_dna",
    "token_spans",
    "tokenize_dna",
    "truncate_dna",
    "variant_window",
]
