import copy

import pytest
import torch
import transformers
from conftest import TINY_CHECKPOINT, conversation, random_dna
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from tokenizers import normalizers
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    GPT2Config,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.models.esm import EsmConfig, EsmModel

from textgenome import HyenaDNAConfig, HyenaDNAModel, TextGenomeConfig, TextGenomeForConditionalGeneration
from textgenome.data import TextGenomeCollator
from textgenome.processing import build_dna_tokenizer


PROMPTS = [
    conversation(random_dna(20), random_dna(21)),
    conversation(random_dna(33), question="Is it long?"),
    conversation(question="No DNA at all?"),
    conversation(random_dna(5), random_dna(60), random_dna(5), question="Many"),
]
GREEDY = {"do_sample": False, "max_new_tokens": 12}


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
        torch.testing.assert_close(together[i][batch["attention_mask"][i].bool()], alone, atol=1e-5, rtol=1e-5)


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
    cache = tiny_model(**first, use_cache=True).past_key_values
    later = without_dna(encode(tiny_processor, PROMPTS[1:2]))
    with pytest.raises(ValueError, match="was not passed"):
        tiny_model(input_ids=later["input_ids"], past_key_values=cache)


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


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("projector", ["linear", "mlp"])
def test_save_and_load(tmp_path, tied, projector):
    config = tiny_config(projector_type=projector)
    config.text_config.tie_word_embeddings = tied
    model = TextGenomeForConditionalGeneration(TextGenomeConfig(**config.to_dict())).eval()
    assert (model.lm_head.weight is model.get_input_embeddings().weight) == tied
    model.save_pretrained(tmp_path)
    loaded, info = AutoModelForMultimodalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert (loaded.lm_head.weight is loaded.get_input_embeddings().weight) == tied
    ids = torch.randint(0, 300, (1, 9))
    assert torch.equal(loaded(input_ids=ids).logits, model(input_ids=ids).logits)


