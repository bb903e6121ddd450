"""All labels scored in one pass, against the whole turn of each read by itself."""

import pytest
import torch
from conftest import conversation, random_dna

from textgenome import TextGenomeConfig, TextGenomeForConditionalGeneration
from textgenome.data import TextGenomeCollator
from textgenome.inference.scoring import LabelTree, score_batch, takes_mask


PROMPTS = [conversation(random_dna(20)), conversation(random_dna(41), question="Which of them is it?"), conversation()]
LABELS = ["lung cancer", "lung", "lung cancers", "a", "acidosis", "b"]
TEXT = {"model_type": "qwen3", "vocab_size": 320, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
TEXT |= {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "initializer_range": 0.2}
WINDOW = {"use_sliding_window": True, "sliding_window": 12, "layer_types": ["full_attention", "sliding_attention"]}


def build(processor, **text) -> TextGenomeForConditionalGeneration:
    names = ("dna_token_id", "dna_start_token_id", "dna_end_token_id")
    dna = {"model_type": "hyenadna", "d_model": 16, "d_inner": 16, "n_layer": 1, "max_seq_len": 64}
    tokens = {name: getattr(processor, name) for name in names}
    config = TextGenomeConfig(text_config={**TEXT, **text}, dna_config=dna, **tokens)
    return TextGenomeForConditionalGeneration(config).eval()


@torch.no_grad()
def whole_turns(model, processor, prompt: list[dict]) -> list[float]:
    """The log-probabilities of the labels, each behind a prompt of its own."""
    likelihoods = []
    for label in LABELS:
        turn = {"role": "assistant", "content": [{"type": "text", "text": f"Answer: {label}"}]}
        batch = TextGenomeCollator(processor)([{"messages": [*prompt, turn]}])
        labels = batch.pop("labels")[:, 1:]
        labels[:, -1] = -100  # the line end, which each label has
        logits = model(**batch).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.mT, labels, ignore_index=-100, reduction="sum")
        likelihoods.append(-loss)
    return torch.stack(likelihoods).log_softmax(0).tolist()


@pytest.mark.parametrize("text", [{}, WINDOW], ids=["full attention", "sliding window"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_scores_of_all_labels_are_those_of_each_turn(tiny_processor, text, attention):
    model = build(tiny_processor, **text)
    model.set_attn_implementation(attention)
    together = score_batch(model, tiny_processor, PROMPTS, LABELS)
    for prompt, scores in zip(PROMPTS, together):
        assert list(scores) == LABELS
        assert list(scores.values()) == pytest.approx(whole_turns(model, tiny_processor, prompt), abs=5e-5)


def test_attention_that_takes_no_mask_of_each_token_is_put_aside_meanwhile(tiny_processor):
    decoder = build(tiny_processor).get_decoder()
    for implementation, meanwhile in {"flex_attention": "sdpa", "eager": "eager", "sdpa": "sdpa"}.items():
        decoder.set_attn_implementation(implementation)
        with takes_mask(decoder):
            assert decoder.config._attn_implementation == meanwhile
        assert decoder.config._attn_implementation == implementation


def test_what_labels_begin_with_alike_is_read_once():
    tree = LabelTree.of([[1, 2, 3, 9], [1, 2, 9], [4, 9]])
    assert tree.tokens == [1, 2, 3, 4]
    assert tree.paths == [[0], [0, 1], [0, 1, 2], [3]]
    assert tree.ends == [[0, 1, 2, 3], [0, 1, 2], [0, 4]]


def test_the_language_model_reads_the_labels_of_a_batch_in_one_pass(tiny_model, tiny_processor):
    calls = []
    tiny_model.get_decoder().register_forward_hook(lambda *_: calls.append(1))
    score_batch(tiny_model, tiny_processor, PROMPTS, LABELS)
    assert len(calls) == 2  # the prompts, and all labels
