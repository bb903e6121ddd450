"""What the head on sequences and pairs makes of states: each pooling with each kind of encoder, and the losses."""

import copy

import pytest
import torch
from conftest import random_dna
from tiny_models import ENCODERS, SEVERAL_BASES
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification, set_seed

from textgenome import TextGenomeDNAConfig, TextGenomeDNAForSequenceClassification, TextGenomeDNAProcessor
from textgenome.modeling_heads import find_changed_tokens, pool_bins, pool_states
from textgenome.processing import build_dna_tokenizer


POOLINGS = ("attention", "mean", "max", "min", "last", "site_difference")
# Single bases, 6-mers, and states of eight bases.
VOCABULARIES = {"hyenadna": "hyenadna", "esm": "nucleotide_transformer", "enformer": "enformer", "borzoi": "enformer"}
REFERENCES = [random_dna(n, 1) for n in (40, 23, 64)]
PAIRS = [
    (REFERENCES[0], REFERENCES[0][:17] + "ACGTTGCAAC" + REFERENCES[0][17:]),
    (REFERENCES[1], REFERENCES[1][:9] + ("A" if REFERENCES[1][9] != "A" else "C") + REFERENCES[1][10:]),
    (REFERENCES[2], REFERENCES[2][:30] + REFERENCES[2][44:]),
]


def tiny_model(encoder: str = "hyenadna", **head) -> TextGenomeDNAForSequenceClassification:
    set_seed(0)
    config = copy.deepcopy({**ENCODERS, **SEVERAL_BASES}[encoder])
    config.initializer_range = 0.2
    config.vocab_size = max(config.vocab_size, 4120 if VOCABULARIES[encoder] == "nucleotide_transformer" else 0)
    head = {"num_sequences": 2, "pooling_num_heads": 2, "num_labels": 3, **head}
    return TextGenomeDNAForSequenceClassification(TextGenomeDNAConfig(dna_config=config, **head)).eval()


def tiny_processor(encoder: str = "hyenadna") -> TextGenomeDNAProcessor:
    return TextGenomeDNAProcessor(build_dna_tokenizer(VOCABULARIES[encoder], model_max_length=256), dna_window=80)


@pytest.mark.parametrize("encoder", VOCABULARIES)
@pytest.mark.parametrize("pooling, bins", [*((pooling, 1) for pooling in POOLINGS), ("max", 5)])
@torch.no_grad()
def test_padding_its_side_and_the_batch_make_no_difference(encoder, pooling, bins):
    processor, columns = tiny_processor(encoder), list(zip(*PAIRS))
    if pooling != "site_difference":
        columns = columns[1:]
    model = tiny_model(encoder, pooling=pooling, pooling_bins=bins, num_sequences=len(columns))
    alone = torch.cat([model(**processor(*row, return_tensors="pt")).logits for row in zip(*columns)])
    assert (alone - alone[0]).abs().max() > 1e-3, "the DNA makes no difference"
    for side in ("left", "right"):
        batch = processor(*columns, padding_side=side, return_tensors="pt", pad_to_multiple_of=96)
        assert torch.allclose(model(**batch).logits, alone, atol=1e-5)


def test_poolings_are_those_of_the_states_that_there_are():
    states, mask = torch.randn(2, 5, 3), torch.tensor([[0, 0, 1, 1, 1], [1, 1, 0, 0, 0]]).bool()
    for row, kept in zip(range(2), (states[0, 2:], states[1, :2])):
        expected = {"mean": kept.mean(0), "max": kept.amax(0), "min": kept.amin(0), "last": kept[-1]}
        for pooling, value in expected.items():
            assert torch.allclose(pool_states(states, mask, pooling)[row], value)
    with pytest.raises(ValueError, match="no pooling 'median'"):
        pool_states(states, mask, "median")


def test_parts_of_a_sequence_are_pooled_by_themselves():
    states, mask = torch.randn(1, 7, 3), torch.tensor([[0, 1, 1, 1, 1, 1, 0]]).bool()
    halves = pool_bins(states, mask, "mean", 2)[0].chunk(2)
    assert torch.allclose(halves[0], states[0, 1:4].mean(0)) and torch.allclose(halves[1], states[0, 3:6].mean(0))
    parts = torch.stack(pool_bins(states, mask, "max", 10)[0].chunk(10))
    assert torch.equal(parts, states[0, 1:6].repeat_interleave(2, 0))


