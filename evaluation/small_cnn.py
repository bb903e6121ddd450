"""A small convolutional network trained from scratch: what short motifs and their places tell.

Its settings are fixed, and it is trained on the train rows only, within a stated budget.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from textgenome.evaluation.kmers import encode_bases
from textgenome.genome.progress import Progress


LENGTH = 1024  # bases that it reads, in the middle of longer sequences
BUDGET = 4_000_000  # bases that it is trained on, those of all epochs: about 40 seconds of one CPU core
EPOCHS = 40
PATIENCE = 8  # epochs without a better loss on the rows held out of training
HELD_OUT = 0.1
BATCH_SIZE = 64
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-2
WIDTH = 64
BINS = 4  # places that the last layer tells apart


class SmallCNN(nn.Module):
    """Two convolutions over each strand of each sequence, and two linear layers on their maxima.

    These are taken in a few bins along the given strand, for motifs that have their place, and over all of both
    strands, for those that have none.

    Args:
        sequences: How many sequences a row has.
        outputs: How many values are predicted.
    """

    def __init__(self, sequences: int, outputs: int):
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv1d(4, WIDTH, 11, padding=5),
            nn.BatchNorm1d(WIDTH),
            nn.ReLU(),
            nn.MaxPool1d(2, ceil_mode=True),
            nn.Dropout(0.1),
            nn.Conv1d(WIDTH, WIDTH, 7, padding=3),
            nn.BatchNorm1d(WIDTH),
            nn.ReLU(),
            nn.AdaptiveMaxPool1d(BINS),
        )
        self.head = nn.Sequential(
            nn.Dropout(0.4),
            nn.Linear(sequences * (BINS + 1) * WIDTH, WIDTH),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(WIDTH, outputs),
        )

    def forward(self, bases: torch.Tensor) -> torch.Tensor:
        """Predict from one-hot bases of shape `(rows, sequences, 4, length)`, all 0 for N and padding."""
        rows, sequences = bases.shape[:2]
        forward = bases.flatten(0, 1)
        strands = torch.cat([forward, forward.flip(1, 2)])  # A, C, G, T in this order: reversed, they are complements
        maxima = self.convolutions(strands).view(2, rows, sequences, WIDTH, BINS)
        features = torch.cat([maxima[0].flatten(2), maxima.amax(dim=(0, -1))], dim=-1)
        # Of a pair the second sequence is seen by its difference to the first.
        return self.head(torch.cat([features[:, :1], features[:, 1:] - features[:, :1]], dim=1).flatten(1))


def predict_small_cnn(
    train: Sequence[tuple[str, ...]],
    targets: np.ndarray,
    sequences: Sequence[tuple[str, ...]],
    problem_type: str,
    outputs: int,
    seed: int = 0,
    description: str = "Training a small CNN",
) -> np.ndarray:
    """Train the network on some rows, and predict others.

    A tenth of the train rows, drawn by the seed, is not trained on: the weights are those of the epoch with the lowest
    loss there. The same seed gives the same predictions on the same machine.

    Args:
        train: The sequence of each row to train on, or its reference and variant, in the letters A, C, G, T and N.
        targets: What to learn: int of shape `(rows,)`, bool of shape `(rows, labels)`, or of a regression float of
            shape `(rows,)`.
        sequences: Of the rows to predict.
        problem_type: In the words of transformers.
        outputs: How many classes or labels there are; 1 of a regression.
        seed: Of weights, order, dropout and which rows are held out.
        description: Of the progress bar.

    Returns:
        Probabilities of shape `(rows, outputs)`, of a regression values of shape `(rows,)`.
    """
    mean, scale = 0.0, 1.0
    if problem_type == "regression":
        mean, scale = float(targets.mean()), float(targets.std()) or 1.0
        targets = (targets - mean) / scale
    targets = torch.as_tensor(targets if targets.dtype.kind == "i" else targets.astype(np.float32))
    length = min(LENGTH, max(len(each) for row in (*train, *sequences) for each in row))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SmallCNN(len(train[0]), outputs)
        _fit(model, _as_codes(train, length), targets, _losses(problem_type), description)
    logits = _predict(model, _as_codes(sequences, length)).double()
    if problem_type == "regression":
        return (logits[:, 0] * scale + mean).numpy()
    return (logits.sigmoid() if problem_type == "multi_label_classification" else logits.softmax(-1)).numpy()


def _losses(problem_type: str):
    if problem_type == "regression":
        return lambda logits, targets: F.mse_loss(logits[:, 0], targets)
    if problem_type == "multi_label_classification":
        return F.binary_cross_entropy_with_logits
    return F.cross_entropy


def _fit(model: SmallCNN, codes: torch.Tensor, targets: torch.Tensor, loss_of, description: str) -> None:
    order = torch.randperm(len(codes))
    held_out, kept = order.split([int(HELD_OUT * len(codes)), len(codes) - int(HELD_OUT * len(codes))])
    batches = math.ceil(len(kept) / BATCH_SIZE)
    steps = max(1, min(EPOCHS * batches, BUDGET // (min(BATCH_SIZE, len(kept)) * codes[0].numel())))
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps + 1)
    lowest, best, waited, step = math.inf, None, 0, 0
    progress = Progress(total=steps, desc=description, unit="step")
    while step < steps and waited < PATIENCE:
        model.train()
        for places in kept[torch.randperm(len(kept))].split(BATCH_SIZE)[: steps - step]:
            loss = loss_of(model(_one_hot(codes[places])), targets[places])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            progress.update()
        step += batches
        if len(held_out):
            found = float(loss_of(_predict(model, codes[held_out]), targets[held_out]))
            waited += 1
            if found < lowest:
                lowest, waited = found, 0
                best = {name: value.clone() for name, value in model.state_dict().items()}
    progress.close()
    if best:
        model.load_state_dict(best)


@torch.no_grad()
def _predict(model: SmallCNN, codes: torch.Tensor) -> torch.Tensor:
    model.eval()
    return torch.cat([model(_one_hot(each)) for each in codes.split(4 * BATCH_SIZE)])


def _as_codes(rows: Sequence[tuple[str, ...]], length: int) -> torch.Tensor:
    """The letters of all rows, `(rows, sequences, length)`, int8: 0 for A to 3 for T, and 4 for all else."""
    codes = np.full((len(rows), len(rows[0]), length), 4, np.int8)
    for i, row in enumerate(rows):
        for j, sequence in enumerate(row):
            start = max(0, (len(sequence) - length) // 2)
            found = encode_bases(sequence[start : start + length])
            codes[i, j, : len(found)] = np.where(found < 0, 4, found)
    return torch.from_numpy(codes)


def _one_hot(codes: torch.Tensor) -> torch.Tensor:
    return F.one_hot(codes.long(), 5)[..., :4].transpose(-1, -2).float()


__all__ = ["predict_small_cnn"]
