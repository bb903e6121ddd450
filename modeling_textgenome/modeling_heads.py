"""The parts that heads on the states of a DNA encoder are made of."""

import torch
from torch import nn
from torch.nn import functional as F


class TextGenomeAttention(nn.MultiheadAttention):
    """Attention that calls its last layer, the weights of which may be quantized, or on disk until then."""

    def forward(self, query: torch.Tensor, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`(sequences, queries, width)` and `(sequences, length, width)` to `(sequences, queries, width)`."""
        parts = zip((query, states, states), self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3))
        heads = [F.linear(*part).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in parts]
        attended = F.scaled_dot_product_attention(*heads, attn_mask=mask[:, None, None])
        return self.out_proj(attended.transpose(1, 2).flatten(2))


class TextGenomeAttentionPooling(nn.Module):
    """One learnt query that attends to the states of a sequence."""

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        self.query = nn.Parameter(torch.empty(1, 1, width))
        self.attention = TextGenomeAttention(width, num_heads, batch_first=True)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`(sequences, length, width)` to `(sequences, width)`; `mask` is bool, the tokens to attend to."""
        query = self.query.expand(len(states), -1, -1)
        return self.attention(query, states, mask)[:, 0]


def pool_states(states: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """Make one vector of the states of each sequence, in float32.

    Args:
        states: `(sequences, length, width)`.
        mask: `(sequences, length)`, bool: the states that there are, at least one a sequence; padding may be on
            either side.
        pooling: `mean`, `max`, `min` or `last`, the state of the last token.

    Returns:
        `(sequences, width)`.
    """
    states, there = states.float(), mask[..., None]
    if pooling == "mean":
        return (states * there).sum(1) / there.sum(1)
    if pooling == "max":
        return states.masked_fill(~there, -torch.inf).amax(1)
    if pooling == "min":
        return states.masked_fill(~there, torch.inf).amin(1)
    if pooling == "last":
        last = (mask * torch.arange(mask.shape[1], device=mask.device)).argmax(1)
        return states[torch.arange(len(states), device=states.device), last]
    raise ValueError(f"There is no pooling {pooling!r}: choose mean, max, min or last.")


def pool_bins(states: torch.Tensor, mask: torch.Tensor, pooling: str, bins: int) -> torch.Tensor:
    """Pool each of so many equal parts of a sequence, so that a head can tell places in it apart.

    Parts share a state where they do not divide the sequence evenly, and where there are more of them than states.

    Args:
        states: See `pool_states`, like the following two.
        mask: `(sequences, length)`.
        pooling: What is made of the states of a part.
        bins: How many parts.

    Returns:
        `(sequences, bins * width)`, the parts beside each other.
    """
    place, count = mask.cumsum(-1) - 1, mask.sum(-1, keepdim=True)
    parts = []
    for part in range(bins):
        there = mask & (place >= part * count // bins) & (place < -(-(part + 1) * count // bins))
        parts.append(pool_states(states, there, pooling))
    return torch.cat(parts, dim=-1)


def find_changed_tokens(tokens: torch.LongTensor) -> tuple[torch.LongTensor, torch.LongTensor]:
    """Where the sequences of a pair differ, between what they begin and what they end with alike.

    Where one of them lacks what the other has, as in an insertion, it is the token that follows in it.

    Args:
        tokens: `(pairs, 2, length)`, tokens on the left, then -1 for padding.

    Returns:
        The first changed token of each sequence and the one after the last, `(pairs, 2)` each. Of equal sequences the
        last token.
    """
    lengths = (tokens >= 0).sum(-1)
    shorter = lengths.min(-1, keepdim=True).values
    places = torch.arange(tokens.shape[-1], device=tokens.device)
    ends = tokens.gather(-1, (lengths[..., None] - 1 - places).clamp(min=0))  # from the last token backwards
    prefix, suffix = ((each[:, 0] == each[:, 1]).cumprod(-1).sum(-1, keepdim=True) for each in (tokens, ends))
    prefix = prefix.minimum(shorter)
    stop = lengths - suffix.minimum(shorter - prefix)
    start = prefix.minimum(lengths - 1)
    return start, stop.maximum(start + 1)


def states_to_bases(states: torch.Tensor, spans: torch.LongTensor, bases: int = 1) -> torch.Tensor:
    """Bring states to the resolution that is asked for: a state is repeated over its bases, and states that share a
    position are averaged by the bases that each of them has there.

    Args:
        states: `(batch, states, width)`.
        spans: `(batch, states)`, how many bases each state covers, in the order of the bases: 1, 6 and 1 of 6-mers,
            32 or 128; 0 for padding, on either side, and for tokens that the tokenizer added.
        bases: How many bases a position covers.

    Returns:
        `(batch, positions, width)`, of the type of the states. Position `i` covers the bases from `i * bases` on,
        counted from the first base of each row; there are as many as the longest row needs, and those after the last
        base of a row are 0.
    """
    ends = spans.cumsum(-1)
    positions = -(-int(ends[:, -1].max()) // bases)
    if bases == 1:
        places = torch.arange(positions, device=spans.device).expand(len(spans), -1)
        index = torch.searchsorted(ends, places.contiguous(), right=True)
        known = places < ends[:, -1:]
        index = index.clamp(max=spans.shape[1] - 1)[..., None].expand(-1, -1, states.shape[-1])
        return states.gather(1, index) * known[..., None]
    starts = ends - spans
    first = starts // bases
    total = states.new_zeros(len(states), positions + 1, states.shape[-1])
    for step in range((int(spans.max()) - 1) // bases + 2):
        position = first + step
        shared = (ends.clamp(max=(position + 1) * bases) - starts.clamp(min=position * bases)).clamp(min=0)
        position = torch.where(shared > 0, position, positions)  # the last one collects what is nowhere
        weighted = states * shared[..., None].to(states.dtype)
        total = total.scatter_add(1, position[..., None].expand_as(weighted), weighted)
    covered = (ends[:, -1:] - torch.arange(positions, device=spans.device) * bases).clamp(1, bases)
    return total[:, :positions] / covered[..., None].to(states.dtype)


class TextGenomeTowerConv(nn.Conv1d):
    """A convolution of the tower. Its weights are drawn by their width, unlike those of other heads."""


class TextGenomeTower(nn.Module):
    """The convolutions of gLM2X-Tower, which take a long window to one vector.

    Four blocks of a depthwise convolution that halves to eighths the length, and one over channels; the first three
    are followed by attention pooling of neighbours (Enformer, Nature Methods 18:1196, 2021).
    """

    width = 512
    # Kernel, stride and padding of each block.
    shapes = ((16, 8, 7), (8, 4, 3), (4, 2, 1), (3, 2, 1))

    def __init__(self, width: int):
        super().__init__()
        layers = []
        for number, (kernel, stride, padding) in enumerate(self.shapes):
            depthwise = TextGenomeTowerConv(width, width, kernel, stride, padding, groups=width)
            layers += [depthwise, nn.BatchNorm1d(width), nn.ReLU()]
            layers += [TextGenomeTowerConv(width, width, 1), nn.BatchNorm1d(width), nn.ReLU()]
            if number < len(self.shapes) - 1:
                layers.append(TextGenomePairPooling(width))
        layers += [TextGenomeTowerConv(width, self.width, 1), nn.BatchNorm1d(self.width), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """`(sequences, length, width)` to `(sequences, 512)`.

        Raises:
            ValueError: If there are too few states for the kernels.
        """
        if tower_lengths(states.shape[1])[-1] < 1:
            raise ValueError(
                f"The tower reads windows of {shortest_tower()} states or more, got {states.shape[1]}: widen the "
                "window, or average fewer bases to a state."
            )
        return self.layers(states.transpose(1, 2)).mean(-1)


def tower_lengths(length: int) -> list[int]:
    """The length of so many states after each block of the tower, 0 from where the kernel does not fit."""
    lengths = []
    for kernel, stride, padding in TextGenomeTower.shapes:
        length = max(length + 2 * padding - kernel + stride, 0) // stride if length else 0
        lengths.append(length)
        length = -(-length // 2)
    return lengths


def shortest_tower() -> int:
    """The fewest states that the tower reads."""
    return next(length for length in range(1, 1000) if tower_lengths(length)[-1])


class TextGenomePairPooling(nn.Module):
    """A weighted mean of each two neighbours; the weights, of each channel, come from a softmax over the two."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, width, 1))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """`(sequences, width, length)` to half the length, rounded up."""
        odd = states.shape[-1] % 2
        logits = F.pad(F.conv1d(states, self.weight), (0, odd), value=torch.finfo(states.dtype).min).unflatten(
            -1, (-1, 2)
        )
        return (F.pad(states, (0, odd)).unflatten(-1, (-1, 2)) * logits.softmax(-1)).sum(-1)


class TextGenomeCenterPooling(nn.Module):
    """Softmax attention over the states in the middle, as for Enformer and Borzoi where a gene starts there."""

    def __init__(self, width: int, count: int):
        super().__init__()
        self.count = count
        self.logits = nn.Linear(width, 1)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """`(sequences, length, width)` to `(sequences, width)`."""
        first = max((states.shape[1] - self.count) // 2, 0)
        middle = states[:, first : first + self.count]
        return (middle * self.logits(middle).softmax(1)).sum(1)


def huber_with_pairs(
    predictions: torch.Tensor, labels: torch.Tensor, groups: torch.LongTensor | None, share: float
) -> torch.Tensor:
    """`(1 - share)` times the Huber loss, and `share` times that of the differences between rows of a group.

    The differences have their sign: a pair that is predicted in the wrong order costs more than one that is predicted
    equal.

    Args:
        predictions: `(batch,)`.
        labels: The same.
        groups: The same, int64, such as the gene of each row; None for no pairs.
        share: Of the pairs.
    """
    loss = F.huber_loss(predictions, labels)
    if groups is None or not share:
        return loss
    first, second = (groups[:, None] == groups).triu(1).nonzero(as_tuple=True)
    pairs = F.huber_loss(
        predictions[first] - predictions[second], labels[first] - labels[second], reduction="sum"
    ) / max(len(first), 1)
    return (1 - share) * loss + share * pairs


__all__ = [
    "TextGenomeAttentionPooling",
    "TextGenomeCenterPooling",
    "TextGenomePairPooling",
    "TextGenomeTower",
    "TextGenomeTowerConv",
    "find_changed_tokens",
    "huber_with_pairs",
    "pool_bins",
    "pool_states",
    "states_to_bases",
]