ENCODERS = {
    "hyenadna": HyenaDNAConfig(d_model=16, d_inner=32, max_seq_len=64),
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


@pytest.mark.parametrize("layer", [-1, 1])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_any_encoder(tiny_processor, encoder, layer):
    config = tiny_config(dna_config=ENCODERS[encoder], dna_feature_layer=layer)
    model = TextGenomeForConditionalGeneration(config).eval()
    batch = encode(tiny_processor, PROMPTS)
    together = model(**batch).logits
    for i, prompt in enumerate(PROMPTS):
        alone = model(**encode(tiny_processor, [prompt])).logits[0]
        torch.testing.assert_close(together[i][batch["attention_mask"][i].bool()], alone, atol=1e-5, rtol=1e-4)
    model.train()
    model(**batch, labels=batch["input_ids"]).loss.backward()
    # What stands behind the layer that feeds the projector has no part in the loss.
    unused = [n for n, p in model.named_parameters() if p.grad is None]
    assert unused == [] or layer == 1
    first_layer = next(p for n, p in model.model.dna_encoder.named_parameters() if "layer" in n)
    assert first_layer.grad.abs().sum() > 0


def test_a_language_model_of_another_family(tiny_processor):
    text = GPT2Config(vocab_size=320, n_embd=32, n_layer=2, n_head=2, n_positions=512)
    model = TextGenomeForConditionalGeneration(tiny_config(text_config=text)).eval()
    assert model.lm_head.weight is model.get_input_embeddings().weight
    batch = encode(tiny_processor, PROMPTS[:1])
    cached, uncached = (model.generate(**batch, use_cache=use, **GREEDY) for use in (True, False))
    assert torch.equal(cached, uncached)


def test_from_text_dna_pretrained(tiny_processor, tmp_path):
    text = Qwen3ForCausalLM(tiny_config().text_config)
    text.generation_config.temperature = 0.5
    text.generation_config.do_sample = True
    text.save_pretrained(tmp_path / "text")
    dna = HyenaDNAModel(ENCODERS["hyenadna"])
    dna.save_pretrained(tmp_path / "dna")
    ids = {name: getattr(tiny_processor, name) for name in ("dna_token_id", "dna_start_token_id", "dna_end_token_id")}
    model = TextGenomeForConditionalGeneration.from_text_dna_pretrained(
        str(tmp_path / "text"), str(tmp_path / "dna"), projector_type="mlp", **ids
    )
    plain = torch.tensor([[5, 6, 7]])
    torch.testing.assert_close(model(input_ids=plain).logits, text.eval()(input_ids=plain).logits)
    states = model.get_dna_features(plain[None] + 2, torch.ones(1, 1, 3)).last_hidden_state
    torch.testing.assert_close(states, dna.eval()(plain + 2).last_hidden_state)
    assert model.config.projector_type == "mlp"
    assert model.generation_config.temperature == 0.5
    assert set(model.generation_config.suppress_tokens) == set(ids.values())
    assert not any(parameter.is_meta for parameter in [*model.parameters(), *model.buffers()])
    model.save_pretrained(tmp_path / "fused")
    loaded = AutoModelForMultimodalLM.from_pretrained(tmp_path / "fused").eval()
    batch = encode(tiny_processor, PROMPTS[:1])
    torch.testing.assert_close(loaded(**batch).logits, model(**batch).logits)


@pytest.mark.parametrize("encoder, causal", [("mixtral", MixtralForCausalLM), ("llama", LlamaForCausalLM)])
def test_the_head_of_a_causal_encoder_is_dropped(tmp_path, encoder, causal):
    checkpoint = causal(ENCODERS[encoder]).eval()
    checkpoint.save_pretrained(tmp_path)
    text = Qwen3ForCausalLM(tiny_config().text_config)
    model = TextGenomeForConditionalGeneration.from_text_dna_pretrained(text, str(tmp_path))
    assert not any("lm_head" in name for name in model.model.dna_encoder.state_dict())
    ids = torch.randint(5, 10, (1, 12))
    states = model.get_dna_features(ids[None], torch.ones_like(ids)[None]).last_hidden_state
    torch.testing.assert_close(states, checkpoint.base_model(ids, use_cache=False).last_hidden_state)


def test_a_causal_encoder_that_is_handed_over_loses_its_head():
    text, dna = Qwen3ForCausalLM(tiny_config().text_config), MixtralForCausalLM(ENCODERS["mixtral"])
    model = TextGenomeForConditionalGeneration.from_text_dna_pretrained(text, dna)
    assert model.model.dna_encoder is dna.model


def test_both_models_come_in_the_type_of_the_language_model(tmp_path):
    text = Qwen3ForCausalLM(tiny_config().text_config).to(torch.bfloat16)
    text.save_pretrained(tmp_path / "text")
    HyenaDNAModel(ENCODERS["hyenadna"]).save_pretrained(tmp_path / "dna")
    model = TextGenomeForConditionalGeneration.from_text_dna_pretrained(str(tmp_path / "text"), str(tmp_path / "dna"))
    model.save_pretrained(tmp_path / "fused")
    loaded = AutoModelForMultimodalLM.from_pretrained(tmp_path / "fused")
    assert loaded.dtype == loaded.lm_head.weight.dtype == torch.bfloat16
    encoder = loaded.model.dna_encoder
    assert encoder.layers[0].mixer.in_proj.weight.dtype == torch.bfloat16
    assert encoder.layers[0].mixer.filter_fn.bias.dtype == torch.float32


def test_from_text_dna_pretrained_takes_models_and_grows_the_embedding():
    config = Qwen3Config(**{**tiny_config().text_config.to_dict(), "vocab_size": 100})
    model = TextGenomeForConditionalGeneration.from_text_dna_pretrained(
        Qwen3ForCausalLM(config), EsmModel(ENCODERS["esm"]), dna_token_id=105
    )
    assert model.lm_head.weight.shape[0] == model.config.text_config.vocab_size == 106
    assert model.model.dna_encoder.pooler is None and model.model.dna_encoder.contact_head is None


@pytest.mark.parametrize(
    "family, changed", [("Granite", {"logits_scaling": 8}), ("Gemma2", {"final_logit_softcapping": 0.1}), ("Phi", {})]
)
def test_a_language_model_that_does_more_than_its_head_is_refused(family, changed):
    sizes = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "head_dim": 8}
    sizes |= {"num_attention_heads": 2, "num_key_value_heads": 2, "pad_token_id": 0, "initializer_range": 0.5}
    config = getattr(transformers, f"{family}Config")(**sizes, **changed)
    text = getattr(transformers, f"{family}ForCausalLM")(config)
    if family == "Phi":
        torch.nn.init.ones_(text.lm_head.bias)
    with pytest.raises(ValueError, match=f"{family}ForCausalLM has a bias in its head or changes its logits"):
        TextGenomeForConditionalGeneration.from_text_dna_pretrained(text, HyenaDNAModel(ENCODERS["hyenadna"]))


