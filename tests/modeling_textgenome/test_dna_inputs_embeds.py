"""Embeddings in place of DNA tokens, and their gradients through an encoder that is frozen."""

import pytest
import torch
from tiny_models import ENCODERS, PROMPTS

from textgenome import TextGenomeDNAConfig, TextGenomeDNAForSequenceClassification, TextGenomeDNAModel


EMBEDDING = [name for name in ENCODERS if name not in ("borzoi", "caduceus", "enformer")]


def inputs_of(processor):
    return processor.apply_chat_template(
        PROMPTS[:2], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )


def embeds_of(model, ids):
    embedding = model.base_model.dna_encoder.get_input_embeddings()
    return embedding(ids).detach().requires_grad_()


def test_embeddings_of_the_tokens_give_what_the_tokens_give_and_gradients_flow(tiny_model, tiny_processor):
    inputs = inputs_of(tiny_processor)
    tiny_model.requires_grad_(False)
    embeds = embeds_of(tiny_model, inputs["dna_input_ids"])
    expected = tiny_model(**inputs).logits
    logits = tiny_model(**inputs, dna_inputs_embeds=embeds).logits
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
    assert not expected.requires_grad
    logits[:, -1].logsumexp(-1).sum().backward()
    given = inputs["dna_attention_mask"].bool()
    assert (embeds.grad[given].abs().sum(-1) > 0).any() and embeds.grad[~given].abs().sum() == 0


@pytest.mark.parametrize("encoder", EMBEDDING)
def test_a_change_of_one_embedding_is_felt_by_every_encoder(encoder):
    config = TextGenomeDNAConfig(dna_config=ENCODERS[encoder].to_dict(), pooling_num_heads=2, num_labels=2)
    model = TextGenomeDNAForSequenceClassification(config).eval().requires_grad_(False)
    ids = torch.randint(7, 11, (2, 2, 9))
    mask = torch.ones_like(ids)
    mask[1, :, 6:] = 0
    embeds = embeds_of(model, ids)
    torch.testing.assert_close(
        model(ids, mask, dna_inputs_embeds=embeds).logits, model(ids, mask).logits, atol=1e-5, rtol=1e-5
    )
    model(ids, mask, dna_inputs_embeds=embeds).logits[:, 0].sum().backward()
    assert embeds.grad[mask.bool()].abs().sum() > 0 and embeds.grad[~mask.bool()].abs().sum() < 1e-5


def test_where_embeddings_cannot_stand_for_tokens_they_are_refused():
    ids = torch.tensor([[[7, 8, 9, 10]]])
    config = TextGenomeDNAConfig(dna_config=ENCODERS["caduceus"].to_dict(), pooling_num_heads=2)
    model = TextGenomeDNAModel(config).eval()
    with pytest.raises(ValueError, match="`dna_inputs_embeds` needs an encoder that embeds tokens"):
        model(ids, torch.ones_like(ids), dna_inputs_embeds=torch.zeros(1, 1, 4, 16))


def test_generation_reads_embeddings_in_the_prompt_only(tiny_processor, tiny_model):
    inputs = inputs_of(tiny_processor)
    expected = tiny_model.generate(**inputs, do_sample=False, max_new_tokens=5)
    embeds = embeds_of(tiny_model, inputs["dna_input_ids"]).detach()
    found = tiny_model.generate(**inputs, dna_inputs_embeds=embeds, do_sample=False, max_new_tokens=5)
    assert torch.equal(found, expected)
