import pytest
import torch
from peft import get_peft_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import EsmConfig, EsmModel

from textgenome import TextGenomeConfig, TextGenomeForConditionalGeneration
from textgenome.configuration.arguments import ModelArguments
from textgenome.training.finetuning import prepare_model
from textgenome.training.flops import attention_width, backward_share, count_flops, count_matmul_weights, expert_share
from textgenome.training.trainer import GroupedByLength


SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
SIZES |= {"num_key_value_heads": 2, "head_dim": 16}
TEXT = {"model_type": "qwen3", "vocab_size": 128, **SIZES}
DNA = {"model_type": "mixtral", "vocab_size": 12, "num_local_experts": 4, "num_experts_per_tok": 2, **SIZES}


@pytest.fixture
def model():
    return TextGenomeForConditionalGeneration(TextGenomeConfig(text_config=TEXT, dna_config=DNA))


def measured(run) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


@pytest.mark.parametrize("use_peft", [True, False], ids=["LoRA", "whole"])
def test_formula_is_what_pytorch_counts_for_the_language_model(model, use_peft):
    model.set_attn_implementation("eager")  # of other kernels PyTorch does not count all
    peft = prepare_model(model, ModelArguments(model_name_or_path="x", use_peft=use_peft, lora_dropout=0))
    if peft is not None:
        get_peft_model(model, peft)
    part, (rows, length) = model.model.language_model, (2, 96)
    weights = count_matmul_weights(part, expert_share(model.config.text_config))
    assert (weights[0] == weights[1]) is not use_peft
    squares = rows * length**2
    attention = attention_width(model.config.text_config)
    embeddings = torch.randn(rows, length, 64, requires_grad=True)
    found = measured(lambda: part(inputs_embeds=embeddings).last_hidden_state.sum().backward())
    assert count_flops(*weights, attention, rows * length, squares) == pytest.approx(found, rel=0.02)


def test_causal_attention_counts_what_comes_before_only(model):
    config = model.config.text_config
    assert attention_width(config, model.model.language_model) == attention_width(config) / 2
    esm = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    esm = EsmModel(EsmConfig(vocab_size=16, pad_token_id=1, mask_token_id=2, **esm), add_pooling_layer=False)
    assert attention_width(esm.config, esm) == attention_width(esm.config) == 32


def test_of_a_mixture_only_the_experts_that_a_token_meets_count(model):
    model.set_attn_implementation("eager")
    model.set_experts_implementation("eager")
    config, part = model.config.dna_config, model.model.dna_encoder.requires_grad_(False)
    ids = torch.randint(0, 12, (1, 64))
    weights, trained = count_matmul_weights(part, expert_share(config))
    with torch.no_grad():
        found = measured(lambda: part(ids))
    assert trained == 0
    assert count_flops(weights, 0, attention_width(config), 64, 64**2, 0) == pytest.approx(found, rel=0.02)


def test_gradients_run_through_the_layers_from_the_first_that_is_trained():
    dna = {**DNA, "num_hidden_layers": 8}
    model = TextGenomeForConditionalGeneration(TextGenomeConfig(text_config=TEXT, dna_config=dna))
    model.set_attn_implementation("eager")
    model.set_experts_implementation("eager")
    fused, ids = model.model, torch.randint(0, 12, (1, 64))
    for layers, share in {0: 0.0, 4: 0.5, 8: 1.0}.items():
        prepare_model(model, ModelArguments(model_name_or_path="x", use_peft=False, train_dna_layers=layers))
        assert backward_share(fused) == share
        weights = count_matmul_weights(fused.dna_encoder, expert_share(model.config.dna_config))
        fused.train()

        def run():
            states = fused.encode_dna(ids, torch.ones_like(ids))
            if states.requires_grad:
                states.sum().backward()

        attention = attention_width(model.config.dna_config)
        assert count_flops(*weights, attention, 64, 64**2, share) == pytest.approx(measured(run), rel=0.03)
    prepare_model(model, ModelArguments(model_name_or_path="x", use_peft=False, freeze_dna_encoder=False))
    assert backward_share(fused) == 1
    model.config.dna_feature_layer = 2
    assert backward_share(fused) == 0.25


@pytest.mark.parametrize("is_frozen", [True, False])
def test_an_encoder_without_layers_is_trained_as_a_whole_or_not(is_frozen):
    config = TextGenomeConfig(
        text_config=TEXT, dna_config={"model_type": "kmers", "hidden_size": 8, "lengths": [1, 3]}
    )
    model = TextGenomeForConditionalGeneration(config)
    prepare_model(model, ModelArguments(model_name_or_path="x", use_peft=False, freeze_dna_encoder=is_frozen))
    assert backward_share(model.model) == 1 - is_frozen


def test_order_depends_on_seed_and_epoch_and_batches_are_of_similar_length():
    lengths = torch.randint(1, 1000, (256,)).tolist()
    epochs = [0]
    sampler = GroupedByLength(lengths, 4, seed=1, epoch=lambda: epochs[-1])
    first = list(sampler)
    assert list(sampler) == first and sorted(first) == list(range(256))
    epochs.append(1)
    assert list(sampler) != first
    spread = [max(part) - min(part) for part in zip(*[iter([lengths[i] for i in first])] * 4)]
    assert sum(spread) / len(spread) < 50
