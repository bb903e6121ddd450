"""Tiny language models of DNA, one of each kind, saved as folders."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import torch
from transformers import EsmConfig, EsmForMaskedLM, MixtralConfig, MixtralForCausalLM

from textgenome import (
    CaduceusConfig,
    CaduceusForMaskedLM,
    Evo2Config,
    Evo2ForCausalLM,
    HyenaDNAConfig,
    HyenaDNAForCausalLM,
    NTv2ForMaskedLM,
)
from textgenome.inference.language_models import DNALanguageModel, load_language_model


SIZE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
# Larger weights than usual, so that a base matters.
WEIGHTS = {"initializer_range": 0.3}
NT = {**SIZE, **WEIGHTS, "pad_token_id": 1, "mask_token_id": 2, "token_dropout": False}
MODELS = {
    "hyenadna": lambda: HyenaDNAForCausalLM(HyenaDNAConfig(d_model=16, d_inner=32, max_seq_len=128, **WEIGHTS)),
    "evo2": lambda: Evo2ForCausalLM(
        Evo2Config(
            vocab_size=128,
            block_types=["hcl", "attention"],
            hcs_filter_groups=4,
            hcm_filter_groups=4,
            **SIZE,
            **WEIGHTS,
        )
    ),
    "genos": lambda: MixtralForCausalLM(
        MixtralConfig(
            vocab_size=128,
            num_key_value_heads=1,
            num_local_experts=2,
            head_dim=8,
            max_position_embeddings=256,
            **SIZE,
            **WEIGHTS,
        )
    ),
    "caduceus": lambda: CaduceusForMaskedLM(CaduceusConfig(d_model=16, n_layer=2, ssm_cfg={"d_state": 4}, **WEIGHTS)),
    "nt_v1": lambda: EsmForMaskedLM(
        EsmConfig(vocab_size=4105, max_position_embeddings=66, position_embedding_type="absolute", **NT)
    ),
    "nt_v2": lambda: NTv2ForMaskedLM(
        EsmConfig(vocab_size=4107, max_position_embeddings=66, position_embedding_type="rotary", **NT)
    ),
}
CAUSAL = ("hyenadna", "evo2", "genos")


@cache
def folder_of(kind: str) -> Path:
    """The folder of a tiny model of this kind, which all tests share."""
    folder = Path(mkdtemp(prefix=f"textgenome-{kind}-"))
    torch.manual_seed(0)
    model = MODELS[kind]()
    for name, parameter in model.named_parameters():
        if name.endswith("lm_head.weight") and kind in ("evo2", "genos"):
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    return folder


@cache
def tiny_language_model(kind: str) -> DNALanguageModel:
    return load_language_model(str(folder_of(kind)))
