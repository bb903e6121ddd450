"""Prompts that are read apart are continued as those that are read together."""

import pytest
import torch
from conftest import conversation, random_dna
from transformers.cache_utils import DynamicLayer

from textgenome.inference import prefill
from textgenome.inference.generation import generate, prompt_inputs
from textgenome.modeling_cache import CACHE_NAME


PROMPTS = [
    conversation(random_dna(20), random_dna(21)),
    conversation(random_dna(33), question="Is it long?"),
    conversation(question="No DNA at all?"),
    conversation(random_dna(33, seed=1), question="Is it long?"),
]


@pytest.fixture
def inputs(tiny_processor):
    return prompt_inputs(tiny_processor, PROMPTS)


@pytest.fixture(autouse=True)
def all_are_long(monkeypatch):
    monkeypatch.setattr(prefill, "LONG", 0)


@pytest.mark.parametrize("options", [{}, {"do_sample": True, "temperature": 1.5}], ids=["greedy", "sampled"])
def test_texts_are_those_of_prompts_that_are_read_together(tiny_model, tiny_processor, monkeypatch, options):
    texts, reads = [], []
    decoder = tiny_model.get_decoder()
    decoder.register_forward_pre_hook(
        lambda _, args, given: reads.append(given["inputs_embeds"].shape[:2]), with_kwargs=True
    )
    for prefill.LONG in (0, 10_000):
        reads.clear()
        torch.manual_seed(0)
        texts.append(generate(tiny_model, tiny_processor, PROMPTS, max_new_tokens=12, **options))
        batches = [rows for rows, length in reads if length > 1]
        assert batches == ([1, 2, 1] if prefill.LONG == 0 else [4])  # two prompts have the same length
    assert texts[0] == texts[1]


def test_logits_after_the_prompt_are_the_same(tiny_model, inputs):
    options = {"max_new_tokens": 3, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
    expected = tiny_model.generate(**inputs, **options)
    apart = prefill.read_apart(tiny_model, inputs, **options)
    assert CACHE_NAME in apart
    found = tiny_model.generate(**apart, **options)
    assert torch.equal(found.sequences, expected.sequences)
    torch.testing.assert_close(found.logits, expected.logits, atol=5e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"num_beams": 2},
        {"do_sample": True, "num_return_sequences": 2},
        {"use_cache": False},
        {"prompt_lookup_num_tokens": 2},
    ],
    ids=str,
)
def test_what_does_not_start_from_such_a_cache_is_read_together(tiny_model, inputs, options):
    assert prefill.read_apart(tiny_model, inputs, **options) is inputs


def test_of_the_last_layer_only_keys_and_values_are_computed(tiny_model, inputs):
    calls = []
    for layer in tiny_model.get_decoder().layers:
        layer.mlp.register_forward_hook(lambda *_, layer=layer: calls.append(layer))
    apart = prefill.read_apart(tiny_model, inputs)
    first, last = tiny_model.get_decoder().layers
    assert first in calls and last not in calls
    lengths = [layer.keys.shape[2] for layer in apart[CACHE_NAME].layers]
    assert lengths == [inputs["input_ids"].shape[1] - 1] * 2


def test_short_prompts_are_read_together(tiny_model, inputs, monkeypatch):
    monkeypatch.setattr(prefill, "LONG", inputs["input_ids"].shape[1] + 1)
    assert prefill.read_apart(tiny_model, inputs) is inputs


def test_a_window_of_attention_is_read_together(tiny_model, inputs):
    text = tiny_model.config.text_config
    text.sliding_window, text.layer_types = 8, ["sliding_attention"] * text.num_hidden_layers
    assert prefill.read_apart(tiny_model, inputs) is inputs


def test_a_layer_with_room_holds_what_a_plain_one_does(monkeypatch):
    monkeypatch.setattr(prefill, "ROOM", 2)
    prompt = torch.randn(2, 3, 1, 4, 2)
    plain, roomy = DynamicLayer(), prefill.RoomyLayer(*prompt)
    plain.update(*prompt)
    for step in range(8):
        if step == 4:
            for layer in (plain, roomy):
                layer.batch_select_indices(torch.tensor([2, 0]))
        new = torch.randn(2, len(plain.keys), 1, 1, 2)
        assert all(map(torch.equal, plain.update(*new), roomy.update(*new)))
        assert roomy.get_seq_length() == 5 + step
