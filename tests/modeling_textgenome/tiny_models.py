"""A tiny model with any encoder, and conversations for it."""

from conftest import conversation, random_dna
from transformers import LlamaConfig, MixtralConfig
from transformers.models.esm import EsmConfig

from textgenome import BorzoiConfig, CaduceusConfig, EnformerConfig, Evo2Config, HyenaDNAConfig, TextGenomeConfig


PROMPTS = [
    conversation(random_dna(20), random_dna(21)),
    conversation(random_dna(33), question="Is it long?"),
    conversation(question="No DNA at all?"),
    conversation(random_dna(5), random_dna(60), random_dna(5), question="Many"),
]
GREEDY = {"do_sample": False, "max_new_tokens": 12}
ENCODERS = {
    "caduceus": CaduceusConfig(d_model=16, n_layer=2, ssm_cfg={"d_state": 4}),
    "hyenadna": HyenaDNAConfig(d_model=16, d_inner=32, max_seq_len=64),
    "evo2": Evo2Config(
        vocab_size=16, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        block_types=["hcl", "attention"], hcs_filter_groups=4, hcm_filter_groups=4
    ),
    "mixtral": MixtralConfig(
        vocab_size=16, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, num_local_experts=2, head_dim=8
    ),
    "llama": LlamaConfig(
        vocab_size=16, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    ),
    "esm": EsmConfig(
        vocab_size=16, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        pad_token_id=4, mask_token_id=3, max_position_embeddings=66, position_embedding_type="absolute"
    ),
}  # fmt: skip
# Of eight bases.
SEVERAL_BASES = {
    "enformer": EnformerConfig(
        dim=12, depth=1, heads=2, attn_dim_key=4, num_downsamples=3, dim_divisible_by=2, max_position_embeddings=256
    ),
    "borzoi": BorzoiConfig(
        conv_dims=[4, 6, 8, 10], dim=12, hidden_size=16, depth=1, heads=2, attn_dim_key=4, attn_dim_value=6,
        num_rel_pos_features=8, max_position_embeddings=256
    ),
}  # fmt: skip


def tiny_config(**kwargs) -> TextGenomeConfig:
    text = {
        "model_type": "qwen3",
        "vocab_size": 320,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
    }
    tokens = {"dna_token_id": 306, "dna_start_token_id": 305, "dna_end_token_id": 307}
    dna = {"d_model": 16, "d_inner": 32, "n_layer": 2, "max_seq_len": 256}
    return TextGenomeConfig(**{"text_config": text, "dna_config": dna, **tokens, **kwargs})


def encode(processor, conversations, side="left", **kwargs):
    return processor.apply_chat_template(
        conversations,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"padding_side": side},
        **kwargs,
    )
