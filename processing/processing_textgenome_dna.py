"""The processor of the DNA-only model: pairs of sequences to what it reads."""

from transformers import BatchFeature
from transformers.processing_utils import ProcessorMixin

from textgenome.configuration.configuration_remote_code import SavesCodeMixin, packaged_class
from textgenome.processing.processing_dna import (
    DNA_WINDOW,
    check_tokens_differ,
    normalize_dna,
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

    def auto_classes(self) -> dict[str, type]:
        return {"AutoProcessor": packaged_class(self)}

    @property
    def model_input_names(self) -> list[str]:
        return ["dna_input_ids", "dna_attention_mask"]

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
            `dna_input_ids` and `dna_attention_mask` of shape `(batch, 2, dna_length)`.

        Raises:
            ValueError: If references and variants differ in number, if a sequence holds anything but bases or is
                longer than the encoder reads, or if a pair is equal or has equal tokens. The message names the pair.
        """
        references = [reference] if isinstance(reference, str) else list(reference)
        variants = [variant] if isinstance(variant, str) else list(variant)
        if len(references) != len(variants) or not references:
            raise ValueError(f"Each reference needs its variant, got {len(references)} and {len(variants)} sequences.")
        encoded = []
        for i, pair in enumerate(zip(references, variants)):
            try:
                encoded += self._encode(pair, are_windows)
            except ValueError as error:
                raise ValueError(f"Pair {i}: {error}") from error
        padded = self.dna_tokenizer.pad({"input_ids": encoded}, verbose=False, **padding)
        names = dict(zip(self.model_input_names, ("input_ids", "attention_mask")))
        data = {name: [padded[key][i : i + 2] for i in range(0, len(encoded), 2)] for name, key in names.items()}
        return BatchFeature(data, tensor_type=return_tensors)

    def _encode(self, pair: tuple[str, str], are_windows: bool) -> list[list[int]]:
        windows = list(map(normalize_dna, pair) if are_windows else variant_window(*pair, self.dna_window))
        encoded, _ = tokenize_dna(self.dna_tokenizer, windows)
        if not are_windows:
            check_tokens_differ(*encoded)
        return encoded


__all__ = ["TextGenomeDNAProcessor"]
