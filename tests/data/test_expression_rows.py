from collections import Counter

import numpy as np
import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import BatchSampler

from textgenome.data.expression import Gene
from textgenome.data.expression_rows import (
    ExpressionCollator,
    ExpressionRows,
    GroupedByGene,
    ModelGenes,
    load_genes,
    save_genes,
)
from textgenome.data.haplotypes import Haplotype, PeopleWindow


def rows_of(genes=3, people=10):
    values = np.arange(genes * people, dtype=float).reshape(genes, people)
    values[1, 0] = np.nan
    return ExpressionRows(values, range(genes), range(people))


def test_rows_are_places_and_the_reference_has_the_mean_of_training_people():
    rows = rows_of()
    assert len(rows) == 29 and rows[0] == {"gene": 0, "person": 0, "label": 0.0}
    assert rows[10] == {"gene": 1, "person": 1, "label": 11.0}
    reference = ExpressionRows(np.array([[1.0, 2.0, 9.0]]), [0], None, mean_of=[0, 1])
    assert list(map(reference.__getitem__, range(len(reference)))) == [{"gene": 0, "person": -1, "label": 1.5}]


def test_people_of_a_gene_stay_together_and_all_are_seen_in_each_epoch():
    rows, epoch = rows_of(), [0]
    sampler = GroupedByGene(rows, 4, seed=0, epoch=lambda: epoch[0])
    order = list(sampler)
    assert len(order) == len(sampler) == 36 and order == list(sampler)
    groups = [order[i : i + 4] for i in range(0, 36, 4)]
    assert all(len({rows[number]["gene"] for number in group}) == 1 for group in groups)
    assert all(len(set(group)) == 4 for group in groups) and set(order) == set(range(29))
    epoch[0] = 1
    assert list(sampler) != order


def test_groups_survive_two_processes():
    rows = rows_of(genes=4, people=12)
    batches = BatchSampler(GroupedByGene(rows, 4, seed=0), batch_size=8, drop_last=False)
    shards = [list(BatchSamplerShard(batches, 2, number)) for number in range(2)]
    assert len(shards[0]) == len(shards[1])
    for batch in (batch for shard in shards for batch in shard):
        assert len(batch) == 8
        for group in (batch[:4], batch[4:]):
            assert len({rows[number]["gene"] for number in group}) == 1
    seen = Counter(number for shard in shards for batch in shard for number in batch)
    assert set(seen) == set(range(len(rows)))


def windows():
    haplotypes = [Haplotype(letters * 4, np.arange(4)) for letters in "ACG"]
    index = np.array([[0, 1], [1, 1], [2, 0]])
    return {0: PeopleWindow(haplotypes, index), 1: PeopleWindow(haplotypes[:2], index % 2)}


def test_a_window_of_several_people_is_in_a_batch_once():
    asked = []

    def states(haplotype):
        asked.append(haplotype.sequence)
        return torch.full((4, 2), float("ACG".index(haplotype.sequence[0])))

    collator = ExpressionCollator(windows(), states, {1: torch.ones(4, 2)})
    batch = collator([{"gene": 0, "person": p, "label": 1.0} for p in (0, 1, -1)] + [{"gene": 1, "person": 0}])
    assert batch["dna_windows"].tolist() == [[0, 1], [1, 1], [0, 0], [2, 3]]
    assert batch["groups"].tolist() == [0, 0, 0, 1] and asked == ["AAAA", "CCCC", "AAAA", "CCCC"]
    assert batch["dna_features"][:, 0, 0].tolist() == [0, 1, -1, 0], "the mean is taken from the gene that has one"


def test_genes_and_means_are_kept_beside_the_model(tmp_path):
    genes = [Gene("A", "chr1", 5, "+"), Gene("B", "chr2", 9, "-")]
    save_genes(tmp_path, ModelGenes(genes, 64, True, False, {1: torch.arange(6.0).view(3, 2)}))
    *found, means = load_genes(tmp_path)
    assert found == [genes, 64, True, False]
    assert list(means) == [1] and torch.equal(means[1], torch.arange(6.0).view(3, 2))
    with pytest.raises(FileNotFoundError, match=r"expression_genes\.safetensors is missing"):
        load_genes(tmp_path.parent)
