import copy

import pytest
import torch
from conftest import conversation, random_dna
from tokenizers import normalizers
from transformers import AutoProcessor, Qwen2Tokenizer

from textgenome.processing import (
    TextGenomeProcessor,
    build_dna_tokenizer,
    build_processor,
    chat_template,
    train_text_tokenizer,
)
from textgenome.processing.processing_dna import min_tokens


THINK = "<think>\n\n</think>\n\n"


def encode(processor, *conversations, **kwargs):
    return processor.apply_chat_template(
        list(conversations), tokenize=True, return_dict=True, return_tensors="pt", **kwargs
    )


def test_blocks_render_as_marked_placeholders(tiny_processor):
    messages = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "dna", "dna": "ACGT"},
                {"type": "text", "text": "Then"},
                {"type": "variant", "reference": "ACGT", "variant": "ACTT"},
                {"type": "text", "text": "what?"},
            ],
        },
    ]
    block = "<|dna_start|><|dna_pad|><|dna_end|>"
    assert tiny_processor.apply_chat_template(messages, add_generation_prompt=True) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        f"<|im_start|>user\n{block}Then{block}{block}what?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_assistant_turns_and_prompts(tiny_processor):
    def render(*messages, **kwargs):
        return tiny_processor.apply_chat_template(list(messages), **kwargs)

    user = {"role": "user", "content": "Q"}
    thought = {"role": "assistant", "reasoning_content": "Step 1", "content": "Answer: x"}
    plain = {"role": "assistant", "content": [{"type": "text", "text": "Answer: y"}]}
    prompt = "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n"
    first = prompt + "<think>\nStep 1\n</think>\n\nAnswer: x<|im_end|>\n"
    assert render(user, thought) == first
    assert render(user, plain) == prompt + THINK + "Answer: y<|im_end|>\n"
    assert render(user, add_generation_prompt=True, enable_thinking=False) == prompt + THINK
    assert render(user, add_generation_prompt=True, enable_thinking=True) == prompt
    # What follows changes nothing of what stands before.
    assert render(user, thought, user, plain) == first + render(user, plain)
    # What a model wrote goes back in as it is.
    written = {"role": "assistant", "content": "<think>\nStep 1\n</think>\n\nAnswer: x"}
    assert render(user, written) == first


def test_plain_reasoning_has_no_think_tags():
    tokenizer = train_text_tokenizer(["text"], 260)
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|dna_start|>", "<|dna_pad|>", "<|dna_end|>"]})
    processor = TextGenomeProcessor(tokenizer, build_dna_tokenizer(), chat_template=chat_template("plain"))
    messages = [
        {"role": "user", "content": "Q"},
        {"role": "assistant", "reasoning_content": "Step 1", "content": "Answer: x"},
        {"role": "user", "content": "Q"},
        {"role": "assistant", "content": "Answer: y"},
    ]
    assert processor.apply_chat_template(messages).split("<|im_start|>assistant\n")[1:] == [
        "Step 1\nAnswer: x<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n",
        "Answer: y<|im_end|>\n",
    ]


@pytest.mark.parametrize("block", [{"type": "image", "url": "x"}, {"type": "protein"}])
def test_unknown_blocks_are_refused(tiny_processor, block):
    with pytest.raises(Exception, match=f"user cannot hold a block of the type {block['type']}"):
        tiny_processor.apply_chat_template([{"role": "user", "content": [block]}])


def test_placeholders_equal_dna_tokens_in_reading_order(tiny_processor):
    sequences = [random_dna(length, 1) for length in (3, 50, 1)]
    batch = encode(tiny_processor, conversation(*sequences[:2]), conversation(sequences[2]), conversation("ACGTN"))
    placeholders = (batch["input_ids"] == tiny_processor.dna_token_id).sum(-1)
    assert placeholders.tolist() == [53, 1, 5]
    assert batch["dna_input_ids"].shape == batch["dna_attention_mask"].shape == (3, 2, 50)
    assert batch["dna_attention_mask"].sum(-1).tolist() == [[3, 50], [1, 0], [5, 0]]
    decoded = [
        tiny_processor.dna_tokenizer.decode(ids[mask.bool()])
        for ids, mask in zip(batch["dna_input_ids"].flatten(0, 1), batch["dna_attention_mask"].flatten(0, 1))
    ]
    assert decoded == [*sequences[:2], sequences[2], "", "ACGTN", ""]


def test_variant_blocks_are_cut_to_windows(tiny_processor):
    reference = random_dna(200)
    block = {"type": "variant", "reference": reference, "variant": reference[:100] + reference[101:]}
    batch = encode(tiny_processor, [{"role": "user", "content": [block]}])
    assert batch["dna_attention_mask"].sum(-1).tolist() == [[64, 63]]


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_side(tiny_processor, side):
    batch = encode(
        tiny_processor,
        conversation("ACGT" * 9),
        conversation("A"),
        processor_kwargs={"padding_side": side},
    )
    pad = batch["attention_mask"][1] == 0
    assert pad.sum() == 35
    assert pad[:35].all() if side == "left" else pad[-35:].all()
    assert (batch["input_ids"][1][pad] == tiny_processor.tokenizer.pad_token_id).all()


def test_pads_on_the_left_for_generation_unless_told_otherwise(tiny_processor):
    batch = encode(tiny_processor, conversation("ACGT" * 9), conversation("A"), add_generation_prompt=True)
    assert (batch["attention_mask"][:, -1] == 1).all()