def test_adapter_carries_projector_and_markers_and_merges(tiny_model, tiny_processor, tmp_path):
    batch = encode(tiny_processor, PROMPTS)
    before = tiny_model(**batch).logits
    lora = LoraConfig(
        r=4,
        target_modules=r".*\.language_model\..*\.(q_proj|v_proj)",
        modules_to_save=["projector", "dna_markers"],
        task_type="CAUSAL_LM",
        init_lora_weights=False,
    )
    model = get_peft_model(tiny_model, lora).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "modules_to_save" in name:
                parameter += 0.1 * torch.randn_like(parameter)
    changed = model(**batch).logits
    assert (changed - before).abs().max() > 0.1
    model.save_pretrained(tmp_path)
    keys = load_file(tmp_path / "adapter_model.safetensors").keys()
    assert any("projector" in key for key in keys) and any("dna_markers" in key for key in keys)
    assert not any("dna_encoder" in key or "lm_head" in key for key in keys)
    base = AutoModelForMultimodalLM.from_pretrained(TINY_CHECKPOINT)
    loaded = PeftModel.from_pretrained(base, tmp_path).eval()
    torch.testing.assert_close(loaded(**batch).logits, changed)
    merged = loaded.merge_and_unload()
    torch.testing.assert_close(merged(**batch).logits, changed, atol=1e-4, rtol=1e-4)
    merged.save_pretrained(tmp_path / "merged")
    again = AutoModelForMultimodalLM.from_pretrained(tmp_path / "merged").eval()
    torch.testing.assert_close(again(**batch).logits, merged(**batch).logits)


def with_projector(processor, config=None, **projector):
    processor = copy.copy(processor)
    for name, value in projector.items():
        setattr(processor, name, value)
    return processor, TextGenomeForConditionalGeneration(tiny_config(**(config or {}), **projector)).eval()


PROJECTORS = {
    "linear": {},
    "mlp": {},
    "pooled": {"projector_pool_size": 4, "projector_full_resolution": 3},
    "resampler": {"projector_num_queries": 6},
}
PAIRS = [
    [{"role": "user", "content": [{"type": "variant", "reference": reference, "variant": reference[:i] + "T"}]}]
    for i, reference in ((25, random_dna(30)), (70, "A" * 90))
]


@pytest.mark.parametrize("hidden", [None, [7]], ids=["all tokens", "without A"])
@pytest.mark.parametrize("projector", PROJECTORS)
def test_projectors_alone_in_a_batch_and_on_either_side(tiny_processor, projector, hidden):
    settings = {"projector_type": projector, "dna_hidden_token_ids": hidden, **PROJECTORS[projector]}
    processor, model = with_projector(tiny_processor, **settings)
    conversations = [*PROMPTS, PAIRS[0]]
    for side in ("left", "right"):
        batch = encode(processor, conversations, side)
        together = model(**batch).logits
        for i, prompt in enumerate(conversations):
            alone = model(**encode(processor, [prompt])).logits[0]
            mask = batch["attention_mask"][i].bool()
            torch.testing.assert_close(together[i][mask], alone, atol=1e-5, rtol=1e-4)
    cached, uncached = (model.generate(**batch, use_cache=use, **GREEDY) for use in (True, False))
    assert torch.equal(cached, uncached)


@pytest.mark.parametrize("projector", PROJECTORS)
def test_projectors_train_all_their_weights(tiny_processor, projector):
    processor, model = with_projector(tiny_processor, projector_type=projector, **PROJECTORS[projector])
    batch = encode(processor, [PAIRS[0], PROMPTS[2]])
    model.train()
    model(**batch, labels=batch["input_ids"]).loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    model.zero_grad()
    text = encode(processor, [PROMPTS[2]])
    model(**text, labels=text["input_ids"]).loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_pooling_keeps_every_token_near_the_variant(tiny_processor):
    processor, _ = with_projector(tiny_processor, projector_type="pooled", **PROJECTORS["pooled"])
    reference = "ACGT" * 7 + "AC"
    pair = {"type": "variant", "reference": reference, "variant": reference[:25] + "T"}
    batch = encode(processor, [[{"role": "user", "content": [pair]}]])
    # Of 30 bases the last 5 become one: 22 before the margin of 3 in groups of 4, then each for itself.
    pools = [ids[mask.bool()] for ids, mask in zip(batch["dna_pool_ids"][0], batch["dna_attention_mask"][0])]
    assert pools[0].bincount().tolist() == [4, 4, 4, 4, 4, 2, *[1] * 8]
    assert pools[1].bincount().tolist() == [4, 4, 4, 4, 4, 2, *[1] * 4]
    assert (batch["input_ids"] == processor.dna_token_id).sum() == 14 + 10


