"""Configuration of the encoder of overlapping k-mers."""

from dataclasses import field

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig


LONGEST = 10  # a table of 4^10 rows


@strict
class KmersConfig(PreTrainedConfig):
    """Sizes of an encoder of overlapping k-mers.

    Args:
        vocab_size (`int`, *optional*, defaults to `7`): Number of DNA tokens. Those with the ids 0 to 3 are the bases.
        hidden_size (`int`, *optional*, defaults to `24`): Width of the states.
        lengths (`list[int]`, *optional*): How many bases the k-mers have, 1 to 10 each.
        num_hidden_layers (`int`, *optional*, defaults to `0`): 0: there are only tables.
        initializer_range (`float` or `int`, *optional*, defaults to `0.1`): Standard deviation of the initial tables.
        pad_token_id (`int`, *optional*, defaults to `5`): Id of the padding.

    Raises:
        ValueError: If there is no length, or one out of range.
    """

    model_type = "kmers"

    vocab_size: int = 7
    hidden_size: int = 24
    lengths: list[int] = field(default_factory=lambda: [1, 3, 6])
    num_hidden_layers: int = 0
    initializer_range: float | int = 0.1
    pad_token_id: int | None = 5

    def __post_init__(self, **kwargs):
        if not self.lengths or not all(1 <= length <= LONGEST for length in self.lengths):
            raise ValueError(f"Field 'lengths' is {self.lengths}, but must have numbers from 1 to {LONGEST}.")
        super().__post_init__(**kwargs)


AutoConfig.register(KmersConfig.model_type, KmersConfig, exist_ok=True)

__all__ = ["KmersConfig"]