@pytest.mark.parametrize(
    "reference, variant, starts, stops",
    [
        ("ACGTA", "ACTTA", (2, 2), (3, 3)),  # a substitution
        ("ACGTA", "ACTCA", (2, 2), (4, 4)),
        ("ACG", "ACTTG", (2, 2), (3, 4)),  # an insertion: of the reference the base that follows
        ("ACTTG", "ACG", (2, 2), (4, 3)),
        ("AC", "ACTT", (1, 2), (2, 4)),  # at the end there is none
        ("AAAA", "AA", (2, 1), (4, 2)),
        ("ACGT", "ACGT", (3, 3), (4, 4)),  # equal ones
        ("A", "G", (0, 0), (1, 1)),
    ],
)
def test_the_changed_tokens_of_a_pair(reference, variant, starts, stops):
    width = max(len(reference), len(variant)) + 2
    rows = [["ACGT".index(base) for base in each] + [-1] * (width - len(each)) for each in (reference, variant)]
    start, stop = find_changed_tokens(torch.tensor([rows]))
    assert (tuple(start[0].tolist()), tuple(stop[0].tolist())) == (starts, stops)


@torch.no_grad()
def test_site_difference_is_that_of_the_states_at_the_site_and_0_for_equal_windows():
    model, processor = tiny_model(pooling="site_difference"), tiny_processor()
    given = []
    model.classifier.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    reference, variant = PAIRS[1]
    model(**processor(reference, variant, return_tensors="pt"))
    batch = processor([reference, variant], return_tensors="pt")
    states = model.model(batch["dna_input_ids"], batch["dna_attention_mask"]).last_hidden_state[:, 0, 9]
    assert torch.allclose(given[0], (states[1] - states[0])[None], atol=1e-6)
    model(**processor(reference, reference, are_windows=True, return_tensors="pt"))
    assert not given[1].any()


@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 3.0]])
def test_losses_are_those_of_transformers(weights):
    batch = tiny_processor()(*zip(*PAIRS), return_tensors="pt")
    options = {} if weights is None else {"class_weights": weights}
    weight = None if weights is None else torch.tensor(weights)

    classes = torch.tensor([2, 0, 1])
    output = tiny_model(problem_type="single_label_classification", **options)(**batch, labels=classes)
    assert torch.allclose(output.loss, F.cross_entropy(output.logits, classes, weight))
    classes[1] = -100
    output = tiny_model(**options)(**batch, labels=classes)
    assert torch.allclose(output.loss, F.cross_entropy(output.logits, classes, weight))
    assert tiny_model(**options)(**batch, labels=torch.full((3,), -100)).loss == 0

    several = torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1]])
    output = tiny_model(problem_type="multi_label_classification", **options)(**batch, labels=several)
    assert torch.allclose(output.loss, F.binary_cross_entropy_with_logits(output.logits, several, pos_weight=weight))


def test_a_regression_answers_in_the_unit_of_its_labels():
    batch, values = tiny_processor()(*zip(*PAIRS), return_tensors="pt"), torch.tensor([3.0, -1.5, 2.25])
    plain = tiny_model(problem_type="regression", num_labels=1)(**batch, labels=values)
    assert plain.logits.shape == (3, 1)
    assert torch.allclose(plain.loss, F.mse_loss(plain.logits[:, 0], values))
    scaled = tiny_model(problem_type="regression", num_labels=1, label_mean=100.0, label_scale=5.0)(**batch)
    assert torch.allclose(scaled.logits, plain.logits * 5 + 100)


@pytest.mark.parametrize("pooling", ["max", "site_difference"])
def test_save_and_reload_give_the_same(tmp_path, pooling):
    model = tiny_model(pooling=pooling, class_weights=[1, 2, 3])
    model.save_pretrained(tmp_path)
    again, batch = AutoModelForSequenceClassification.from_pretrained(tmp_path), tiny_processor()(*zip(*PAIRS))
    batch = batch.convert_to_tensors("pt")
    assert torch.equal(model(**batch).logits, again(**batch).logits)


@pytest.mark.parametrize(
    "head, message",
    [
        ({"num_sequences": 3}, "'num_sequences' is 3"),
        ({"num_sequences": 1, "pooling": "site_difference"}, "needs pairs"),
        ({"pooling": "median"}, "pooling"),
        ({"pooling": "last", "pooling_bins": 2}, "'pooling_bins' is 2, but must be 1"),
        ({"pooling_num_heads": 5}, "must divide the 16 channels"),
    ],
)
def test_what_does_not_fit_is_refused(head, message):
    with pytest.raises(Exception, match=message):
        tiny_model(**head)


def test_rows_of_another_number_of_sequences_are_refused():
    with pytest.raises(
        ValueError, match=r"must hold one sequence for each row, as \(batch, 1, dna_length\), got \(3, 2"
    ):
        tiny_model(num_sequences=1)(**tiny_processor()(*zip(*PAIRS), return_tensors="pt"))
    with pytest.raises(ValueError, match=r"a reference and a variant .* got \(1, 1, 4\)"):
        tiny_model()(**tiny_processor()("ACGT", return_tensors="pt"))
