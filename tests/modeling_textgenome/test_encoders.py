import copy

import pytest
import torch
from conftest import conversation
from tiny_models import ENCODERS, GREEDY, PROMPTS, encode, tiny_config
from transformers import GPT2Config
from transformers.models.esm import EsmConfig

from textgenome import TextGenomeForConditionalGeneration
from textgenome.processing import build_dna_tokenizer


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


def test_a_language_model_of_another_family(tiny_processor):
    text = GPT2Config(vocab_size=320, n_embd=32, n_layer=2, n_head=2, n_positions=512)
    model = TextGenomeForConditionalGeneration(tiny_config(text_config=text)).eval()
    assert model.lm_head.weight is model.get_input_embeddings().weight
    batch = encode(tiny_processor, PROMPTS[:1])
    cached, uncached = (model.generate(**batch, use_cache=use, **GREEDY) for use in (True, False))
    assert torch.equal(cached, uncached)
