import copy

import pytest
import torch
from conftest import conversation, random_dna
from tiny_models import GREEDY, PROMPTS, encode, tiny_config

from textgenome import TextGenomeForConditionalGeneration
from textgenome.processing import build_dna_tokenizer


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


def with_projector(processor, config=None, **projector):
    processor = copy.copy(processor)
    for name, value in projector.items():
        setattr(processor, name, value)
    return processor, TextGenomeForConditionalGeneration(tiny_config(**(config or {}), **projector)).eval()


@pytest.mark.parametrize("hidden", [None, [7]], ids=["all tokens", "without A"])
@pytest.mark.parametrize("projector", PROJECTORS)
def test_projectors_alone_in_a_batch_and_on_either_side(tiny_processor, projector, hidden):
    settings = {"projector_type": projector, "dna_hidden_token_ids": hidden, **PROJECTORS[projector]}
    processor, model = with_projector(tiny_processor, **settings)
    conversations = [*PROMPTS, PAIRS[0]]
    for side in ("right", "left"):  # to go on, the left one
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
