"""The tower that takes long windows to one vector, and the head on two haplotypes."""

import pytest
import torch
from conftest import random_dna
from test_modeling_textgenome_dna import batch_of, tiny_model
from torch import nn
from torch.nn import functional as F

from textgenome import TextGenomeDNAConfig, TextGenomeDNAForSequenceClassification
from textgenome.modeling_heads import TextGenomeTower, huber_with_pairs, tower_lengths


HEAD = {"problem_type": "regression", "id2label": {0: "expression"}, "pooling": "tower", "combine": "mean"}
HAPLOTYPES = [random_dna(160, seed) for seed in range(3)]


@pytest.mark.parametrize("width, count", [(256, 738_053), (1024, 8_054_789), (4096, 119_897_093)])
def test_it_has_the_published_number_of_parameters(width, count):
    config = {"dna_config": {"model_type": "hyenadna", "d_model": width, "d_inner": 8, "n_layer": 1}}
    with torch.device("meta"):
        model = TextGenomeDNAForSequenceClassification(TextGenomeDNAConfig(**config, **HEAD))
    parts = model.pooling, model.classifier
    assert sum(parameter.numel() for part in parts for parameter in part.parameters()) == count


def test_it_has_the_published_lengths():
    assert tower_lengths(64_000) == [8000, 1000, 250, 63]
    tower, lengths = TextGenomeTower(4).eval(), []
    for layer in tower.layers:
        if isinstance(layer, nn.Conv1d) and layer.groups > 1:
            layer.register_forward_hook(lambda _, args, output: lengths.append(output.shape[-1]))
    assert tower(torch.randn(1, 64_000, 4)).shape == (1, 512) and lengths == [8000, 1000, 250, 63]
    with pytest.raises(ValueError, match="windows of 146 states or more, got 145"):
        tower(torch.randn(1, 145, 4))
    assert tower(torch.randn(1, 146, 4)).isfinite().all()


def test_pair_pooling_weighs_the_larger_one_more_at_first():
    model = tiny_model(**HEAD)
    pooling = next(layer for layer in model.pooling.layers if type(layer).__name__ == "TextGenomePairPooling")
    states = torch.tensor([[1.0, 3.0, 5.0]]).expand(1, 32, 3)
    weights = torch.tensor([2.0, 6.0]).softmax(0)
    expected = torch.stack([weights @ torch.tensor([1.0, 3.0]), torch.tensor(5.0)])
    torch.testing.assert_close(pooling(states), expected.expand(1, 32, 2))


def test_the_order_of_haplotypes_makes_no_difference_to_their_mean():
    batch = batch_of((HAPLOTYPES[0], HAPLOTYPES[1]), (HAPLOTYPES[1], HAPLOTYPES[0]), (HAPLOTYPES[2],) * 2)
    mean, concat = tiny_model(**HEAD), tiny_model(**{**HEAD, "combine": "concat"})
    first, second, third = mean(**batch).logits
    torch.testing.assert_close(first, second)
    assert (first - third).abs() > 1e-5
    first, second, _ = concat(**batch).logits
    assert (first - second).abs() > 1e-5


def test_a_window_that_rows_share_is_computed_once_and_features_stand_in_for_ids():
    model = tiny_model(**HEAD, state_bin=1)
    batch = batch_of(*[(HAPLOTYPES[0], HAPLOTYPES[1])] * 3, (HAPLOTYPES[1], HAPLOTYPES[2]))
    seen = []
    model.pooling.register_forward_hook(lambda _, args, output: seen.append(len(args[0])))
    logits = model(**batch, dna_spans=batch["dna_attention_mask"]).logits
    features = model.model(**batch).last_hidden_state
    windows = torch.stack([features[0, 0], features[0, 1], features[3, 1]])
    index = torch.tensor([[0, 1]] * 3 + [[1, 2]])
    torch.testing.assert_close(model(dna_features=windows, dna_windows=index).logits, logits)
    assert seen == [3, 3]


@pytest.mark.parametrize("step", [1, 4])
def test_states_are_averaged_over_bins(step):
    sequences = [random_dna(640, seed) for seed in range(2)]
    batch = batch_of(sequences, left=2)
    model = tiny_model(**HEAD, state_bin=step, dna_config={"model_type": "hyenadna", "d_model": 32, "d_inner": 32})
    logits = model(**batch, dna_spans=batch["dna_attention_mask"]).logits
    states = model.model(**batch).last_hidden_state[0, :, 2:]
    binned = states.unflatten(1, (-1, step)).mean(2)
    torch.testing.assert_close(model(dna_features=binned, dna_windows=torch.tensor([[0, 1]])).logits, logits)


def test_sequences_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="'tower' needs sequences that are all of one length"):
        tiny_model(**HEAD)(**batch_of((HAPLOTYPES[0], HAPLOTYPES[1][:-1])))
    with pytest.raises(ValueError, match="'state_bin' is 8, but must be 1 or more, and is for the pooling 'tower'"):
        tiny_model(pooling="mean", state_bin=8)


def test_the_center_attends_to_the_states_in_the_middle():
    model = tiny_model(**{**HEAD, "pooling": "center"}, center_states=4)
    features = torch.randn(1, 11, 32)
    changed = features.clone()
    changed[:, [0, 1, 2, 7, 8, 9, 10]] += 1
    index = torch.zeros(1, 2, dtype=torch.long)
    first, second = (model(dna_features=each, dna_windows=index).logits for each in (features, changed))
    torch.testing.assert_close(first, second)
    changed[:, 5] += 1
    assert (model(dna_features=changed, dna_windows=index).logits - first).abs() > 1e-4


def test_pairs_punish_a_reversed_order_and_only_within_a_group():
    labels, groups = torch.tensor([0.0, 1.0, 5.0]), torch.tensor([3, 3, 7])
    right, equal, reversed_order = (torch.tensor([*two, 5.0]) for two in ((0.0, 1.0), (0.5, 0.5), (1.0, 0.0)))
    losses = [huber_with_pairs(each, labels, groups, 1.0) for each in (right, equal, reversed_order)]
    assert losses[0] == 0 and losses[1] == 0.5 and losses[2] == 1.5
    # Rows of other groups are no pairs.
    assert huber_with_pairs(right + torch.tensor([0.0, 0.0, 9.0]), labels, groups, 1.0) == 0
    plain = F.huber_loss(reversed_order, labels)
    torch.testing.assert_close(huber_with_pairs(reversed_order, labels, groups, 0.3), 0.7 * plain + 0.3 * losses[2])
    assert huber_with_pairs(right, labels, torch.arange(3), 0.5) == 0


def test_the_model_learns_from_pairs(tmp_path):
    model = tiny_model(**HEAD, pair_loss=0.3)
    batch = batch_of(*[(HAPLOTYPES[0], HAPLOTYPES[1])] * 2, (HAPLOTYPES[1], HAPLOTYPES[2]))
    labels = torch.tensor([0.0, 1.0, 2.0])
    outputs = model(**batch, labels=labels, groups=torch.tensor([0, 0, 0]))
    expected = huber_with_pairs(outputs.logits[:, 0], labels, torch.zeros(3, dtype=torch.long), 0.3)
    torch.testing.assert_close(outputs.loss, expected)
    model.save_pretrained(tmp_path)
    again = TextGenomeDNAForSequenceClassification.from_pretrained(tmp_path)
    assert again.config.pair_loss == 0.3
    torch.testing.assert_close(again(**batch).logits, outputs.logits)
