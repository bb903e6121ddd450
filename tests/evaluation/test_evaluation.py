import pytest
from conftest import conversation, random_dna, variant_row

from textgenome.evaluation import compare_controls, exchange_dna, extract_answer, generate


@pytest.mark.parametrize(
    "text, answer",
    [
        ("Answer: Breast cancer", "breast cancer"),
        ("<think>\nAnswer: wrong\n</think>\n\nanswer: right.<|im_end|>\n", "right"),
        ("Answer: one\nAnswer:   two  words ", "two words"),
        ('**Answer:** "quoted"', "quoted"),
        ("- Answer: “x”", "x"),
        ("The answer is cancer", None),
        ("<think>\nAnswer: cut off", None),
        ("Answer:", None),
        ("", None),
    ],
)
def test_extract_answer(text, answer):
    assert extract_answer(text) == answer


def test_exchanged_rows_get_the_pair_of_another_row():
    rows = [variant_row(seed=i, answer=str(i)) for i in range(9)]
    exchanged = exchange_dna(rows, seed=3)
    assert exchanged == exchange_dna(rows, seed=3) != exchange_dna(rows, seed=4)
    pairs = [(row["reference_sequence"], row["variant_sequence"]) for row in rows]
    given = [(row["reference_sequence"], row["variant_sequence"]) for row in exchanged]
    assert sorted(given) == sorted(pairs)
    assert all(pair != other for pair, other in zip(pairs, given))
    assert [row["answer"] for row in exchanged] == [row["answer"] for row in rows]


def test_one_row_has_nobody_to_exchange_with():
    with pytest.raises(ValueError, match="two rows"):
        exchange_dna([variant_row()])


def test_rows_are_asked_as_they_train(tiny_model, tiny_processor):
    prompts = []
    tiny_model.model.register_forward_pre_hook(
        lambda _, args, kwargs: prompts.extend(kwargs["input_ids"]), with_kwargs=True
    )
    rows = [variant_row(reasoning="Step 1"), variant_row(seed=1)]
    compare_controls(tiny_model, tiny_processor, rows, dna="none", max_new_tokens=1)
    asked = [tiny_processor.decode(prompt).split("assistant\n")[1] for prompt in prompts]
    assert asked == ["", "<think>\n\n</think>\n\n"]
    assert not any("dna" in tiny_processor.decode(prompt) for prompt in prompts)


def test_no_answer_is_never_right(tiny_model, tiny_processor):
    rows = [variant_row(seed=i, answer="?") for i in range(2)]
    assert set(compare_controls(tiny_model, tiny_processor, rows, max_new_tokens=2).values()) == {0.0}


def test_batched_generation_equals_one_by_one(tiny_model, tiny_processor):
    prompts = [conversation(random_dna(length), question="Why" * length) for length in (3, 60, 20, 31, 8)]
    together = generate(tiny_model, tiny_processor, prompts, batch_size=3, max_new_tokens=10)
    alone = [generate(tiny_model, tiny_processor, [prompt], max_new_tokens=10)[0] for prompt in prompts]
    assert together == alone
    assert len(set(together)) > 1


def test_controls_give_the_model_other_dna_and_none(tiny_model, tiny_processor):
    seen = []
    tiny_model.model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs.get("dna_input_ids")), with_kwargs=True
    )
    rows = [variant_row(seed=i, reasoning="Step 1") for i in range(4)]
    accuracies = compare_controls(tiny_model, tiny_processor, rows, max_new_tokens=1)
    assert list(accuracies) == ["as is", "DNA exchanged", "DNA removed"]
    as_is, exchanged, removed = seen
    assert as_is.shape == exchanged.shape and not (as_is == exchanged).all()
    assert removed is None