def test_called_with_text_and_dna(tiny_processor):
    text = "a <|dna_start|><|dna_pad|><|dna_end|> b"
    one = tiny_processor(text=text, dna="acgt", return_tensors="pt")
    two = tiny_processor(text=[text], dna=["ACGT"], return_tensors="pt")
    assert one["input_ids"].tolist() == two["input_ids"].tolist()
    assert one["input_ids"].shape == one["attention_mask"].shape
    assert isinstance(tiny_processor(text=text, dna="acgt")["input_ids"], list)


@pytest.mark.parametrize(
    "text, dna, message",
    [
        ("<|dna_pad|>", None, "1 .* placeholders but 0 DNA"),
        ("text", "ACGT", "0 .* placeholders but 1 DNA"),
        ("<|dna_pad|>", ["ACGT", "ACGT"], "1 .* placeholders but 2 DNA"),
        ("<|dna_pad|>", "ACXGT", "'X' at position 3"),
        ("<|dna_pad|>", "", "empty"),
        ("<|dna_pad|>", "A" * 257, "257 bases has 257 tokens, but the encoder reads at most 256"),
        (None, "ACGT", "provide `text`"),
    ],
)
def test_bad_input_is_refused(tiny_processor, text, dna, message):
    with pytest.raises(ValueError, match=message):
        tiny_processor(text=text, dna=dna)


@pytest.mark.parametrize(
    "block, message",
    [
        ({"type": "variant", "reference": "ACGT", "variant": "acgt"}, "equal"),
        ({"type": "variant", "reference": "ACGT"}, "needs the field 'variant'"),
        ({"type": "dna"}, "needs the field 'dna'"),
        ({"type": "dna", "dna": "AC GT?"}, r"'\?' at position 6"),
    ],
)
def test_bad_blocks_are_refused(tiny_processor, block, message):
    with pytest.raises(ValueError, match=message):
        encode(tiny_processor, [{"role": "user", "content": [block]}])


def test_placeholders_typed_by_a_user_are_refused(tiny_processor):
    with pytest.raises(ValueError, match=r"2 .* placeholders but 1 DNA"):
        encode(tiny_processor, conversation("ACGT", question="Is <|dna_pad|> a token?"))


def test_a_pair_with_equal_tokens_is_refused(tiny_processor):
    processor = copy.copy(tiny_processor)
    processor.dna_tokenizer = copy.deepcopy(tiny_processor.dna_tokenizer)
    processor.dna_tokenizer.backend_tokenizer.normalizer = normalizers.Replace("T", "A")
    pair = {"type": "variant", "reference": "AAAA", "variant": "AATA"}
    with pytest.raises(ValueError, match="equal DNA tokens"):
        encode(processor, [{"role": "user", "content": [pair]}])


def test_truncation_never_cuts_placeholders(tiny_processor):
    messages = conversation("ACGT" * 5, question="What does it do? " * 10)
    whole = encode(tiny_processor, messages)["input_ids"]
    cut = encode(tiny_processor, messages, processor_kwargs={"truncation": True, "max_length": 40})["input_ids"]
    assert cut.tolist() == whole[:, :40].tolist()
    options = {"truncation": "do_not_truncate", "max_length": 20}
    assert encode(tiny_processor, messages, processor_kwargs=options)["input_ids"].tolist() == whole.tolist()
    with pytest.raises(ValueError, match="would cut DNA"):
        encode(tiny_processor, messages, processor_kwargs={"truncation": True, "max_length": 20})


def test_save_and_load(tiny_processor, tmp_path):
    tiny_processor.save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert type(loaded) is TextGenomeProcessor
    assert loaded.dna_window == tiny_processor.dna_window == 64
    assert loaded.bases_per_state == tiny_processor.bases_per_state == 1
    assert loaded.chat_template == tiny_processor.chat_template
    before, after = (encode(processor, conversation("ACGTN", "acgu")) for processor in (tiny_processor, loaded))
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_tokenizer_without_the_dna_tokens_is_refused():
    with pytest.raises(ValueError, match=r"does not know <\|dna_pad\|>"):
        TextGenomeProcessor(train_text_tokenizer(["text"], 260), build_dna_tokenizer())


def test_a_language_model_without_chatml_is_refused():
    tokenizer = Qwen2Tokenizer(vocab={"a": 0}, merges=[])
    with pytest.raises(ValueError, match=r"does not know <\|im_start\|> and <\|im_end\|>"):
        build_processor(tokenizer, build_dna_tokenizer())


def test_any_text_encodes(tiny_processor):
    text = "Crème brûlée 🧬 \x00 日本"
    ids = tiny_processor.tokenizer(text)["input_ids"]
    assert tiny_processor.tokenizer.decode(ids) == text


@pytest.mark.parametrize("vocabulary", ["hyenadna", "bytes", "nucleotide_transformer_v2"])
@pytest.mark.parametrize("projector", ["linear", "pooled", "resampler"])
@pytest.mark.parametrize("bases_per_state", [1, 4])
def test_the_fewest_placeholders_are_known_before_tokens_are(vocabulary, projector, bases_per_state):
    options = {"projector_type": projector, "bases_per_state": bases_per_state}
    processor = build_processor(train_text_tokenizer(["a"], 260), build_dna_tokenizer(vocabulary), **options)
    processor.dna_hidden_token_ids = [token for token in [processor.dna_tokenizer.cls_token_id] if token is not None]
    fewest = {}
    for length in (1, 5, 6, 7, 48, 100, 1000):
        [ids] = processor.dna_tokenizer([random_dna(length)])["input_ids"]
        fewest[length] = processor.min_placeholders(length)
        pools = processor.pool_ids(ids) if projector == "pooled" else None
        assert 0 <= fewest[length] <= processor.num_placeholders(ids, pools)
        assert 1 <= min_tokens(processor.dna_tokenizer, length) <= len(ids)
    assert fewest[1000] > 3 * fewest[48] or projector == "resampler"
