"""The processor of the DNA family: sequences, or pairs of them, to what its models read."""

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
    """Tokenizes sequences; pairs of a reference and its variant are cut around their difference first.

    Args:
        dna_tokenizer: The tokenizer of the DNA encoder.
        dna_window (`int`, *optional*, defaults to `DNA_WINDOW`): Most bases of each window of a variant.
        examples (`list[dict[str, str]]`, *optional*): Rows to try the model on, each with `reference`, `answer` and
            perhaps `variant`.

    Example:

        processor = AutoProcessor.from_pretrained("outputs/dna_starter")
        inputs = processor("GATTACAGCAT", "GATTACAGTAT", return_tensors="pt")  # a pair
        inputs["dna_input_ids"].shape  # (1, 2, 11)
    """

    def __init__(
        self,
        dna_tokenizer=None,
        dna_window: int = DNA_WINDOW,
        examples: list[dict[str, str]] | None = None,
    ):
        self.dna_window = dna_window
        self.examples = examples
        super().__init__(dna_tokenizer)

    @property
    def model_input_names(self) -> list[str]:
        return ["dna_input_ids", "dna_attention_mask", "dna_spans"]

    def __call__(
        self,
        sequences: str | list[str],
        variants: str | list[str] | None = None,
        are_windows: bool = False,
        return_tensors: str | None = None,
        **padding,
    ) -> BatchFeature:
        """Tokenize one sequence a row, or pairs of a reference and its variant.

        Args:
            sequences (`str` or `list[str]`): A sequence or a list of them, the references if there are variants.
                Without variants they are not cut.
            variants (`str` or `list[str]`, *optional*): The same stretches with their variants.
            are_windows (`bool`, *optional*, defaults to `False`): The sequences of pairs are windows already. They are
                not cut, and those of a pair may be equal: a control that shows no variant.
            return_tensors (`str`, *optional*): `pt` for tensors.
            padding: For the tokenizer's `pad` (`padding`, `padding_side`, `max_length`, `pad_to_multiple_of`).

        Returns:
            `dna_input_ids`, `dna_attention_mask` and `dna_spans` of shape `(batch, 1, dna_length)`, or with variants
            `(batch, 2, dna_length)`. Spans are the bases that each token covers: 0 for padding and for tokens that
            the tokenizer adds, such as `<cls>`. A tokenizer written in Python, which does not tell, gives none.

        Raises:
            ValueError: If references and variants differ in number, if a sequence holds anything but bases or is
                longer than the encoder reads, or if a pair is equal or has equal tokens. The message names the
                sequence or the pair.
        """
        columns = [
            [each] if isinstance(each, str) else list(each) for each in (sequences, variants) if each is not None
        ]
        if len({len(column) for column in columns}) > 1 or not columns[0]:
            counts = " and ".join(str(len(column)) for column in columns)
            raise ValueError(f"Each reference needs its variant, got {counts} sequences.")
        what, count = ("Pair", 2) if variants is not None else ("Sequence", 1)
        encoded, spans = [], []
        for i, row in enumerate(zip(*columns)):
            try:
                ids, offsets = self._encode(row, are_windows or variants is None)
            except ValueError as error:
                raise ValueError(f"{what} {i}: {error}") from error
            encoded += ids
            spans += map(token_spans, offsets or [])
        padded = self.dna_tokenizer.pad({"input_ids": encoded}, verbose=False, **padding)
        columns = [padded["input_ids"], padded["attention_mask"]]
        if spans:
            columns.append([_pad(row, mask) for row, mask in zip(spans, padded["attention_mask"])])
        data = {
            name: [column[i : i + count] for i in range(0, len(encoded), count)]
            for name, column in zip(self.model_input_names, columns)
        }
        return BatchFeature(data, tensor_type=return_tensors)

    def _encode(
        self, row: tuple[str, ...], are_windows: bool
    ) -> tuple[list[list[int]], list[list[tuple[int, int]]] | None]:
        """The tokens of the sequences, and where each of them starts and ends, if the tokenizer tells."""
        windows = list(map(normalize_dna, row) if are_windows else variant_window(*row, self.dna_window))
        encoded, offsets = tokenize_dna(self.dna_tokenizer, windows, offsets=self.dna_tokenizer.is_fast)
        if not are_windows:
            check_tokens_differ(*encoded)
        return encoded, offsets


def _pad(spans: list[int], mask: list[int]) -> list[int]:
    """Spans at the places of their tokens, and 0 where there is padding."""
    values = iter(spans)
    return [next(values) if token else 0 for token in mask]


__all__ = ["TextGenomeDNAProcessor"]