def test_pooling_is_near_the_variant_for_6mers_that_an_insertion_shifts(tiny_processor):
    processor, _ = with_projector(tiny_processor, projector_type="pooled", **PROJECTORS["pooled"])
    processor.dna_tokenizer = build_dna_tokenizer("nucleotide_transformer")
    processor.dna_hidden_token_ids = [processor.dna_tokenizer.cls_token_id]
    processor.dna_window = 700
    reference = random_dna(600)
    pair = {"type": "variant", "reference": reference, "variant": reference[:300] + "GG" + reference[300:]}
    batch = encode(processor, [[{"role": "user", "content": [pair]}]])
    assert (batch["input_ids"] == processor.dna_token_id).sum() < 2 * (100 / 4 + 8)


def test_pooled_takes_a_batch_without_shown_dna(tiny_processor):
    settings = {"projector_type": "pooled", "dna_hidden_token_ids": [1]}
    processor, model = with_projector(tiny_processor, **settings)
    model.train()
    text = encode(processor, [PROMPTS[2]])
    model(**text, labels=text["input_ids"]).loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_pooled_features_are_means(tiny_processor):
    processor, model = with_projector(tiny_processor, projector_type="pooled", **PROJECTORS["pooled"])
    batch = encode(processor, [conversation("ACGTAC")])
    outputs = model.get_dna_features(batch["dna_input_ids"], batch["dna_attention_mask"], batch["dna_pool_ids"])
    states = outputs.last_hidden_state[0]
    means = torch.stack([states[:4].mean(0), states[4:].mean(0)])
    torch.testing.assert_close(outputs.pooler_output, model.model.projector.linear(means))


def test_pooled_needs_to_be_told_where(tiny_processor):
    processor, model = with_projector(tiny_processor, projector_type="pooled")
    batch = encode(processor, PROMPTS[:1])
    batch.pop("dna_pool_ids")
    with pytest.raises(ValueError, match="needs `dna_pool_ids`"):
        model(**batch)


def test_resampler_makes_as_many_placeholders_for_any_length(tiny_processor):
    processor, _ = with_projector(tiny_processor, projector_type="resampler", projector_num_queries=6)
    batch = encode(processor, [conversation("A"), conversation("ACGT" * 30, "ACGT")])
    assert (batch["input_ids"] == processor.dna_token_id).sum(-1).tolist() == [6, 12]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_feature_layer_equals_the_hidden_state_of_that_index(encoder):
    ids, mask = torch.randint(7, 11, (2, 9)), torch.ones(2, 9, dtype=torch.long)
    for layer in (0, 1, 2, -1, -2, -3):
        config = tiny_config(dna_config=copy.deepcopy(ENCODERS[encoder]), dna_feature_layer=layer)
        model = TextGenomeForConditionalGeneration(config).eval().model
        states = model.dna_encoder(ids, attention_mask=mask, output_hidden_states=True, return_dict=True)
        torch.testing.assert_close(model.encode_dna(ids, mask), states.hidden_states[layer])


def test_tokens_that_the_tokenizer_adds_are_encoded_and_not_shown(tiny_processor):
    processor = copy.copy(tiny_processor)
    processor.dna_tokenizer = build_dna_tokenizer("nucleotide_transformer")
    processor.dna_hidden_token_ids = [processor.dna_tokenizer.cls_token_id]
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    positions = {"max_position_embeddings": 66, "position_embedding_type": "absolute"}
    dna = EsmConfig(vocab_size=4105, pad_token_id=1, mask_token_id=2, **sizes, **positions)
    model = TextGenomeForConditionalGeneration(tiny_config(dna_config=dna, dna_hidden_token_ids=[3])).eval()
    batch = encode(processor, [conversation("ACGTAC" * 5 + "ACG")])
    assert batch["dna_input_ids"].shape[-1] == 1 + 5 + 3
    assert (batch["input_ids"] == processor.dna_token_id).sum() == 5 + 3
    outputs = model.get_dna_features(batch["dna_input_ids"], batch["dna_attention_mask"])
    features = model.model.projector.linear(outputs.last_hidden_state[0, 1:])
    torch.testing.assert_close(outputs.pooler_output, features)
    model(**batch)


def test_a_pair_with_equal_tokens_is_refused(tiny_processor):
    processor = copy.copy(tiny_processor)
    processor.dna_tokenizer = copy.deepcopy(tiny_processor.dna_tokenizer)
    processor.dna_tokenizer.backend_tokenizer.normalizer = normalizers.Replace("T", "A")
    pair = {"type": "variant", "reference": "AAAA", "variant": "AATA"}
    with pytest.raises(ValueError, match="equal DNA tokens"):
        encode(processor, [[{"role": "user", "content": [pair]}]])
