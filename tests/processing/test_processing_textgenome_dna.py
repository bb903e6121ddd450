import pytest
import torch
from conftest import variant_row
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoProcessor

from textgenome.data import BadRow, TextGenomeDNACollator
from textgenome.data.labels import check_labelled
from textgenome.processing import TextGenomeDNAProcessor, build_dna_tokenizer, variant_window
from textgenome.processing.dna_tokenizers import VOCABULARIES


@pytest.fixture(params=["hyenadna", "nucleotide_transformer"])
def processor(request):
    return TextGenomeDNAProcessor(build_dna_tokenizer(request.param, model_max_length=64), dna_window=24)


def rows(count: int = 3) -> list[dict]:
    return [variant_row(100 + i, seed=i) for i in range(count)]


def sequences(rows) -> tuple[list[str], list[str]]:
    return [row["reference_sequence"] for row in rows], [row["variant_sequence"] for row in rows]


def test_pairs_are_cut_around_their_difference(processor):
    batch = processor(*sequences(rows()), return_tensors="pt")
    assert batch["dna_input_ids"].shape == batch["dna_attention_mask"].shape
    assert batch["dna_input_ids"].shape[:2] == (3, 2)
    for i, pair in enumerate(zip(*sequences(rows()))):
        for j, window in enumerate(variant_window(*pair, 24)):
            ids = batch["dna_input_ids"][i, j][batch["dna_attention_mask"][i, j].bool()]
            assert ids.tolist() == processor.dna_tokenizer(window)["input_ids"]


def test_a_single_pair_and_padding_on_the_left(processor):
    batch = processor("ACGTT", "ACT", padding_side="left", return_tensors="pt")
    assert batch["dna_attention_mask"][0, :, -1].tolist() == [1, 1]
    assert batch["dna_attention_mask"][0, 1, 0] == 0


def test_one_sequence_a_row_is_not_cut(processor):
    sequences = ["ACGT" * 9, "acgu"]
    batch = processor(sequences, padding_side="left", return_tensors="pt")
    assert batch["dna_input_ids"].shape[:2] == (2, 1)
    assert batch["dna_spans"].sum(-1).tolist() == [[36], [4]]
    assert batch["dna_attention_mask"][1, 0].tolist() == sorted(batch["dna_attention_mask"][1, 0].tolist())
    assert processor("ACGT")["dna_input_ids"] == [[processor.dna_tokenizer("ACGT")["input_ids"]]]
    with pytest.raises(ValueError, match="Sequence 1: The character 'X' at position 3"):
        processor(["ACGT", "ACXT"])
    with pytest.raises(ValueError, match="got 0 sequences"):
        processor([])


dna = st.text("ACGTN", min_size=1, max_size=40)
PROCESSORS = {name: TextGenomeDNAProcessor(build_dna_tokenizer(name), dna_window=10**6) for name in VOCABULARIES}


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@settings(max_examples=40, deadline=None)
@given(pairs=st.lists(st.tuples(dna, dna), min_size=1, max_size=3), side=st.sampled_from(["left", "right"]))
def test_spans_sum_to_the_bases_of_each_sequence(vocabulary, pairs, side):
    processor = PROCESSORS[vocabulary]
    batch = processor(*zip(*pairs), are_windows=True, padding_side=side, return_tensors="pt")
    assert batch["dna_spans"].shape == batch["dna_input_ids"].shape
    assert batch["dna_spans"].sum(-1).tolist() == [[len(sequence) for sequence in pair] for pair in pairs]
    assert (batch["dna_spans"][batch["dna_attention_mask"] == 0] == 0).all()
    vocabulary = {index: token for token, index in processor.dna_tokenizer.get_vocab().items()}
    for token, span in zip(batch["dna_input_ids"].flatten().tolist(), batch["dna_spans"].flatten().tolist()):
        assert span == (len(vocabulary[token]) if set(vocabulary[token]) <= set("ACGTN") else 0)


def test_spans_of_6mers_left_overs_and_unknown_bases():
    spans = PROCESSORS["nucleotide_transformer"]("ACGTACGTNACGTAC", "ACGTACGTAC")["dna_spans"]
    assert spans == [[[0, 6, 1, 1, 1, 6], [0, 6, 1, 1, 1, 1]]]


def test_save_and_reload_give_the_same_batch(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    TextGenomeDNAProcessor.from_pretrained(tmp_path)
    again = AutoProcessor.from_pretrained(tmp_path)
    assert type(again) is TextGenomeDNAProcessor and again.dna_window == 24
    one, other = (each(*sequences(rows()), return_tensors="pt") for each in (processor, again))
    assert torch.equal(one["dna_input_ids"], other["dna_input_ids"])


def test_windows_are_taken_as_they_are(processor):
    pairs = [variant_window(*pair, 24) for pair in zip(*sequences(rows()))]
    references, variants = map(list, zip(*pairs))
    cut = processor(*sequences(rows()))
    assert processor(references, variants, are_windows=True)["dna_input_ids"] == cut["dna_input_ids"]
    control = processor(references, references, are_windows=True, return_tensors="pt")["dna_input_ids"]
    assert torch.equal(control[:, 0], control[:, 1])


@pytest.mark.parametrize(
    "reference, variant, message",
    [
        (["ACGT"], ["ACGT"], "Pair 0: The reference and the variant are equal"),
        (["ACGT", "ACGT"], ["ACCT", "ACXT"], "Pair 1: The character 'X' at position 3"),
        (["ACGT"], ["ACCT", "ACCT"], "got 1 and 2"),
        ([], [], "got 0 and 0"),
    ],
)
def test_what_is_no_pair_is_refused(processor, reference, variant, message):
    with pytest.raises(ValueError, match=message):
        processor(reference, variant)


def test_what_the_encoder_cannot_read_is_refused():
    processor = TextGenomeDNAProcessor(build_dna_tokenizer("hyenadna", model_max_length=10), dna_window=24)
    with pytest.raises(ValueError, match=r"Pair 0: .* 24 bases has 24 tokens, .* at most 10"):
        processor(*sequences([variant_row(40)]))


def test_labels_of_answers_and_of_none(processor):
    answers = [{**row, "answer": answer} for row, answer in zip(rows(), ("b", " a ", "unknown"))]
    batch = TextGenomeDNACollator(processor, {"a": 0, "b": 1})(answers)
    assert batch["labels"].tolist() == [1, 0, -100]
    assert batch["dna_input_ids"].dtype == batch["labels"].dtype == torch.int64


def test_rows_without_a_question_are_good_and_those_without_an_answer_are_not():
    row = variant_row()
    del row["question"]
    check_labelled(row)
    for bad in ({**row, "answer": " "}, {**row, "answer": None}, {"messages": []}):
        with pytest.raises(BadRow) as error:
            check_labelled(bad)
        assert error.value.column == "answer"
