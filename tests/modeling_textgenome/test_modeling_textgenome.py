import warnings

import pytest
import torch
from conftest import TINY_CHECKPOINT, conversation
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from tiny_models import GREEDY, PROMPTS, encode
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForMultimodalLM
from transformers.modeling_outputs import CausalLMOutputWithPast

from textgenome import TextGenomeForConditionalGeneration
from textgenome.data import TextGenomeCollator
from textgenome.modeling_cache import CACHE_NAME


def test_golden_logits(tiny_model):
    golden = load_file(TINY_CHECKPOINT / "golden.safetensors")
    logits = golden.pop("logits")
    torch.testing.assert_close(tiny_model(**golden).logits, logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "auto", [AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForMultimodalLM]
)
def test_auto_classes(auto):
    assert type(auto.from_pretrained(TINY_CHECKPOINT)) is TextGenomeForConditionalGeneration


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_row_alone_equals_the_row_in_a_batch(tiny_model, tiny_processor, side):
    batch = encode(tiny_processor, PROMPTS, side)
    together = tiny_model(**batch).logits
    for i, prompt in enumerate(PROMPTS):
        alone = tiny_model(**encode(tiny_processor, [prompt])).logits[0]
        torch.testing.assert_close(together[i][batch["attention_mask"][i].bool()], alone, atol=5e-5, rtol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_wider_dna_batch_changes_nothing(tiny_model, tiny_processor, side):
    batch = encode(tiny_processor, PROMPTS[:2])
    wider = dict(batch)
    sequences = torch.full((2, 1, 50), 4)
    for key, fill in (("dna_input_ids", sequences), ("dna_attention_mask", torch.zeros_like(sequences))):
        slots = torch.cat([batch[key], fill[..., : batch[key].shape[-1]]], 1)
        padding = fill[:, :1].expand(2, 3, 50)
        wider[key] = torch.cat([padding, slots] if side == "left" else [slots, padding], -1)
    torch.testing.assert_close(tiny_model(**wider).logits, tiny_model(**batch).logits, atol=1e-5, rtol=1e-5)


def test_generation_cached_uncached_batched_and_alone(tiny_model, tiny_processor):
    batch = encode(tiny_processor, PROMPTS)
    width = batch["input_ids"].shape[1]
    cached = tiny_model.generate(**batch, **GREEDY)[:, width:]
    uncached = tiny_model.generate(**batch, use_cache=False, **GREEDY)[:, width:]
    assert torch.equal(cached, uncached)
    for prompt, row in zip(PROMPTS, cached):
        alone = encode(tiny_processor, [prompt])
        tokens = tiny_model.generate(**alone, **GREEDY)[0, alone["input_ids"].shape[1] :]
        assert tokens.tolist() == row[: len(tokens)].tolist()


def test_cached_and_uncached_logits_are_equal(tiny_model, tiny_processor):
    batch = encode(tiny_processor, PROMPTS)
    options = {**GREEDY, "output_logits": True, "return_dict_in_generate": True}
    cached, uncached = (tiny_model.generate(**batch, use_cache=use, **options).logits for use in (True, False))
    for one, other in zip(cached, uncached):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("returned", [1, 3])
def test_beams_equal_one_by_one(tiny_model, tiny_processor, returned):
    options = {**GREEDY, "num_beams": 3, "num_return_sequences": returned}
    batch = encode(tiny_processor, PROMPTS)
    together = tiny_model.generate(**batch, **options)[:, batch["input_ids"].shape[1] :]
    for i, prompt in enumerate(PROMPTS):
        alone = encode(tiny_processor, [prompt])
        tokens = tiny_model.generate(**alone, **options)[:, alone["input_ids"].shape[1] :]
        assert torch.equal(together[i * returned : (i + 1) * returned, : tokens.shape[1]], tokens)


def test_sampling_returns_as_many_as_asked_for(tiny_model, tiny_processor):
    batch = encode(tiny_processor, PROMPTS)
    tokens = tiny_model.generate(**batch, do_sample=True, num_return_sequences=2, max_new_tokens=3)
    assert len(tokens) == 2 * len(PROMPTS)


def test_the_model_never_writes_dna_tokens(tiny_model, tiny_processor):
    with torch.no_grad():
        tiny_model.lm_head.weight[tiny_processor.dna_token_id] *= 1000
    batch = encode(tiny_processor, PROMPTS)
    tokens = tiny_model.generate(**batch, **GREEDY)[:, batch["input_ids"].shape[1] :]
    assert not (tokens == tiny_processor.dna_token_id).any()


def test_inputs_embeds(tiny_model, tiny_processor):
    batch = encode(tiny_processor, PROMPTS)
    ids = batch.pop("input_ids")
    embeds = tiny_model.get_input_embeddings()(ids)
    torch.testing.assert_close(
        tiny_model(inputs_embeds=embeds, **batch).logits, tiny_model(input_ids=ids, **batch).logits
    )
    from_ids = tiny_model.generate(input_ids=ids, **batch, **GREEDY)[:, ids.shape[1] :]
    assert torch.equal(tiny_model.generate(inputs_embeds=embeds, **batch, **GREEDY), from_ids)


def test_logits_to_keep(tiny_model, tiny_processor):
    batch = encode(tiny_processor, PROMPTS)
    logits = tiny_model(**batch).logits
    assert torch.equal(tiny_model(**batch, logits_to_keep=1).logits, logits[:, -1:])
    kept = torch.tensor([0, 5])
    assert torch.equal(tiny_model(**batch, logits_to_keep=kept).logits, logits[:, kept])


def test_sdpa_equals_eager(tiny_model, tiny_processor):
    eager = AutoModelForMultimodalLM.from_pretrained(TINY_CHECKPOINT, attn_implementation="eager")
    batch = encode(tiny_processor, PROMPTS)
    mask = batch["attention_mask"].bool()
    torch.testing.assert_close(eager(**batch).logits[mask], tiny_model(**batch).logits[mask], atol=1e-4, rtol=1e-4)


def test_logits_depend_on_the_dna(tiny_model, tiny_processor):
    logits = [
        tiny_model(**encode(tiny_processor, [conversation(dna)])).logits[0, -1] for dna in ("ACGTACGT", "ACGTACGA")
    ]
    assert (logits[0] - logits[1]).abs().max() > 1e-3


def test_equal_sequences_are_encoded_once(tiny_model, tiny_processor):
    encoded = []
    tiny_model.model.dna_encoder.register_forward_pre_hook(lambda _, args: encoded.append(args[0]))
    batch = encode(tiny_processor, [conversation("ACGT", "GATTACA", "ACGT"), conversation("GATTACA")])
    tiny_model(**batch)
    assert [ids.shape for ids in encoded] == [(2, 7)]


def without_dna(batch):
    return {key: value for key, value in batch.items() if not key.startswith("dna")}


@pytest.mark.parametrize("training", [True, False])
def test_dna_is_never_dropped_silently(tiny_model, tiny_processor, training):
    tiny_model.train(training)
    batch = encode(tiny_processor, PROMPTS[:1])
    with pytest.raises(ValueError, match="placeholders but `dna_input_ids` was not passed"):
        tiny_model(**without_dna(batch))
    text = encode(tiny_processor, PROMPTS[2:3])
    with pytest.raises(ValueError, match="in row 0, tokens: 0, features: 41"):
        tiny_model(**text, dna_input_ids=batch["dna_input_ids"], dna_attention_mask=batch["dna_attention_mask"])
    with pytest.raises(ValueError, match="needs `dna_attention_mask`"):
        tiny_model(**without_dna(batch), dna_input_ids=batch["dna_input_ids"])


def test_dna_of_another_row_is_not_taken(tiny_model, tiny_processor):
    batch = encode(tiny_processor, [conversation("ACGTA"), conversation("ACG")])
    swapped = {key: value.flip(0) if key.startswith("dna") else value for key, value in batch.items()}
    with pytest.raises(ValueError, match="in row 0, tokens: 5, features: 3"):
        tiny_model(**swapped)


def test_a_slice_of_a_batch_may_hold_no_dna(tiny_model, tiny_processor):
    batch = encode(tiny_processor, PROMPTS[1:3])
    row = {key: value[1:] for key, value in batch.items()}
    torch.testing.assert_close(tiny_model(**row).logits, tiny_model(**batch).logits[1:], atol=1e-5, rtol=1e-5)


def test_new_dna_in_a_later_turn_is_not_dropped(tiny_model, tiny_processor):
    first = encode(tiny_processor, PROMPTS[:1])
    cache = tiny_model(**first, use_cache=True)[CACHE_NAME]
    later = without_dna(encode(tiny_processor, PROMPTS[1:2]))
    with pytest.raises(ValueError, match="was not passed"):
        tiny_model(input_ids=later["input_ids"], cache=cache)


def test_the_cache_goes_by_either_name(tiny_model, tiny_processor):
    batch = encode(tiny_processor, PROMPTS[:1])
    outputs = tiny_model(**batch, use_cache=True)
    assert isinstance(outputs, CausalLMOutputWithPast)
    assert outputs.to_tuple()[1] is outputs[CACHE_NAME]
    token = batch["input_ids"][:, -1:]
    logits = []
    for name in ("cache", "past_key_values"):
        logits.append(tiny_model(token, **{name: outputs[CACHE_NAME]}).logits)
        outputs[CACHE_NAME].crop(-1)
    assert torch.equal(*logits)
    longer = {"input_ids": torch.cat([batch["input_ids"], token], 1)}
    longer["attention_mask"] = torch.ones_like(longer["input_ids"])
    torch.testing.assert_close(logits[0][:, -1], tiny_model(**{**batch, **longer}).logits[:, -1], atol=1e-5, rtol=1e-5)


def test_adapters_ask_for_checkpointing_without_a_warning(tiny_model):
    tiny_model.activation_checkpointing_enable()
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        assert tiny_model.is_gradient_checkpointing
        get_peft_model(tiny_model, LoraConfig(target_modules=["q_proj"]))


def test_a_frozen_encoder_builds_no_graph_and_has_no_dropout(tiny_model, tiny_processor):
    tiny_model.model.dna_encoder.requires_grad_(False)
    tiny_model.train()
    batch = encode(tiny_processor, PROMPTS)
    outputs = [
        tiny_model.get_dna_features(batch["dna_input_ids"], batch["dna_attention_mask"]).last_hidden_state
        for _ in range(2)
    ]
    assert torch.equal(*outputs)
    assert not outputs[0].requires_grad


def test_an_encoder_that_is_trained_gets_gradients(tiny_model, tiny_processor):
    tiny_model.train()
    tiny_model(**encode(tiny_processor, PROMPTS)).logits.pow(2).mean().backward()
    without = [name for name, parameter in tiny_model.named_parameters() if parameter.grad is None]
    assert without == []
    assert tiny_model.model.dna_encoder.layers[0].mixer.in_proj.weight.grad.abs().sum() > 0
    assert (tiny_model.model.dna_markers.weight.grad.abs().sum(-1) > 0).all()


def test_a_batch_without_dna_still_reaches_every_weight(tiny_model, tiny_processor):
    tiny_model.train()
    batch = encode(tiny_processor, PROMPTS[2:3])
    loss = tiny_model(**batch, labels=batch["input_ids"]).loss
    torch.testing.assert_close(loss, tiny_model.eval()(**batch, labels=batch["input_ids"]).loss)
    loss.backward()
    assert [name for name, parameter in tiny_model.named_parameters() if parameter.grad is None] == []


def test_gradients_come_in_one_order_with_and_without_dna(tiny_model, tiny_processor):
    """Processes under ZeRO add up their gradients in this order, or they would add those of different weights."""
    tiny_model.train()
    orders = []
    for prompt in (PROMPTS[0], PROMPTS[2]):
        order = []
        handles = [
            parameter.register_post_accumulate_grad_hook(lambda _, name=name, order=order: order.append(name))
            for name, parameter in tiny_model.named_parameters()
        ]
        batch = encode(tiny_processor, [prompt])
        tiny_model(**batch, labels=batch["input_ids"]).loss.backward()
        orders.append(order)
        for handle in handles:
            handle.remove()
    assert orders[0] == orders[1]


def test_activation_checkpointing_gives_the_same_gradients(tiny_model, tiny_processor):
    for module in tiny_model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    batch, gradients = encode(tiny_processor, PROMPTS), []
    for checkpointing in (False, True):
        if checkpointing:
            tiny_model.activation_checkpointing_enable()
        tiny_model.train()
        tiny_model.zero_grad()
        tiny_model(**batch, labels=batch["input_ids"], use_cache=False).loss.backward()
        gradients.append([parameter.grad.clone() for parameter in tiny_model.parameters()])
    torch.testing.assert_close(*gradients)


def test_loss_is_that_of_the_labels(tiny_model, tiny_processor):
    rows = [{"messages": [*PROMPTS[0], {"role": "assistant", "content": "Answer: cancer"}]}]
    batch = TextGenomeCollator(tiny_processor)(rows)
    outputs = tiny_model(**batch)
    expected = torch.nn.functional.cross_entropy(outputs.logits[0, :-1], batch["labels"][0, 1:], ignore_index=-100)
    torch.testing.assert_close(outputs.loss, expected)


def test_packed_documents_are_kept_apart_without_a_cache_only(tiny_model):
    ids = torch.randint(10, 200, (1, 12))
    positions = torch.tensor([[*range(7), *range(5)]])
    packed = tiny_model(input_ids=ids, position_ids=positions, use_cache=False).logits
    alone = torch.cat([tiny_model(input_ids=part).logits for part in (ids[:, :7], ids[:, 7:])], dim=1)
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=1e-4)
    for use_cache in (None, True):
        with pytest.raises(ValueError, match="packed documents are kept apart with `use_cache=False` only"):
            tiny_model(input_ids=ids, position_ids=positions, use_cache=use_cache)
    tiny_model(input_ids=ids, position_ids=torch.arange(12)[None])
