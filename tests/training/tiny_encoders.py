"""Configurations of tiny DNA encoders, one of every kind."""

from sft_runs import HYENA


SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
SIZES |= {"max_position_embeddings": 128, "initializer_range": 0.2}
ESM = {**SIZES, "model_type": "esm", "pad_token_id": 1, "mask_token_id": 2}
ESM |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
TRACKS = {"dim": 24, "depth": 2, "heads": 2, "attn_dim_key": 8, "max_position_embeddings": 128}
ENCODERS = {
    "borzoi": {
        **TRACKS,
        "conv_dims": [16, 16, 24],
        "hidden_size": 32,
        "attn_dim_value": 12,
        "num_rel_pos_features": 8,
        "dropout_rate": 0.0,
    },
    "caduceus": {"d_model": 32, "n_layer": 1, "ssm_cfg": {"d_state": 2}, "initializer_range": 0.2},
    "enformer": {**TRACKS, "num_downsamples": 3, "dim_divisible_by": 4, "dropout_rate": 0.0},
    "esm": {**ESM, "vocab_size": 4105, "position_embedding_type": "absolute"},
    "evo2": {**SIZES, "block_types": ["hcl", "attention"], "hcs_filter_groups": 4, "hcm_filter_groups": 4},
    "hyenadna": HYENA,
    "llama": {**SIZES, "vocab_size": 128},
    "mixtral": {**SIZES, "vocab_size": 128, "num_key_value_heads": 1, "num_local_experts": 2, "head_dim": 16},
    "ntv2": {**ESM, "vocab_size": 4107, "add_bias_fnn": False, "position_embedding_type": "rotary"},
}
for name, values in ENCODERS.items():
    values.setdefault("model_type", name)
# Of the others the configuration tells.
TOKENIZERS = {"llama": "bytes"}
DNA_TOKENS = dict.fromkeys(ENCODERS, 12) | {"borzoi": 7, "enformer": 7, "esm": 4105, "evo2": 127, "llama": 127}
DNA_TOKENS |= {"mixtral": 10, "ntv2": 4107}
