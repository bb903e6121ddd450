"""Rows of expression: genes and people as places; windows are made where a row is read."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from safetensors import safe_open
from safetensors.torch import save_file
from torch.utils.data import Dataset, Sampler

from textgenome.data.expression import Gene
from textgenome.data.expression_windows import GeneWindows
from textgenome.data.haplotypes import Haplotype


GENES_FILE = "expression_genes.safetensors"


class ExpressionRows(Dataset):
    """A row for each gene and person, or for each gene, in the order of the genes.

    Args:
        values: `(genes, people)`; rows whose value is NaN are left out.
        genes: Numbers of the genes that have rows.
        people: Numbers of the people that have rows; None makes one row a gene, on the reference, with the mean over
            the people in `mean_of`.
        mean_of: See `people`.
    """

    def __init__(
        self,
        values: np.ndarray,
        genes: Sequence[int],
        people: Sequence[int] | None,
        mean_of: Sequence[int] = (),
    ):
        if people is None:
            self.rows = [(int(gene), -1, float(np.nanmean(values[gene, mean_of]))) for gene in genes]
        else:
            self.rows = [
                (int(gene), int(person), float(values[gene, person]))
                for gene in genes
                for person in people
                if np.isfinite(values[gene, person])
            ]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> dict:
        """`gene` and `person` as numbers, -1 for the reference, and `label`."""
        return dict(zip(("gene", "person", "label"), self.rows[number]))


class GroupedByGene(Sampler):
    """People of a gene next to each other, in groups of one size, which come in random order.

    A batch, of as many rows as some groups have, then holds whole groups, on each of several processes, too. The last
    group of a gene is filled up with others of its people. The order is the same for the same seed and epoch.

    Args:
        rows: What to sample.
        group_size: Rows of a group.
        seed: With the epoch, what the order depends on.
        epoch: Tells the epoch when an order is asked for.
    """

    def __init__(self, rows: ExpressionRows, group_size: int, seed: int, epoch: Callable[[], int] = lambda: 0):
        self.group_size, self.seed, self.epoch = group_size, seed, epoch
        genes = {}
        for number, (gene, _, _) in enumerate(rows.rows):
            genes.setdefault(gene, []).append(number)
        self.genes = [np.array(numbers) for numbers in genes.values()]

    def __len__(self) -> int:
        return sum(-(-len(numbers) // self.group_size) for numbers in self.genes) * self.group_size

    def __iter__(self) -> Iterator[int]:
        rng, groups = np.random.default_rng([self.seed, self.epoch()]), []
        for numbers in self.genes:
            order = rng.permutation(numbers)
            order = np.resize(order, -(-len(order) // self.group_size) * self.group_size)
            groups += list(order.reshape(-1, self.group_size))
        for place in rng.permutation(len(groups)):
            yield from groups[place].tolist()


class ExpressionCollator:
    """Makes a batch of rows, in which each distinct window is there once.

    Args:
        windows: The windows of the genes.
        states: Gives the states of a haplotype, `(states, width)`, or its tokens and their spans, `(tokens,)` each.
        means: By the number of a gene what is taken from its states, or nothing.
    """

    def __init__(
        self,
        windows: GeneWindows,
        states: Callable[[Haplotype], torch.Tensor],
        means: dict[int, torch.Tensor] | None = None,
    ):
        self.windows, self.states, self.means = windows, states, means or {}

    def __call__(self, rows: Sequence[dict]) -> dict[str, torch.Tensor]:
        """Collate rows of `ExpressionRows`.

        Returns:
            `labels`, float32, `groups`, the genes, and `dna_windows`, the last two int64, of shapes `(batch,)`,
            `(batch,)` and `(batch, 2)`; and `dna_features`, `(windows, states, width)`. Or, where `states` gives
            tokens, in place of the last two `dna_input_ids`, `dna_attention_mask` and `dna_spans`, `(batch, 2,
            tokens)`.
        """
        places, found, index = {}, [], []
        for row in rows:
            gene, person = row["gene"], row["person"]
            window = self.windows[gene]
            pair = (0, 0) if person < 0 else window.index[person].tolist()
            for which in pair:
                if (gene, which) not in places:
                    places[gene, which] = len(places)
                    found.append(self.read(gene, window.haplotypes[which]))
            index.append([places[gene, which] for which in pair])
        batch = {
            "labels": torch.tensor([row.get("label", 0.0) for row in rows]),
            "groups": torch.tensor([row["gene"] for row in rows]),
        }
        index = torch.tensor(index)
        if isinstance(found[0], torch.Tensor):
            return batch | {"dna_windows": index, "dna_features": torch.stack(found)}
        ids, spans = (torch.stack(each)[index] for each in zip(*found))
        return batch | {"dna_input_ids": ids, "dna_attention_mask": torch.ones_like(ids), "dna_spans": spans}

    def read(self, gene: int, haplotype: Haplotype) -> torch.Tensor | tuple[torch.Tensor, ...]:
        states = self.states(haplotype)
        return states.float() - self.means[gene] if gene in self.means else states


def mean_states(windows: GeneWindows, number: int, people: np.ndarray, states: Callable) -> torch.Tensor:
    """The mean of the states of some people's haplotypes at a gene, `(states, width)`, float32."""
    window = windows[number]
    which, counts = np.unique(window.index[people], return_counts=True)
    total = sum(int(n) * states(window.haplotypes[i]).float() for i, n in zip(which, counts))
    return total / int(counts.sum())


class ModelGenes(NamedTuple):
    """What a model of expression needs beside its weights.

    Args:
        genes: The genes that it was made for.
        window: Bases around the start of each that it reads.
        indels: Whether insertions and deletions are applied.
        trained_encoder: Whether its encoder was trained, which then read whole windows.
        means: By the number of a gene what is taken from its states.
    """

    genes: list[Gene]
    window: int
    indels: bool
    trained_encoder: bool
    means: dict[int, torch.Tensor]


def save_genes(folder: str | Path, saved: ModelGenes) -> None:
    """Save beside a model what it needs beside its weights."""
    about = {"genes": json.dumps([list(gene) for gene in saved.genes]), "window": str(saved.window)}
    about |= {name: str(int(getattr(saved, name))) for name in ("indels", "trained_encoder")}
    tensors = {saved.genes[number].name: mean.contiguous() for number, mean in saved.means.items()}
    save_file(tensors, Path(folder) / GENES_FILE, about)


def load_genes(name: str | Path, revision: str | None = None) -> ModelGenes:
    """What `save_genes` saved, of a folder or of a repository on the Hub.

    Raises:
        FileNotFoundError: If it is not there.
    """
    is_folder = Path(name).is_dir()
    try:
        path = Path(name) / GENES_FILE if is_folder else hf_hub_download(str(name), GENES_FILE, revision=revision)
    except EntryNotFoundError:
        path = None
    if path is None or not Path(path).exists():
        raise FileNotFoundError(f"{name}: {GENES_FILE} is missing, with the genes that the model was trained for.")
    with safe_open(path, framework="pt") as file:
        about, names = file.metadata(), set(file.keys())
        genes = [Gene(*each) for each in json.loads(about["genes"])]
        means = {number: file.get_tensor(gene.name) for number, gene in enumerate(genes) if gene.name in names}
    indels, trained_encoder = (bool(int(about[name])) for name in ("indels", "trained_encoder"))
    return ModelGenes(genes, int(about["window"]), indels, trained_encoder, means)


__all__ = [
    "GENES_FILE",
    "ExpressionCollator",
    "ExpressionRows",
    "GroupedByGene",
    "ModelGenes",
    "load_genes",
    "mean_states",
    "save_genes",
]
