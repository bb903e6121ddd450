"""Labels, checked by decoding them, and against the library's own way of expanding placeholders."""

from collections import Counter
from copy import copy

import pytest
import torch
from conftest import conversation, random_dna, variant_row
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from textgenome import data
from textgenome.data import TextGenomeCollator
from textgenome.data.rows import as_conversations, load_rows
from textgenome.processing import TextGenomeProcessor, build_dna_tokenizer, processing_dna, processing_textgenome


END = "<|im_end|>\n"


def label_spans(processor, batch) -> list[list[str]]:
    """The text of each run of labels, by row."""
    rows = []
    for ids, labels in zip(batch["input_ids"], batch["labels"]):
        assert (labels[labels != -100] == ids[labels != -100]).all()
        spans, last = [], -2
        for i in (labels != -100).nonzero().flatten().tolist():
            if i != last + 1:
                spans.append([])
            spans[-1].append(ids[i])
            last = i
        rows.append([processor.decode(torch.stack(span)) for span in spans])
    return rows


@pytest.mark.parametrize("side", ["left", "right"])
def test_labels_are_the_assistants_text_and_the_end_of_the_turn(tiny_processor, side):
    one = conversation("A" * 33, "CG", answer="Answer: one")
    several = [
        {"role": "system", "content": "Be brief."},
        *conversation("ACGT", answer="first"),
        {"role": "user", "content": [{"type": "dna", "dna": "A" * 20}, {"type": "text", "text": "assistant\n why"}]},
        {"role": "assistant", "reasoning_content": "Step 1", "content": "Answer: two"},
        {"role": "user", "content": "thanks"},
        {"role": "assistant", "content": "Ünïcode 🧬"},
    ]
    without_dna = conversation(answer="none")
    rows = [{"messages": messages} for messages in (one, several, without_dna)]
    batch = TextGenomeCollator(tiny_processor, padding_side=side)(rows)
    assert label_spans(tiny_processor, batch) == [
        ["Answer: one" + END],
        ["first" + END, "<think>\nStep 1\n</think>\n\nAnswer: two" + END, "Ünïcode 🧬" + END],
        ["none" + END],
    ]
    assert (batch["labels"][batch["attention_mask"] == 0] == -100).all()
    assert {value.dtype for value in batch.values()} == {torch.int64}


@pytest.mark.parametrize("content", ["\nAnswer: x", " \n\n Answer: x", "Answer: x"])
def test_white_space_before_the_answer_does_not_merge_with_the_prompt(qwen3_processor, content):
    rows = [{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": content}]}]
    batch = TextGenomeCollator(qwen3_processor)(rows)
    assert label_spans(qwen3_processor, batch) == [["Answer: x" + END]]


@given(
    lengths=st.lists(st.lists(st.integers(1, 70), max_size=3), min_size=1, max_size=3),
    answers=st.lists(st.text("ab \n:<>|é", min_size=1, max_size=20).map(str.strip).filter(bool), min_size=3),
    side=st.sampled_from(["left", "right"]),
)
@settings(max_examples=40, deadline=None)
def test_labels_of_any_batch(tiny_processor, lengths, answers, side):
    rows = [
        {"messages": conversation(*(random_dna(length) for length in sample), answer=answer)}
        for sample, answer in zip(lengths, answers)
    ]
    batch = TextGenomeCollator(tiny_processor, padding_side=side)(rows)
    assert label_spans(tiny_processor, batch) == [[answer + END] for _, answer in zip(lengths, answers)]
    placeholders = (batch["input_ids"] == tiny_processor.dna_token_id).sum(-1)
    assert placeholders.tolist() == [sum(sample) for sample in lengths]


def counting(counter, name, function, is_work):
    def counted(*args, **kwargs):
        result = function(*args, **kwargs)
        counter[name] += bool(is_work(result, *args))
        return result

    return counted


@pytest.mark.parametrize("projector", ["linear", "pooled"])
@pytest.mark.parametrize("vocabulary, tokenized", [("hyenadna", 0), ("nucleotide_transformer", 1)])
def test_dna_is_folded_cut_and_tokenized_once(monkeypatch, tiny_processor, projector, vocabulary, tokenized):
    processor, work = copy(tiny_processor), Counter()
    processor.dna_tokenizer, processor.projector_type = build_dna_tokenizer(vocabulary), projector
    row = variant_row(400)
    row |= {name: row[name].lower() for name in ("reference_sequence", "variant_sequence")}
    conversations = as_conversations(Dataset.from_list([row]))
    collate = TextGenomeCollator(processor)
    collate([conversations[0]])  # the first batch asks the tokenizer whether it may be looked up
    fold, cut = processing_dna.normalize_dna, processing_dna.variant_window
    for module in (processing_dna, processing_textgenome, data.conversations):
        folds = counting(work, "folded", fold, lambda result, given: result is not given)
        monkeypatch.setattr(module, "normalize_dna", folds)
        monkeypatch.setattr(module, "variant_window", counting(work, "cut", cut, lambda result, *given: True))
    calls = counting(work, "tokenized", PreTrainedTokenizerBase.__call__, lambda *_: True)
    monkeypatch.setattr(PreTrainedTokenizerBase, "__call__", calls)
    collate([conversations[0]])
    assert work == {"folded": 2, "cut": 1, "tokenized": 1 + tokenized}  # the text is tokenized, too


class LibraryProcessor(TextGenomeProcessor):
    """Expands placeholders as text and lets the library map characters to tokens, as its own models do."""

    def __call__(self, text=None, dna=None, padding_side="right", return_tensors=None, **kwargs):
        texts = [text] if isinstance(text, str) else text
        encoded = iter(self.dna_tokenizer(dna)["input_ids"])
        expanded, all_offsets = [], []
        for sample in texts:
            offsets, result, last = [], "", 0
            while (start := sample.find(self.dna_token, last)) >= 0:
                result += sample[last:start]
                last = start + len(self.dna_token)
                replacement = self.dna_token * len(next(encoded))
                new_span = (len(result), len(result) + len(replacement))
                offsets.append({"type": "dna", "span": (start, last), "new_span": new_span, "text": self.dna_token})
                result += replacement
            expanded.append(result + sample[last:])
            all_offsets.append(offsets)
        batch = self.tokenizer(expanded, padding=True, padding_side=padding_side, return_offsets_mapping=True)
        return type(super().__call__(text="x"))({**batch, "text_replacement_offsets": all_offsets})


def test_same_ids_and_masks_as_the_librarys_own_path(qwen3_processor, kegg_folder):
    rows = as_conversations(load_rows(str(kegg_folder), "val").select(range(64)))
    library = LibraryProcessor(
        qwen3_processor.tokenizer, qwen3_processor.dna_tokenizer, chat_template=qwen3_processor.chat_template
    )
    for start in range(0, 64, 16):
        conversations = [rows[i]["messages"] for i in range(start, start + 16)]
        ours = TextGenomeCollator(qwen3_processor)([{"messages": messages} for messages in conversations])
        theirs = library.apply_chat_template(
            conversations, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        assert torch.equal(ours["input_ids"], torch.tensor(theirs["input_ids"]))
        assert torch.equal(ours["attention_mask"], torch.tensor(theirs["attention_mask"]))
        assert torch.equal(ours["labels"] != -100, torch.tensor(theirs["assistant_masks"]).bool())
