"""Configuration of the HyenaDNA encoder."""

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig


@strict
class HyenaDNAConfig(PreTrainedConfig):
    """Sizes of a HyenaDNA encoder (arXiv 2306.15794).

    The fields bear the names of the `LongSafari/hyenadna-*-hf` checkpoints, the defaults are the values of
    `hyenadna-tiny-1k-seqlen-hf`.

    Args:
        vocab_size (`int`, *optional*, defaults to `12`): Number of DNA tokens; the embedding is padded up to a
            multiple of `pad_vocab_size_multiple`.
        d_model (`int`, *optional*, defaults to `128`): Width of the hidden states, also readable as `hidden_size`.
        d_inner (`int`, *optional*, defaults to `512`): Width of the feed-forward layers.
        n_layer (`int`, *optional*, defaults to `2`): Number of blocks, also readable as `num_hidden_layers`.
        hyena_order (`int`, *optional*, defaults to `2`): Order of the Hyena recurrence. Order 2 has two gates and one
            long convolution.
        short_filter_order (`int`, *optional*, defaults to `3`): Width of the depth-wise convolution before the gates,
            in tokens.
        filter_order (`int`, *optional*, defaults to `64`): Width of the network that generates the long filters.
        emb_dim (`int`, *optional*, defaults to `5`): Number of positional features that this network reads: time, and
            pairs of cosine and sine. Odd, >= 3.
        num_inner_mlps (`int`, *optional*, defaults to `2`): Number of hidden layers of this network.
        activation_freq (`float` or `int`, *optional*, defaults to `10`): Initial frequency of its sine activation.
        train_freq (`bool`, *optional*, defaults to `True`): Whether the frequency is learnt.
        max_seq_len (`int`, *optional*, defaults to `1026`): Longest input in tokens. The time of the filters runs from
            0 to 1 over this length.
        embed_dropout (`float` or `int`, *optional*, defaults to `0.1`): Dropout on the embeddings.
        hyena_dropout (`float` or `int`, *optional*, defaults to `0.0`): Dropout inside the recurrence.
        layer_norm_epsilon (`float` or `int`, *optional*, defaults to `1e-05`): Epsilon of the layer norms.
        initializer_range (`float` or `int`, *optional*, defaults to `0.02`): Standard deviation of the initial
            weights.
        tie_word_embeddings (`bool`, *optional*, defaults to `True`): Whether the head of a language model shares its
            weights with the embedding.
    """

    model_type = "hyenadna"
    attribute_map = {
        "hidden_size": "d_model",
        "intermediate_size": "d_inner",
        "num_hidden_layers": "n_layer",
        "max_position_embeddings": "max_seq_len",
    }

    vocab_size: int = 12
    d_model: int = 128
    d_inner: int = 512
    n_layer: int = 2
    hyena_order: int = 2
    short_filter_order: int = 3
    filter_order: int = 64
    emb_dim: int = 5
    num_inner_mlps: int = 2
    activation_freq: float | int = 10
    train_freq: bool = True
    max_seq_len: int = 1026
    embed_dropout: float | int = 0.1
    hyena_dropout: float | int = 0.0
    layer_norm_epsilon: float | int = 1e-5
    initializer_range: float | int = 0.02
    pad_vocab_size_multiple: int = 8
    pad_token_id: int | None = 4
    tie_word_embeddings: bool = True


AutoConfig.register(HyenaDNAConfig.model_type, HyenaDNAConfig, exist_ok=True)

__all__ = ["HyenaDNAConfig"]
