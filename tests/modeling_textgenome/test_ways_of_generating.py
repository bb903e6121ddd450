"""The ways in which the library generates: each reads DNA, or says in one sentence why not and what to do."""

import pytest
import torch
from conftest import TINY_CHECKPOINT, conversation, random_dna
from tiny_models import GREEDY, PROMPTS, encode
from transformers import AutoModelForMultimodalLM, Qwen3ForCausalLM, pipeline

from textgenome.modeling_cache import CACHE_NAME


def continued(model, batch, cache=None, **options) -> list[list[int]]:
    options = {**GREEDY, **options, **({CACHE_NAME: cache} if cache is not None else {})}
    return model.generate(**batch, **options)[:, batch["input_ids"].shape[1] :].tolist()


@pytest.mark.parametrize("options", [{"prompt_lookup_num_tokens": 3}, {"cache_implementation": "static"}])
def test_other_ways_give_the_same_answer(tiny_model, tiny_processor, options):
    batch = encode(tiny_processor, PROMPTS[:1])
    assert continued(tiny_model, batch, **options) == continued(tiny_model, batch)


def test_a_draft_model_that_reads_dna_changes_nothing(tiny_model, tiny_processor):
    drafts = AutoModelForMultimodalLM.from_pretrained(TINY_CHECKPOINT).eval()
    calls = []
    drafts.model.dna_encoder.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        drafts.lm_head.weight.add_(0.05 * torch.randn_like(drafts.lm_head.weight))  # or none would be turned down
    batch = encode(tiny_processor, PROMPTS[:1])
    assert continued(tiny_model, batch, assistant_model=drafts) == continued(tiny_model, batch)
    assert calls == [1]


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"assistant_model": None},
            "reads no DNA .*: use a smaller model of textgenome, or `prompt_lookup_num_tokens`",
        ),
        ({"assistant_early_exit": 1}, "this model is two: use `prompt_lookup_num_tokens`"),
        ({"prefill_chunk_size": 16}, "would cut the prompt .*: leave it unset"),
    ],
)
def test_what_cannot_read_dna_says_so(tiny_model, tiny_processor, options, message):
    if "assistant_model" in options:
        options = {"assistant_model": Qwen3ForCausalLM(tiny_model.config.text_config).eval()}
    with pytest.raises(ValueError, match=message):
        continued(tiny_model, encode(tiny_processor, PROMPTS[:1]), **options)


def test_a_prompt_that_fits_in_one_chunk_is_read(tiny_model, tiny_processor):
    batch = encode(tiny_processor, PROMPTS[:1])
    assert continued(tiny_model, batch, prefill_chunk_size=1000) == continued(tiny_model, batch)


def test_prompts_padded_on_the_right_are_refused(tiny_model, tiny_processor):
    with pytest.raises(ValueError, match="Pad prompts on the left"):
        tiny_model.generate(**encode(tiny_processor, PROMPTS, side="right"), **GREEDY)


def second_turn(first, sequences, later):
    """Tokens of both turns, and their DNA: that of the whole conversation, and that which is new."""
    ids = torch.cat([sequences, later["input_ids"]], 1)
    width = max(each["dna_input_ids"].shape[-1] for each in (first, later) if "dna_input_ids" in each)

    def dna(*turns):
        names = ("dna_input_ids", "dna_attention_mask")
        turns = [each for each in turns if "dna_input_ids" in each]
        padded = {n: [torch.nn.functional.pad(t[n], (0, width - t[n].shape[-1])) for t in turns] for n in names}
        return {name: torch.cat(values, 1) for name, values in padded.items() if values}

    written = torch.ones_like(sequences[:, first["input_ids"].shape[1] :])
    tokens = {"input_ids": ids}
    tokens["attention_mask"] = torch.cat([first["attention_mask"], written, later["attention_mask"]], 1)
    return {**tokens, **dna(first, later)}, {**tokens, **dna(later)}


TEXT, DNA = conversation(question="And now?"), conversation(random_dna(7), question="More?")


@pytest.mark.parametrize("later", [[TEXT, TEXT], [DNA, DNA], [DNA, TEXT], [TEXT, DNA]])
def test_a_second_turn_goes_on_with_the_returned_cache(tiny_model, tiny_processor, later):
    first, later = encode(tiny_processor, PROMPTS[:2]), encode(tiny_processor, later)
    sequences = tiny_model.generate(**first, **GREEDY)
    whole, new = second_turn(first, sequences, later)
    expected = continued(tiny_model, whole)
    encoded = []
    for batch in (whole, new):
        outputs = tiny_model.generate(**first, **GREEDY, return_dict_in_generate=True)
        hook = tiny_model.model.dna_encoder.register_forward_pre_hook(lambda *_: encoded.append(1))
        assert continued(tiny_model, batch, outputs[CACHE_NAME]) == expected
        hook.remove()
    assert len(encoded) == (2 if "dna_input_ids" in later else 0)


def test_dna_that_is_not_in_the_text_of_a_later_turn_is_not_dropped(tiny_model, tiny_processor):
    first, dna = (encode(tiny_processor, [each]) for each in (PROMPTS[2], PROMPTS[1]))
    outputs = tiny_model.generate(**first, **GREEDY, return_dict_in_generate=True)
    later = encode(tiny_processor, [conversation(question="And now?")])
    later |= {name: dna[name] for name in dna if name.startswith("dna")}
    _, batch = second_turn(first, outputs.sequences, later)
    with pytest.raises(ValueError, match=r"in row 0, tokens: 0, features: 33\. With a cache, pass tokens and DNA of"):
        continued(tiny_model, batch, outputs[CACHE_NAME])


def test_the_pipeline_that_only_tokenizes_names_the_one_that_reads_dna():
    with pytest.raises(ValueError, match='of pipelines take "any-to-any"'):
        pipeline("text-generation", model=str(TINY_CHECKPOINT))(PROMPTS[0], max_new_tokens=2)


def test_a_pipeline_answers_one_by_one_and_refuses_padding_on_the_right():
    ask = pipeline("any-to-any", model=str(TINY_CHECKPOINT))
    rows, options = [PROMPTS[0], PROMPTS[1], PROMPTS[2]], {"return_full_text": False, **GREEDY}
    answers = [ask(row, **options)[0]["generated_text"] for row in rows]
    assert [each[0]["generated_text"] for each in ask(rows, **options)] == answers
    texts = [conversation(question="Hi"), conversation(question="How are you today?")]
    with pytest.raises(ValueError, match="padding_side = 'left'"):
        ask(texts, batch_size=2, **options)
