"""Every kind of encoder and projector in the script that fine-tunes, and the ways to train an encoder."""

import json

import pytest
import torch
from peft import get_peft_model
from runs import log_of
from safetensors.torch import load_file
from sft_runs import conversations, from_random_weights, write_table
from tiny_encoders import DNA_TOKENS, ENCODERS, TOKENIZERS
from transformers import AutoModelForMultimodalLM, AutoProcessor

from textgenome import TextGenomeConfig, TextGenomeForConditionalGeneration
from textgenome.configuration.arguments import ModelArguments
from textgenome.data import TextGenomeCollator
from textgenome.training.finetuning import prepare_model


@pytest.fixture
def table(tmp_path):
    return write_table(tmp_path)


def test_lora_hits_only_the_language_model_where_names_are_equal():
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text, llama = (
        {"model_type": "qwen3", "vocab_size": 99, **sizes},
        {"model_type": "llama", "vocab_size": 12, **sizes},
    )
    linear = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    model = TextGenomeForConditionalGeneration(TextGenomeConfig(text_config=text, dna_config=llama))
    for layers in (None, ["q_proj", "v_proj"]):
        arguments = ModelArguments(model_name_or_path="x", lora_target_modules=layers)
        adapted = get_peft_model(model, prepare_model(model, arguments))
        names = [name for name, _ in adapted.named_parameters() if "lora_" in name]
        assert names and all(".language_model." in name for name in names)
        assert not any("lora_" in name and "lm_head" in name for name in names)
        assert {name.split(".lora_")[0].split(".")[-1] for name in names} == set(layers or linear)
        model = adapted.unload()


@pytest.mark.parametrize(
    "encoder", [pytest.param(name, marks=pytest.mark.slow) if name == "borzoi" else name for name in ENCODERS]
)
def test_every_kind_of_encoder_trains_and_reloads(table, encoder):
    out = from_random_weights(
        table,
        dna_config=json.dumps(ENCODERS[encoder]),
        dna_tokenizer=TOKENIZERS.get(encoder),
        use_peft=False,
        freeze_dna_encoder=False,
        max_steps=25,
        per_device_train_batch_size=8,
        learning_rate=1e-2,
        save_strategy="steps",
    )
    losses = [entry["loss"] for entry in log_of(out / "checkpoint-25") if "loss" in entry]
    assert losses[-1] < losses[0] / 2

    base, trained = (load_file(folder / "model.safetensors") for folder in (out / "base", out))
    moved = [name for name in base if "dna_encoder" in name and not torch.equal(base[name], trained[name])]
    assert len(moved) > 4

    model, processor = AutoModelForMultimodalLM.from_pretrained(out).eval(), AutoProcessor.from_pretrained(out)
    assert len(processor.dna_tokenizer) == DNA_TOKENS[encoder]
    prompts = [messages[:-1] for messages in conversations(table)]
    batches = [
        processor.apply_chat_template(
            [prompt], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        for prompt in prompts[:2]
    ]
    logits = [model(**batch).logits[0, -1] for batch in batches]
    assert (logits[0] - logits[1]).abs().max() > 1e-3, "the answer does not depend on the DNA"
    again = AutoModelForMultimodalLM.from_pretrained(out).eval()
    assert torch.equal(again(**batches[0]).logits[0, -1], logits[0])


@pytest.mark.parametrize(
    "projector, placeholders", [("mlp", 80), ("pooled", None), ("resampler", 10)], ids=["mlp", "pooled", "resampler"]
)
def test_every_projector_trains_and_processor_and_model_agree(table, projector, placeholders):
    out = from_random_weights(
        table, projector_type=projector, projector_pool_size=4, projector_full_resolution=5, projector_num_queries=5
    )
    processor, config = (
        AutoProcessor.from_pretrained(out),
        AutoModelForMultimodalLM.from_pretrained(out / "base").config,
    )
    for name in ("projector_type", "projector_pool_size", "projector_full_resolution", "projector_num_queries"):
        assert getattr(processor, name) == getattr(config, name)
    batch = TextGenomeCollator(processor)([{"messages": conversations(table)[0]}])
    found = int((batch["input_ids"] == processor.dna_token_id).sum())
    # Of 40 bases, 11 around the variant are kept and the others go in fours: 15 and 14 of them, on either side.
    assert found == (placeholders or 2 * (11 + 4 + 4))


def test_the_last_layers_of_the_encoder_are_trained(table):
    out = from_random_weights(table, train_dna_layers=1, use_peft=False, learning_rate=1e-2)
    base, trained = (load_file(folder / "model.safetensors") for folder in (out / "base", out))
    moved = {
        name.split(".")[3] for name in base if "dna_encoder.layers" in name and not base[name].equal(trained[name])
    }
    assert moved == {"1"}


def test_the_last_layers_of_the_encoder_travel_with_the_adapter(table):
    out = from_random_weights(table, train_dna_layers=1, learning_rate=1e-2)
    layers = {name.split(".")[5] for name in load_file(out / "adapter_model.safetensors") if "dna_encoder" in name}
    assert layers == {"1"}


def test_lora_on_the_encoder_needs_its_own_setting(table):
    out = from_random_weights(table, lora_dna_encoder=True)
    names = [name for name in load_file(out / "adapter_model.safetensors") if "dna_encoder" in name]
    assert names and all("lora_" in name for name in names)
    assert any("in_proj" in name for name in names)


@pytest.mark.parametrize("encoder", ["hyenadna", "mixtral", "esm"])
@pytest.mark.parametrize(
    "way",
    [{"freeze_dna_encoder": False}, {"train_dna_layers": 1}, {"lora_dna_encoder": True}],
    ids=lambda way: next(iter(way)),
)
def test_ways_to_train_an_encoder_below_its_last_layer(table, encoder, way):
    dna_config = json.dumps(ENCODERS[encoder])
    out = from_random_weights(table, dna_config=dna_config, **way, dna_feature_layer=1, learning_rate=1e-2)
    base = AutoModelForMultimodalLM.from_pretrained(out / "base").state_dict()
    adapter = load_file(out / "adapter_model.safetensors")
    trained = {
        name.removeprefix("base_model.model."): value for name, value in adapter.items() if "dna_encoder" in name
    }
    if "lora_dna_encoder" in way:
        assert any(value.abs().sum() > 0 for name, value in trained.items() if "lora_B" in name)
    else:
        assert any(not torch.equal(value, base[name]) for name, value in trained.items())
    assert all(value.dtype == torch.float32 for value in trained.values())


def test_more_layers_than_feed_the_projector_are_refused(table):
    with pytest.raises(ValueError, match="train_dna_layers is 2, but 1 are used"):
        from_random_weights(table, train_dna_layers=2, dna_feature_layer=1)
