"""The processor of the DNA-only model: pairs of sequences to what it reads."""

from transformers import BatchFeature
from transformers.processing_utils import ProcessorMixin

from textgenome.configuration.configuration_remote_code import SavesCodeMixin
from textgenome.processing.processing_dna import (
    DNA_WINDOW,
    check_tokens_differ,
    normalize_dna,
    token_spans,
    tokenize_dna,
    variant_window,
)


class TextGenomeDNAProcessor(SavesCodeMixin, ProcessorMixin):
    """Cuts pairs of sequences around their difference, and tokenizes them.

    Args:
        dna_tokenizer: The tokenizer of the DNA encoder.
        dna_window: Most bases of each window of a variant.
    """

    def __init__(self, dna_tokenizer=None, dna_window: int = DNA_WINDOW):
        self.dna_window = dna_window
        super().__init__(dna_tokenizer)

    @property
    def model_input_names(self) -> list[str]:
        return ["dna_input_ids", "dna_attention_mask", "dna_spans"]

    def __call__(
        self,
        reference: str | list[str],
        variant: str | list[str],
        are_windows: bool = False,
        return_tensors: str | None = None,
        **padding,
    ) -> BatchFeature:
        """Tokenize pairs of a reference and its variant.

        Args:
            reference: A sequence or a list of them.
            variant: The same stretches with their variants.
            are_windows: The sequences are windows already. They are not cut, and those of a pair may be equal: a
                control that shows no variant.
            return_tensors: `pt` for tensors.
            padding: For the tokenizer's `pad` (`padding`, `padding_side`, `max_length`, `pad_to_multiple_of`).

        Returns:
            `dna_input_ids`, `dna_attention_mask` and `dna_spans` of shape `(batch, 2, dna_length)`. Spans are the
            bases that each token covers: 0 for padding and for tokens that the tokenizer adds, such as `<cls>`. A
            tokenizer written in Python, which does not tell, gives none.

        Raises:
            ValueError: If references and variants differ in number, if a sequence holds anything but bases or is
                longer than the encoder reads, or if a pair is equal or has equal tokens. The message names the pair.
        """
        references = [reference] if isinstance(reference, str) else list(reference)
        variants = [variant] if isinstance(variant, str) else list(variant)
        if len(references) != len(variants) or not references:
            raise ValueError(f"Each reference needs its variant, got {len(references)} and {len(variants)} sequences.")
        encoded, spans = [], []
        for i, pair in enumerate(zip(references, variants)):
            try:
                ids, offsets = self._encode(pair, are_windows)
            except ValueError as error:
                raise ValueError(f"Pair {i}: {error}") from error
            encoded += ids
            spans += map(token_spans, offsets or [])
        padded = self.dna_tokenizer.pad({"input_ids": encoded}, verbose=False, **padding)
        columns = [padded["input_ids"], padded["attention_mask"]]
        if spans:
            columns.append([_pad(row, mask) for row, mask in zip(spans, padded["attention_mask"])])
        data = {
            name: [column[i : i + 2] for i in range(0, len(encoded), 2)]
            for name, column in zip(self.model_input_names, columns)
        }
        return BatchFeature(data, tensor_type=return_tensors)

    def _encode(
        self, pair: tuple[str, str], are_windows: bool
    ) -> tuple[list[list[int]], list[list[tuple[int, int]]] | None]:
        """The tokens of both sequences, and where each of them starts and ends, if the tokenizer tells."""
        windows = list(map(normalize_dna, pair) if are_windows else variant_window(*pair, self.dna_window))
        encoded, offsets = tokenize_dna(self.dna_tokenizer, windows, offsets=self.dna_tokenizer.is_fast)
        if not are_windows:
            check_tokens_differ(*encoded)
        return encoded, offsets


def _pad(spans: list[int], mask: list[int]) -> list[int]:
    """Spans at the places of their tokens, and 0 where there is padding."""
    values = iter(spans)
    return [next(values) if token else 0 for token in mask]


__all__ = ["TextGenomeDNAProcessor"]
