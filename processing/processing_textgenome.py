"""The processor: chat messages with DNA in them to what the model reads."""

from itertools import islice

from transformers import BatchFeature
from transformers.processing_utils import ProcessorMixin

from textgenome.configuration.configuration_remote_code import SavesCodeMixin
from textgenome.processing.processing_dna import (
    DNA_WINDOW,
    check_tokens_differ,
    common_ends,
    min_tokens,
    normalize_dna,
    tokenize_dna,
    variant_window,
)


class TextGenomeProcessor(SavesCodeMixin, ProcessorMixin):
    """A tokenizer for text and one for DNA.

    In chat messages, a block `{"type": "dna", "dna": "ACGT"}` is one sequence, and a block `{"type": "variant",
    "reference": "ACGT", "variant": "ACTT"}` is a pair, cut to windows around its difference and shown as two
    sequences.

    Args:
        tokenizer: The tokenizer of the language model; it must know the three DNA tokens.
        dna_tokenizer: The tokenizer of the DNA encoder.
        chat_template: Jinja template; by default that of the checkpoint.
        dna_token (`str`, *optional*, defaults to `"<|dna_pad|>"`): The placeholder. The prompt holds one for each
            sequence; `__call__` makes it one for each feature.
        dna_start_token (`str`, *optional*, defaults to `"<|dna_start|>"`): Comes before each sequence.
        dna_end_token (`str`, *optional*, defaults to `"<|dna_end|>"`): Comes after each sequence.
        dna_window (`int`, *optional*, defaults to `DNA_WINDOW`): Most bases of each window of a variant.
        projector_type (`str`, *optional*, defaults to `"linear"`): As in `TextGenomeConfig`, like the following: they
            tell how many placeholders a sequence takes.
        projector_pool_size (`int`, *optional*, defaults to `8`): As in `TextGenomeConfig`.
        projector_full_resolution (`int`, *optional*, defaults to `16`): As in `TextGenomeConfig`.
        projector_num_queries (`int`, *optional*, defaults to `64`): As in `TextGenomeConfig`.
        dna_hidden_token_ids (`list[int]`, *optional*): As in `TextGenomeConfig`.
        bases_per_state (`int`, *optional*, defaults to `1`): As in the configuration of the DNA encoder, if its states
            cover several tokens: 128 for Enformer, 32 for Borzoi.
        dna (`str`, *optional*, defaults to `"variant"`): How the model was trained to read rows of a table: `variant`
            shows the DNA, `none` leaves it out (a text-only control). Saved with the checkpoint, like the following,
            so that the model is asked in the way it was trained.
        dna_truncation (`str`, *optional*, defaults to `"variant_window"`): How long pairs were cut in training,
            `variant_window` or `per_side`.
        reasons (`bool`, *optional*, defaults to `True`): Whether the model was trained to reason before it answers.
        labels (`list[str]`, *optional*): The answers that it was trained to give, where they are few: what a page
            offers to compare.
        examples (`list[dict[str, str]]`, *optional*): Rows to try it on, each with `reference`, `question`, `answer`
            and perhaps `variant`.

    Example:

        processor = AutoProcessor.from_pretrained("outputs/starter")
        variant = {"type": "variant", "reference": "GATTACAGCAT", "variant": "GATTACAGTAT"}
        question = {"type": "text", "text": "Which signal does this variant break?"}
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": [variant, question]}],
            add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
        )
    """

    def __init__(
        self,
        tokenizer=None,
        dna_tokenizer=None,
        chat_template=None,
        dna_token: str = "<|dna_pad|>",
        dna_start_token: str = "<|dna_start|>",
        dna_end_token: str = "<|dna_end|>",
        dna_window: int = DNA_WINDOW,
        projector_type: str = "linear",
        projector_pool_size: int = 8,
        projector_full_resolution: int = 16,
        projector_num_queries: int = 64,
        dna_hidden_token_ids: list[int] | None = None,
        bases_per_state: int = 1,
        dna: str = "variant",
        dna_truncation: str = "variant_window",
        reasons: bool = True,
        labels: list[str] | None = None,
        examples: list[dict[str, str]] | None = None,
    ):
        self.dna_token = dna_token
        self.dna_start_token = dna_start_token
        self.dna_end_token = dna_end_token
        self.dna_window = dna_window
        self.projector_type = projector_type
        self.projector_pool_size = projector_pool_size
        self.projector_full_resolution = projector_full_resolution
        self.projector_num_queries = projector_num_queries
        self.dna_hidden_token_ids = dna_hidden_token_ids
        self.bases_per_state = bases_per_state
        self.dna = dna
        self.dna_truncation = dna_truncation
        self.reasons = reasons
        self.labels = labels
        self.examples = examples
        vocabulary = tokenizer.get_vocab()
        missing = [token for token in (dna_token, dna_start_token, dna_end_token) if token not in vocabulary]
        if missing:
            raise ValueError(f"The tokenizer does not know {', '.join(missing)}: add them as special tokens.")
        self.dna_token_id = vocabulary[dna_token]
        self.dna_start_token_id = vocabulary[dna_start_token]
        self.dna_end_token_id = vocabulary[dna_end_token]
        super().__init__(tokenizer, dna_tokenizer, chat_template=chat_template)

    @property
    def model_input_names(self) -> list[str]:
        return [*self.tokenizer.model_input_names, "dna_input_ids", "dna_attention_mask", "dna_pool_ids"]

    def pool_ids(self, ids: list[int], change: set[int] | None = None) -> list[int]:
        """Which placeholder of its sequence each DNA token goes into, counted from 0, for the `pooled` projector.

        Tokens of one state go into the same.

        Args:
            ids (`list[int]`): The tokens of a sequence.
            change (`set[int]`, *optional*): Those of them whose states are to keep a placeholder of their own.
        """
        pools, pool, filled = [], -1, 0
        for start in range(0, len(ids), self.bases_per_state):
            places = range(start, min(start + self.bases_per_state, len(ids)))
            if ids[start] not in (self.dna_hidden_token_ids or ()):
                alone = change is not None and any(place in change for place in places)
                if alone or filled == 0 or filled == self.projector_pool_size:
                    pool, filled = pool + 1, 0
                filled = 0 if alone else filled + 1
            pools += [max(pool, 0)] * len(places)
        return pools

    def num_placeholders(self, ids: list[int], pool_ids: list[int] | None = None) -> int:
        """How many placeholders a sequence of DNA tokens takes in the prompt."""
        if self.projector_type == "resampler":
            return self.projector_num_queries
        if pool_ids is not None:
            return pool_ids[-1] + 1
        states = ids[:: self.bases_per_state]
        return len(states) - sum(states.count(token) for token in self.dna_hidden_token_ids or ())

    def min_placeholders(self, bases: int) -> int:
        """Fewest placeholders that a sequence of so many bases can take, without tokenizing it."""
        if self.projector_type == "resampler":
            return self.projector_num_queries
        # Rounded down: a state that starts with a hidden token is hidden with all its tokens.
        states = min_tokens(self.dna_tokenizer, bases) // self.bases_per_state
        return -(-states // self.projector_pool_size) if self.projector_type == "pooled" else states

    def __call__(
        self,
        text: str | list[str] | None = None,
        dna: str | list[str] | None = None,
        variants: list[int] | None = None,
        images=None,
        videos=None,
        audio=None,
        text_kwargs: dict | None = None,
        dna_kwargs: dict | None = None,
        **kwargs,
    ) -> BatchFeature:
        """Tokenize text and DNA, with as many placeholders in the text as the DNA has features.

        Args:
            text (`str` or `list[str]`, *optional*): A prompt or a list of them, with one `dna_token` for each
                sequence.
            dna (`str` or `list[str]`, *optional*): The sequences of all prompts in one flat list, in reading order.
            variants (`list[int]`, *optional*): Where in `dna` the pairs are: for each the index of its reference,
                which its variant follows.
            images: Not taken, like `videos` and `audio`: present because pipelines pass them.
            text_kwargs (`dict`, *optional*): For the text tokenizer, like all further keyword arguments (`padding`,
                `padding_side`, `truncation`, `max_length`, `return_tensors`...). Padding is on the left, as generation
                needs it.
            dna_kwargs (`dict`, *optional*): For the DNA tokenizer.

        Returns:
            `input_ids` and `attention_mask` of shape `(batch, length)`; with DNA also `dna_input_ids` and
            `dna_attention_mask` of shape `(batch, sequences, dna_length)`, and for the `pooled` projector
            `dna_pool_ids` of the same shape.

        Raises:
            ValueError: If a sequence holds anything but bases or is longer than the encoder reads, if a pair has equal
                tokens, if placeholders and sequences differ in number, or if truncation would cut a placeholder.
        """
        if images is not None or videos is not None or audio is not None:
            raise ValueError(f"{type(self).__name__} takes `text` and `dna` only.")
        if text is None:
            raise ValueError("You need to provide `text`.")
        texts = [text] if isinstance(text, str) else list(text)
        options = {"padding": True, "padding_side": "left", **kwargs, **(text_kwargs or {})}
        return_tensors = options.pop("return_tensors", None)
        padding_keys = {"padding", "padding_side", "pad_to_multiple_of"} & set(options)
        padding = {key: options.pop(key) for key in padding_keys}
        max_length, truncation = options.pop("max_length", None), options.pop("truncation", False)
        # Offsets are given in the text as it came, before placeholders are multiplied: there is nothing to shift.
        options.pop("return_text_replacement_offsets", None)
        options.pop("return_mm_token_type_ids", None)

        encoded, pools = self._encode_dna([dna] if isinstance(dna, str) else dna or [], variants or [], dna_kwargs)
        tokenized = self.tokenizer(texts, **options)
        counts = [list(ids).count(self.dna_token_id) for ids in tokenized["input_ids"]]
        if sum(counts) != len(encoded):
            raise ValueError(
                f"The texts hold {sum(counts)} {self.dna_token} placeholders but {len(encoded)} DNA sequences were "
                "passed."
            )

        lengths = iter([self.num_placeholders(ids, pool) for ids, pool in zip(encoded, pools)])
        data = {key: [] for key in tokenized}
        for row, count in enumerate(counts):
            self._expand({key: tokenized[key][row] for key in tokenized}, list(islice(lengths, count)), data)
        if truncation not in (False, None, "do_not_truncate"):
            self._truncate(data, max_length or self.tokenizer.model_max_length)

        offsets = data.pop("offset_mapping", None)
        padded = self.tokenizer.pad(data, max_length=max_length, verbose=False, **padding)
        if offsets is not None:
            padded["offset_mapping"] = [
                _pad(row, len(ids), (0, 0), padding["padding_side"]) for row, ids in zip(offsets, padded["input_ids"])
            ]
        data = dict(padded)
        if encoded:
            data["dna_input_ids"] = _nest(encoded, counts, self.dna_tokenizer.pad_token_id)
            data["dna_attention_mask"] = _nest([[1] * len(ids) for ids in encoded], counts, 0)
            if self.projector_type == "pooled":
                data["dna_pool_ids"] = _nest(pools, counts, 0)
        return BatchFeature(data, tensor_type=return_tensors, skip_tensor_conversion=["offset_mapping"])

    def _expand(self, row: dict[str, list], lengths: list[int], data: dict[str, list]) -> None:
        """Append `row` to `data` with its placeholders repeated: the i-th as often as `lengths` says."""
        places = [i for i, token in enumerate(row["input_ids"]) if token == self.dna_token_id] if lengths else []
        for key, values in row.items():
            expanded, last = [], 0
            for place, length in zip(places, lengths):
                expanded += values[last:place]
                expanded += [values[place]] * length
                last = place + 1
            data[key].append(expanded + values[last:])

    def _truncate(self, data: dict[str, list], max_length: int) -> None:
        keep = slice(max_length) if self.tokenizer.truncation_side == "right" else slice(-max_length, None)
        for row, ids in enumerate(data["input_ids"]):
            if ids[keep].count(self.dna_token_id) < ids.count(self.dna_token_id):
                raise ValueError(
                    f"Row {row} has {len(ids)} tokens, and cutting it to max_length = {max_length} would cut DNA "
                    "placeholders. Raise `max_length` or shorten the DNA."
                )
        for key, rows in data.items():
            data[key] = [values[keep] for values in rows]

    def _encode_dna(
        self, dna: list[str], variants: list[int], dna_kwargs: dict | None
    ) -> tuple[list[list[int]], list[list[int] | None]]:
        """The tokens of each sequence and, for the `pooled` projector, which placeholder each of them goes into."""
        sequences, pooled = list(map(normalize_dna, dna)), self.projector_type == "pooled"
        if not sequences:
            return [], []
        encoded, offsets = tokenize_dna(self.dna_tokenizer, sequences, offsets=pooled, **(dna_kwargs or {}))
        for i in variants:
            check_tokens_differ(encoded[i], encoded[i + 1])
        if not pooled:
            return encoded, [None] * len(encoded)

        near = [None] * len(encoded)  # the bases around the variant
        for i in variants:
            pair = sequences[i : i + 2]
            start, suffix = common_ends(*pair)
            for j in (i, i + 1):
                reach = self.projector_full_resolution
                near[j] = (start - reach, len(sequences[j]) - suffix + reach)
        return encoded, [
            self.pool_ids(ids, bases and {i for i, (a, b) in enumerate(spans) if a < bases[1] and b > bases[0]})
            for ids, spans, bases in zip(encoded, offsets, near)
        ]

    def apply_chat_template(self, conversation, *args, processor_kwargs: dict | None = None, **kwargs):
        """Render, and with `tokenize=True` also tokenize, conversations with `dna` and `variant` blocks.

        See `ProcessorMixin.apply_chat_template`.

        Raises:
            ValueError: If a block is malformed, a sequence is not DNA, or the two sequences of a variant are equal.
        """
        if kwargs.get("tokenize", False):
            conversations = [conversation] if isinstance(conversation[0], dict) else conversation
            dna, variants = [], []
            for messages in conversations:
                for sequences in self.dna_of(messages):
                    if len(sequences) == 2:
                        variants.append(len(dna))
                    dna.extend(sequences)
            processor_kwargs = {**(processor_kwargs or {}), "dna": dna, "variants": variants}
        return super().apply_chat_template(conversation, *args, processor_kwargs=processor_kwargs, **kwargs)

    def dna_of(self, messages: list[dict]) -> list[tuple[str, ...]]:
        """What the blocks of a conversation show to the model, in reading order.

        A `dna` block is a tuple of one sequence, a `variant` block one of two, cut to their windows.
        """
        shown = []
        for message in messages:
            blocks = message.get("content")
            for block in blocks if isinstance(blocks, list) else []:
                if block.get("type") == "dna":
                    shown.append((normalize_dna(_field(block, "dna")),))
                elif block.get("type") == "variant":
                    pair = _field(block, "reference"), _field(block, "variant")
                    shown.append(variant_window(*pair, size=self.dna_window))
        return shown


def _field(block: dict, name: str) -> str:
    if block.get(name) is None:
        raise ValueError(f"A block of the type {block['type']!r} needs the field {name!r}.")
    return block[name]


def _pad(values: list, width: int, value, side: str = "right") -> list:
    padding = [value] * (width - len(values))
    return padding + values if side == "left" else values + padding


def _nest(rows: list[list[int]], counts: list[int], value: int) -> list[list[list[int]]]:
    """`(batch, sequences, length)` of as many sequences for each sample as `counts` says, filled up by `value`."""
    width, slots, rows = max(map(len, rows)), max(counts), iter(rows)
    samples = [[*islice(rows, count), *[[]] * (slots - count)] for count in counts]
    return [[_pad(row, width, value) for row in sample] for sample in samples]


__all__ = ["TextGenomeProcessor"]
