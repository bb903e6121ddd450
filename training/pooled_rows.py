"""What a frozen encoder makes of rows, computed once: then only the head is trained, on vectors in memory."""

from collections.abc import Mapping

import torch
from datasets import Dataset

from textgenome import TextGenomeDNAForSequenceClassification, TextGenomeDNAProcessor
from textgenome.configuration.dna_arguments import DNAModelArguments
from textgenome.data.labels import sequences_of
from textgenome.genome.progress import by_batch


VECTORS = "dna_vectors"  # the column, and the argument of the model


class PooledRows:
    """Rows with their vectors, in the column `dna_vectors`.

    Args:
        rows: Of a table.
        vectors: `(rows, vectors, width)`, float32.
    """

    def __init__(self, rows: Dataset, vectors: torch.Tensor):
        self.rows, self.vectors = rows, vectors

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> Mapping:
        return {**self.rows[place], VECTORS: self.vectors[place]}


def can_pool_once(model_args: DNAModelArguments) -> bool:
    """Whether all before the head stays the same: the encoder is frozen, and the pooling has no weights."""
    trains = not model_args.freeze_dna_encoder or model_args.train_dna_layers or model_args.lora_dna_encoder
    return not trains and model_args.pooling != "attention"


@torch.no_grad()
def pool_rows(
    model: TextGenomeDNAForSequenceClassification,
    processor: TextGenomeDNAProcessor,
    rows: Dataset,
    batch_size: int,
    device: torch.device,
) -> PooledRows:
    """Encode and pool all rows. Each process does so for itself."""
    model = model.to(device).eval()
    lengths = [sum(map(len, sequences_of(row))) for row in rows]
    order = sorted(range(len(rows)), key=lambda i: -lengths[i])
    vectors = None
    batches = [order[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    for places in by_batch(batches, len(rows), "Encoding rows"):
        columns = zip(*(sequences_of(rows[i]) for i in places))
        batch = processor(*columns, return_tensors="pt").to(device)
        found, index = model.encode_and_pool(batch["dna_input_ids"], batch["dna_attention_mask"].bool(), None, None)
        found = found[:, None] if index is None else found[index]
        if vectors is None:
            vectors = torch.empty(len(rows), *found.shape[1:])
        vectors[places] = found.float().cpu()
    return PooledRows(rows, vectors)


__all__ = ["PooledRows", "can_pool_once", "pool_rows"]
