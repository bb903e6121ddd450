"""Tiny models with every kind of encoder, and processes in which the package does not exist."""

import json
import os
import subprocess
import sys
from pathlib import Path

from conftest import TINY_CHECKPOINT
from transformers import AutoProcessor, set_seed

from textgenome import TextGenomeConfig, TextGenomeForConditionalGeneration
from textgenome.configuration.configuration_textgenome import bases_per_state, build_dna_config
from textgenome.processing import build_dna_tokenizer, build_processor


SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
NTV2 = {"model_type": "esm", "add_bias_fnn": False, "position_embedding_type": "rotary", "vocab_size": 4107}
TRACKS = {"dim": 24, "depth": 1, "heads": 2, "attn_dim_key": 4, "max_position_embeddings": 256}
ENCODERS = {
    "borzoi": (
        "enformer",
        {**TRACKS, "conv_dims": [4, 6, 8], "hidden_size": 16, "attn_dim_value": 6, "num_rel_pos_features": 8},
    ),
    "caduceus": ("hyenadna", {"d_model": 16, "n_layer": 2, "ssm_cfg": {"d_state": 4}}),
    "enformer": ("enformer", {**TRACKS, "num_downsamples": 3, "dim_divisible_by": 2}),
    "hyenadna": ("hyenadna", {"d_model": 16, "d_inner": 32, "max_seq_len": 256}),
    "kmers": ("enformer", {"hidden_size": 16}),
    "evo2": (
        "bytes",
        {**SIZES, "block_types": ["hcl", "attention"], "hcs_filter_groups": 4, "hcm_filter_groups": 4},
    ),
    "mixtral": (
        "genos",
        {**SIZES, "vocab_size": 128, "num_key_value_heads": 1, "num_local_experts": 2, "head_dim": 8},
    ),
    "ntv2": ("nucleotide_transformer_v2", {**SIZES, **NTV2, "pad_token_id": 1, "mask_token_id": 2}),
    "esm": ("nucleotide_transformer", {**SIZES, "vocab_size": 4105, "pad_token_id": 1, "mask_token_id": 2}),
}
# Loads names, each a folder or `repository@revision`, by all Auto classes, and prints what the models make of a
# conversation.
LOAD_ALL = """
import json
import torch
import transformers
from transformers import AutoConfig, AutoProcessor, AutoTokenizer, pipeline

names, messages = json.loads(sys.argv[1]), json.loads(sys.argv[2])
found = {}
for source in names:
    name, _, revision = source.partition("@")
    options = {"revision": revision or "main", "trust_remote_code": True}
    processor = AutoProcessor.from_pretrained(name, **options)
    inputs = processor.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    logits = {}
    for kind in ("", "ForCausalLM", "ForImageTextToText", "ForMultimodalLM"):
        model = getattr(transformers, f"AutoModel{kind}").from_pretrained(name, **options)
        with torch.no_grad():
            logits[kind] = model(**inputs).logits.tolist()
    asked = pipeline("any-to-any", model=name, **options)
    text = asked(messages, max_new_tokens=10, do_sample=False, return_full_text=False)[0]["generated_text"]
    config = AutoConfig.from_pretrained(name, **options).to_dict()
    tokens = AutoTokenizer.from_pretrained(name, **options).get_vocab()
    found[source] = {"logits": logits, "text": text, "config": config, "processor": processor.to_dict()}
    found[source] |= {"vocabulary": tokens, "dna_vocabulary": processor.dna_tokenizer.get_vocab()}
print(json.dumps(found, default=str))
"""


def build(encoder: str) -> tuple:
    """A tiny model with an encoder of this kind, and its processor."""
    set_seed(0)
    vocabulary, sizes = ENCODERS[encoder]
    tokenizer = AutoProcessor.from_pretrained(TINY_CHECKPOINT).tokenizer
    dna_config = build_dna_config({"model_type": encoder, "initializer_range": 0.2, **sizes})
    processor = build_processor(
        tokenizer,
        build_dna_tokenizer(vocabulary, model_max_length=256),
        dna_window=64,
        bases_per_state=bases_per_state(dna_config),
    )
    config = TextGenomeConfig(
        text_config=json.loads((TINY_CHECKPOINT / "config.json").read_text())["text_config"],
        dna_config=dna_config,
        dna_token_id=processor.dna_token_id,
        dna_start_token_id=processor.dna_start_token_id,
        dna_end_token_id=processor.dna_end_token_id,
        initializer_range=0.2,
    )
    return TextGenomeForConditionalGeneration(config).eval(), processor


def stranger(script: str, *arguments, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run a script where the package cannot be imported, in an empty folder and with an empty cache."""
    (folder / "empty").mkdir()
    return subprocess.run(
        [sys.executable, "-c", f"import sys\nsys.modules['textgenome'] = None\n{script}", *map(str, arguments)],
        cwd=folder / "empty",
        env={**os.environ, "HF_HOME": str(folder / "home"), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
