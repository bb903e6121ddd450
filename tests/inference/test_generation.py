from copy import copy

import pytest
import torch
from conftest import conversation, random_dna, variant_row

from textgenome.data import BadRow, TextGenomeCollator
from textgenome.inference.generation import (
    by_length,
    check_prompts,
    check_question,
    count_prompt_tokens,
    ends_of_turn,
    generate,
    generate_batches,
    most_positions,
    prompt_inputs,
)
from textgenome.inference.scoring import score_labels


LABELS = ["cancer", "a much longer name of a disease", "x"]


@pytest.fixture
def prompts():
    return [conversation(random_dna(length), question="Why" * length) for length in (3, 60, 20, 31, 8)]


def test_batched_generation_equals_one_by_one(tiny_model, tiny_processor, prompts):
    together = generate(tiny_model, tiny_processor, prompts, batch_size=3, max_new_tokens=10)
    alone = [generate(tiny_model, tiny_processor, [prompt], max_new_tokens=10)[0] for prompt in prompts]
    assert together == alone
    assert len(set(together)) > 1


def test_tokens_are_counted_to_the_end_of_the_turn(tiny_model, tiny_processor, prompts):
    found = [row for batch in generate_batches(tiny_model, tiny_processor, prompts, max_new_tokens=7) for row in batch]
    assert {tokens for _, _, tokens in found} == {7}
    end = tiny_processor.tokenizer.eos_token_id
    with torch.no_grad():
        tiny_model.lm_head.weight[end] = 1e3 * tiny_model.lm_head.weight.mean(0)
    tiny_model.generation_config.suppress_tokens = [i for i in range(len(tiny_processor.tokenizer)) if i != end]
    found = [row for batch in generate_batches(tiny_model, tiny_processor, prompts, max_new_tokens=7) for row in batch]
    assert {row[1:] for row in found} == {("", 1)}


def test_the_longest_come_first(prompts):
    assert by_length(prompts, 2) == [[1, 3], [2, 4], [0]]


@pytest.mark.parametrize("projector", ["linear", "pooled", "resampler"])
@pytest.mark.parametrize("question", ["Why?" * 30, "Ché 𝛽? " * 10], ids=["ASCII", "other"])
@pytest.mark.parametrize("enable_thinking", [True, False])
def test_a_prompt_must_leave_room_for_an_answer(tiny_processor, projector, question, enable_thinking):
    processor = copy(tiny_processor)
    processor.projector_type, processor.projector_num_queries = projector, 200 if projector == "resampler" else 2
    prompts = [conversation(*dna, question=question) for dna in (["GATTACA"], [random_dna(40), random_dna(41)])]
    inputs = prompt_inputs(processor, prompts, enable_thinking)
    longest = int(inputs["attention_mask"].sum(1).max())
    assert count_prompt_tokens(processor, prompts[1], longest + 1, enable_thinking) == longest
    for positions in range(longest + 1, 4 * longest, 40):
        check_prompts(processor, prompts, positions, enable_thinking)
    for positions in (longest, longest - 1, 10):
        told = rf"the prompt has {longest} tokens|its DNA alone is \d+ tokens or more"
        message = f"({told}), prompt and answer may have {positions} together"
        with pytest.raises(ValueError, match=message):
            count_prompt_tokens(processor, prompts[1], positions, enable_thinking)
    with pytest.raises(ValueError, match=f"Row 1: the prompt has {longest} tokens"):
        check_prompts(processor, prompts, longest, enable_thinking)


def test_a_question_that_is_too_long_is_a_bad_row(tiny_model, tiny_processor):
    options = {"processor": tiny_processor, "positions": most_positions(tiny_model.config)}
    assert options["positions"] == 1024
    check_question(variant_row(), **options)
    with pytest.raises(BadRow, match=r"^the prompt has \d{4} tokens, prompt and answer may have 1024") as error:
        check_question(variant_row(question="Why? " * 900), **options)
    assert error.value.column == "question"
    with pytest.raises(BadRow, match="equal"):
        check_question(variant_row(variant_sequence=variant_row()["reference_sequence"]), **options)


def stop_after_one(batches):
    for _ in batches:
        break


