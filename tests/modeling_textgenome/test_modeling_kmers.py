"""The encoder of overlapping k-mers."""

import pytest
import torch
from conftest import random_dna

from textgenome import KmersConfig, KmersModel
from textgenome.modeling_kmers import number_kmers
from textgenome.processing import build_dna_tokenizer
from textgenome.processing.dna_tokenizers import find_dna_tokenizer


def test_kmers_are_numbered_by_their_bases():
    ids = torch.tensor([[0, 1, 2, 3, 4, 0, 1, 2]])
    is_base = ids < 4
    assert number_kmers(ids, is_base, 1).tolist() == [[0, 1, 2, 3, 4, 0, 1, 2]]
    assert number_kmers(ids, is_base, 3).tolist() == [[64, 6, 27, 64, 64, 64, 6, 64]]
    assert number_kmers(ids, is_base, 2).tolist() == [[1, 6, 11, 16, 16, 1, 6, 16]]


def test_a_state_is_the_sum_of_the_tables():
    model = KmersModel(KmersConfig(lengths=[1, 2], hidden_size=4)).eval()
    (state,) = model(torch.tensor([[2, 3]])).last_hidden_state[0][:1]
    torch.testing.assert_close(state, model.tables[0].weight[2] + model.tables[1].weight[11])


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_and_neighbours_change_nothing(side):
    model, tokenizer = (
        KmersModel(KmersConfig(hidden_size=8)).eval(),
        find_dna_tokenizer(dna_config={"model_type": "kmers"}),
    )
    sequences = [random_dna(30), random_dna(21, 1), "ACNGT"]
    batch = tokenizer(sequences, return_tensors="pt", padding=True, padding_side=side)
    together = model(**{name: batch[name] for name in ("input_ids", "attention_mask")}).last_hidden_state
    for states, mask, sequence in zip(together, batch["attention_mask"].bool(), sequences):
        alone = model(build_dna_tokenizer("enformer")(sequence, return_tensors="pt")["input_ids"])
        torch.testing.assert_close(states[mask], alone.last_hidden_state[0])


@pytest.mark.parametrize("lengths", [[], [0], [6, 11]])
def test_lengths_out_of_range_are_refused(lengths):
    with pytest.raises(ValueError, match=r"Field 'lengths' is .*, but must have numbers from 1 to 10"):
        KmersConfig(lengths=lengths)
