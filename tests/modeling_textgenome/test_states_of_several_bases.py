"""Encoders whose states cover several bases, in the fused model and in models of DNA alone."""

import copy

import pytest
import torch
from conftest import conversation, random_dna
from tiny_models import GREEDY, SEVERAL_BASES, encode, tiny_config

from textgenome import (
    TextGenomeDNAConfig,
    TextGenomeDNAForSequenceClassification,
    TextGenomeDNAModel,
    TextGenomeForConditionalGeneration,
)
from textgenome.inference.feature_cache import FeatureCache
from textgenome.processing import TextGenomeDNAProcessor, build_dna_tokenizer


PROJECTORS = {
    "linear": {},
    "pooled": {"projector_pool_size": 3, "projector_full_resolution": 5},
    "resampler": {"projector_num_queries": 6},
}
REFERENCE = random_dna(60, 1)
PAIR = {"type": "variant", "reference": REFERENCE, "variant": REFERENCE[:29] + "GGTTGGTTG" + REFERENCE[30:]}
PROMPTS = [
    conversation(random_dna(20), random_dna(64)),
    conversation(random_dna(7)),
    conversation(question="No DNA at all?"),
    [{"role": "user", "content": [PAIR]}],
]


@pytest.fixture(params=SEVERAL_BASES)
def encoder(request):
    return copy.deepcopy(SEVERAL_BASES[request.param])


@pytest.fixture
def processor(tiny_processor):
    processor = copy.copy(tiny_processor)
    processor.dna_tokenizer, processor.bases_per_state = build_dna_tokenizer("enformer", model_max_length=256), 8
    processor.dna_window = 80
    return processor


@pytest.fixture
def dna_processor():
    return TextGenomeDNAProcessor(build_dna_tokenizer("enformer", model_max_length=256), dna_window=80)


@pytest.mark.parametrize("projector", PROJECTORS)
def test_fused_alone_in_a_batch_and_on_either_side(processor, encoder, projector):
    settings = {"projector_type": projector, **PROJECTORS[projector]}
    for name, value in settings.items():
        setattr(processor, name, value)
    model = TextGenomeForConditionalGeneration(tiny_config(dna_config=encoder, **settings)).eval()
    for side in ("right", "left"):
        batch = encode(processor, PROMPTS, side)
        together = model(**batch).logits
        for i, prompt in enumerate(PROMPTS):
            alone = model(**encode(processor, [prompt])).logits[0]
            mask = batch["attention_mask"][i].bool()
            torch.testing.assert_close(together[i][mask], alone, atol=1e-5, rtol=1e-4)
    cached, uncached = (model.generate(**batch, use_cache=use, **GREEDY) for use in (True, False))
    assert torch.equal(cached, uncached)


def test_a_placeholder_for_each_state_in_order(processor, encoder):
    model = TextGenomeForConditionalGeneration(tiny_config(dna_config=encoder)).eval()
    batch = encode(processor, [conversation(random_dna(20), random_dna(64), random_dna(8))])
    assert (batch["input_ids"] == processor.dna_token_id).sum() == 3 + 8 + 1
    features = model(**batch).dna_hidden_states
    parts = zip(features.split([3, 8, 1]), batch["dna_input_ids"][0], (20, 64, 8))
    for part, ids, length in parts:
        states = model.model.dna_encoder(ids[None, :length]).last_hidden_state[0]
        torch.testing.assert_close(part, model.model.projector.linear(states), atol=1e-5, rtol=1e-4)


def test_pooling_keeps_every_state_near_the_variant(processor):
    processor.projector_type, processor.projector_pool_size, processor.projector_full_resolution = "pooled", 3, 5
    batch = encode(processor, [[{"role": "user", "content": [PAIR]}]])
    pools = [ids[mask.bool()] for ids, mask in zip(batch["dna_pool_ids"][0], batch["dna_attention_mask"][0])]
    # The change is at base 29: of 60 bases those from 24 to 35 are near, states 3 and 4. In the variant it is nine
    # bases long, and states 3 to 5 are near.
    assert pools[0].bincount().tolist() == [24, 8, 8, 20]
    assert pools[1].bincount().tolist() == [24, 8, 8, 8, 20]
    assert (batch["input_ids"] == processor.dna_token_id).sum() == 4 + 5


def test_trained_in_a_batch_without_dna(processor, encoder):
    model = TextGenomeForConditionalGeneration(tiny_config(dna_config=encoder)).train()
    batch = encode(processor, PROMPTS[2:3])
    model(**batch, labels=batch["input_ids"]).loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    assert not any(value.any() for name, value in model.named_buffers() if name.endswith("running_mean"))


def test_states_and_their_spans_whichever_side_is_padded(dna_processor, encoder):
    model = TextGenomeDNAModel(TextGenomeDNAConfig(dna_config=encoder, pooling_num_heads=1)).eval()
    pairs = [random_dna(21, 1), random_dna(64, 1)], [random_dna(24, 2), random_dna(3, 2)]
    right, left = (
        model(**dna_processor(*pairs, padding_side=side, return_tensors="pt")) for side in ("right", "left")
    )
    expected = [[[8, 8, 5], [8, 8, 8]], [[8] * 8, [3]]]
    spans = right.state_spans.tolist()
    assert spans == left.state_spans.tolist() == [[row + [0] * (8 - len(row)) for row in pair] for pair in expected]
    torch.testing.assert_close(left.last_hidden_state, right.last_hidden_state)
    assert right.last_hidden_state.shape == (2, 2, 8, encoder.hidden_size)
    assert torch.equal(right.last_hidden_state.abs().sum(-1) > 0, right.state_spans > 0)
    ids = torch.tensor([dna_processor.dna_tokenizer(pairs[1][0])["input_ids"]])
    alone = model.dna_encoder(ids).last_hidden_state[0]
    torch.testing.assert_close(right.last_hidden_state[0, 1, :3], alone, atol=1e-5, rtol=1e-4)


def test_a_classifier_pools_the_states_of_each_sequence(dna_processor, encoder):
    config = TextGenomeDNAConfig(dna_config=encoder, pooling_num_heads=1, id2label=dict(enumerate("abc")))
    model = TextGenomeDNAForSequenceClassification(config).eval()
    pairs = [random_dna(21, 1), random_dna(64, 1)], [random_dna(24, 2), random_dna(3, 2)]
    together = model(**dna_processor(*pairs, return_tensors="pt")).logits
    for i, pair in enumerate(zip(*pairs)):
        alone = model(**dna_processor(*pair, return_tensors="pt")).logits[0]
        torch.testing.assert_close(together[i], alone, atol=1e-5, rtol=1e-4)
    batch = dna_processor(*pairs, return_tensors="pt")
    model.train()(**batch, labels=torch.tensor([0, 2])).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_cache_keeps_the_states_of_each_sequence(encoder, tmp_path):
    model = TextGenomeDNAModel(TextGenomeDNAConfig(dna_config=encoder, pooling_num_heads=1)).eval()
    model.requires_grad_(False)
    lengths = torch.tensor([20, 64, 8])
    mask = torch.arange(64) < lengths[:, None]
    ids = torch.randint(4, (3, 64)).masked_fill(~mask, 5)
    cache, expected = FeatureCache(model, tmp_path, 1e9), model.encode_dna(ids, mask.long())
    valid = mask[:, ::8]
    for _ in range(2):
        torch.testing.assert_close(cache.encode_dna(ids, mask.long())[valid], expected[valid], atol=1e-6, rtol=0)
    assert sorted(len(row) for row in cache.unwritten.values()) == [1, 3, 8]
    assert cache.num_encoded == 3
