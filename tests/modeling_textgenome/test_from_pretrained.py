import pytest
import torch
import transformers
from conftest import TINY_CHECKPOINT
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from tiny_models import ENCODERS, PROMPTS, encode, tiny_config
from transformers import (
    AutoModelForMultimodalLM,
    LlamaForCausalLM,
    MixtralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.models.esm import EsmModel

from textgenome import HyenaDNAModel, TextGenomeConfig, TextGenomeForConditionalGeneration


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