def fail_after_one(batches):
    with pytest.raises(RuntimeError, match="full disk"):
        for _ in batches:
            raise RuntimeError("full disk")


@pytest.mark.parametrize("stop", [stop_after_one, fail_after_one])
@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_restored_when_stopped_early(tiny_model, tiny_processor, prompts, stop, training):
    tiny_model.train(training)
    modes = []
    tiny_model.register_forward_pre_hook(lambda model, _: modes.append(model.training))
    stop(generate_batches(tiny_model, tiny_processor, prompts, batch_size=2, max_new_tokens=2))
    assert tiny_model.training is training and torch.is_grad_enabled()
    stop(score_labels(tiny_model, tiny_processor, prompts, LABELS, batch_size=2))
    assert tiny_model.training is training and torch.is_grad_enabled()
    assert modes and not any(modes)


def test_the_mode_is_restored_when_the_model_fails(tiny_model, tiny_processor, prompts):
    tiny_model.train()
    with pytest.raises(ValueError):
        generate(tiny_model, tiny_processor, prompts, max_new_tokens=0)
    assert tiny_model.training


def test_a_turn_ends_where_the_model_or_the_tokenizer_says(tiny_model, tiny_processor):
    tokenizer = tiny_processor.tokenizer
    ids = {tokenizer.eos_token_id, tokenizer.pad_token_id}
    tiny_model.generation_config.eos_token_id = [5, 6]
    assert ends_of_turn(tiny_model, tiny_processor) == ids | {5, 6}
    tiny_model.generation_config.eos_token_id = None
    assert ends_of_turn(tiny_model, tiny_processor) == ids


REASONINGS = [
    "<think>\nIt breaks.\n</think>\n\n",
    "",
    "<think>\nAnswer: no.\n</think>\n\nSo:\n**",
    "a\n",
    "<think>\n\n</think>\n\n",
]


@pytest.mark.parametrize("reasonings", [[""] * 5, REASONINGS], ids=["at once", "behind reasoning"])
def test_scores_are_the_likelihood_of_the_whole_turn(tiny_model, tiny_processor, prompts, reasonings):
    outputs = [f"{reasoning}Answer: {LABELS[0]}<|im_end|>" for reasoning in reasonings] if any(reasonings) else None
    batches = score_labels(tiny_model, tiny_processor, prompts, LABELS, 3, outputs=outputs)
    found = {i: scores for batch in batches for i, scores in batch}
    assert sorted(found) == list(range(len(prompts)))
    for i, prompt in enumerate(prompts):
        likelihoods = []
        for label in LABELS:
            turn = {
                "role": "assistant",
                "content": [{"type": "text", "text": f"{reasonings[i].removesuffix('**')}Answer: {label}"}],
            }
            batch = TextGenomeCollator(tiny_processor)([{"messages": [*prompt, turn]}])
            labels = batch.pop("labels")[:, 1:]
            # The line end behind the turn is in every label alike.
            labels[:, -1] = -100
            with torch.no_grad():
                logits = tiny_model(**batch).logits[:, :-1]
            loss = torch.nn.functional.cross_entropy(logits.mT, labels, ignore_index=-100, reduction="sum")
            likelihoods.append(-loss)
        expected = torch.stack(likelihoods).log_softmax(0).tolist()
        assert list(found[i].values()) == pytest.approx(expected, rel=1e-5, abs=1e-4)


@pytest.mark.parametrize("output", ["<think>\nIt breaks.", "<think>\nAnswer: a\n</think>\n\nWho knows?", "Answer: "])
def test_where_there_is_no_answer_labels_are_scored_as_if_given_at_once(tiny_model, tiny_processor, prompts, output):
    at_once = list(score_labels(tiny_model, tiny_processor, prompts[:1], LABELS))
    assert list(score_labels(tiny_model, tiny_processor, prompts[:1], LABELS, outputs=[output])) == at_once


def test_a_prompt_is_encoded_once(tiny_model, tiny_processor, prompts):
    calls = []
    tiny_model.model.dna_encoder.register_forward_hook(lambda *_: calls.append(1))
    list(score_labels(tiny_model, tiny_processor, prompts, LABELS, batch_size=5))
    assert len(calls) == 1
