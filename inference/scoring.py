"""Ranking known labels without generation."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass

import torch
from transformers import Cache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from textgenome.genome.progress import by_batch
from textgenome.inference.answers import before_answer
from textgenome.inference.generation import by_length, evaluation_mode, prompt_inputs
from textgenome.modeling_cache import CACHE_NAME
from textgenome.processing.processing_textgenome import TextGenomeProcessor
from textgenome.processing.reserved_tokens import ReservedTokenError, check_text


NODES = 64  # whose logits are computed at a time


def score_labels(
    model: PreTrainedModel,
    processor: TextGenomeProcessor,
    conversations: Sequence[list[dict]],
    labels: list[str],
    batch_size: int = 64,
    description: str | None = None,
    outputs: Sequence[str] | None = None,
) -> Iterator[list[tuple[int, dict[str, float]]]]:
    """How likely is each label as the answer?

    Args:
        model: The fused model.
        processor: Its processor.
        conversations: What is asked.
        labels: Answers to choose from.
        batch_size: Rows at a time.
        description: Of the progress bar; None shows none.
        outputs: What the model wrote to each, see `score_batch`.

    Yields:
        For each of a batch: its place in `conversations`, and what `score_batch` returns for it.

    Raises:
        ValueError: If a label holds a reserved token, such as the end of a turn.
    """
    check_labels(labels, processor)
    with evaluation_mode(model):
        for places in by_batch(by_length(conversations, batch_size), len(conversations), description):
            written = outputs and [outputs[i] for i in places]
            scores = score_batch(model, processor, [conversations[i] for i in places], labels, written)
            yield list(zip(places, scores))


def check_labels(labels: list[str], processor: TextGenomeProcessor) -> None:
    """Raise `ValueError` for a label that holds a reserved token, such as the end of a turn."""
    for label in labels:
        try:
            check_text(label, processor.tokenizer)
        except ReservedTokenError as error:
            raise ValueError(f"The label {label!r} cannot be scored: {error}") from error


def score_batch(
    model: PreTrainedModel,
    processor: TextGenomeProcessor,
    conversations: list[list[dict]],
    labels: list[str],
    outputs: list[str] | None = None,
) -> list[dict[str, float]]:
    """Score labels for conversations that are a batch, with a model that does not train.

    The arguments are those of `label_likelihoods`.

    Returns:
        For each conversation, by label the log-probability among the labels.
    """
    likelihoods = label_likelihoods(model, processor, conversations, labels, outputs).log_softmax(-1)
    return [dict(zip(labels, row)) for row in likelihoods.tolist()]


@torch.no_grad()
def label_likelihoods(
    model: PreTrainedModel,
    processor: TextGenomeProcessor,
    conversations: list[list[dict]],
    labels: list[str],
    outputs: list[str] | None = None,
) -> torch.Tensor:
    """How likely is each label, and nothing else, as the answer to conversations that are a batch?

    Each prompt is encoded once; all labels continue from its cache in one pass.

    Args:
        model: The fused model.
        processor: Its processor.
        conversations: What is asked.
        labels: Answers to choose from.
        outputs: What the model wrote to each: a label then takes the place of the answer, after the reasoning. By
            default, and after an output without an answer, the label follows directly.

    Returns:
        `(conversations, labels)`, float32: the logarithm of the likelihood of all tokens of the label after `Answer:`,
        and of the end of the turn.
    """
    reasonings = [before_answer(output) for output in outputs] if outputs else [""] * len(conversations)
    begun = [
        [*conversation, {"role": "assistant", "content": f"{reasoning}Answer:"}]
        for conversation, reasoning in zip(conversations, reasonings)
    ]
    inputs = prompt_inputs(processor, begun, continue_final_message=True).to(model.device)
    mask = inputs["attention_mask"]
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    prompt = model(**inputs, position_ids=positions, use_cache=True, logits_to_keep=1)
    turns = [processor.tokenizer(f" {label}<|im_end|>", add_special_tokens=False)["input_ids"] for label in labels]
    tree = LabelTree.of(turns)
    states = read_tree(model.get_decoder(), tree, mask, positions[:, -1:], prompt[CACHE_NAME])
    head, columns = model.get_output_embeddings(), sorted({token for turn in turns for token in turn})
    # A few at a time: the logits of all would take much memory.
    parts = [head(part).float().log_softmax(-1)[:, columns] for part in states.flatten(0, 1).split(NODES)]
    behind = torch.cat(parts).unflatten(0, states.shape[:2])
    first = prompt.logits.float().log_softmax(-1)[..., columns]
    return tree.likelihoods(torch.cat([first, behind], dim=1), columns)


@dataclass(frozen=True)
class LabelTree:
    """Labels as a tree, in which what they begin with alike is read once.

    Args:
        turns: The tokens of each label.
        tokens: Of each node, a beginning of a label that others may share.
        paths: The nodes on the way to each node, itself included.
        ends: For each label the nodes, counted from 1, after which its tokens come; 0 is the prompt.
    """

    turns: list[list[int]]
    tokens: list[int]
    paths: list[list[int]]
    ends: list[list[int]]

    @classmethod
    def of(cls, turns: list[list[int]]) -> "LabelTree":
        nodes, tree = {(): 0}, cls(turns, [], [], [])
        for turn in turns:
            for end in range(1, len(turn)):
                begun = tuple(turn[:end])
                if begun not in nodes:
                    nodes[begun] = len(nodes)
                    tree.tokens.append(turn[end - 1])
                    tree.paths.append([nodes[begun[:i]] - 1 for i in range(1, end + 1)])
            tree.ends.append([nodes[tuple(turn[:end])] for end in range(len(turn))])
        return tree

    def likelihoods(self, log_probabilities: torch.Tensor, columns: list[int]) -> torch.Tensor:
        """The log-likelihood of each label, `(batch, labels)`.

        Args:
            log_probabilities: `(batch, 1 + nodes, columns)`, what may follow the prompt and each node.
            columns: The tokens that the last dimension has.
        """
        column = {token: i for i, token in enumerate(columns)}
        pairs = zip(self.ends, self.turns)
        return torch.stack(
            [log_probabilities[:, ends, [column[token] for token in turn]].sum(1) for ends, turn in pairs], dim=1
        )


def read_tree(
    decoder: PreTrainedModel, tree: LabelTree, mask: torch.Tensor, last: torch.Tensor, cache: Cache
) -> torch.Tensor:
    """The states of all nodes, `(batch, nodes, hidden_size)`, each of which sees the prompt and its own path only.

    Args:
        decoder: The language model without its head.
        tree: The labels.
        mask: `(batch, length)`, 1 for the tokens of the prompts and 0 for padding.
        last: `(batch, 1)`, the position of the last token of each prompt.
        cache: Of the prompts. It grows.
    """
    device, count = mask.device, len(tree.tokens)
    ids = torch.tensor(tree.tokens, device=device).expand(len(mask), -1)
    depths = torch.tensor([len(path) for path in tree.paths], device=device)
    if not all(type(layer) is DynamicLayer for layer in cache.layers):
        return read_paths(decoder, tree, mask, last, cache)  # a window or a recurrence does not follow the tree
    sees = torch.zeros(count, count, dtype=torch.bool, device=device)
    for node, path in enumerate(tree.paths):
        sees[node, path] = True
    sees = torch.cat([mask.bool()[:, None].expand(-1, count, -1), sees.expand(len(mask), -1, -1)], dim=-1)
    dtype = decoder.get_input_embeddings().weight.dtype
    bias = torch.zeros(sees.shape, dtype=dtype, device=device).masked_fill(~sees, torch.finfo(dtype).min)
    with takes_mask(decoder):
        outputs = decoder(
            input_ids=ids, attention_mask=bias[:, None], position_ids=last + depths, **{CACHE_NAME: cache}
        )
    return outputs.last_hidden_state


def read_paths(
    decoder: PreTrainedModel, tree: LabelTree, mask: torch.Tensor, last: torch.Tensor, cache: Cache
) -> torch.Tensor:
    """As `read_tree`, one label after another, for language models with other layers than full attention."""
    states = {}
    for ends in tree.ends:
        nodes = [end - 1 for end in ends[1:]]
        ids = torch.tensor([tree.tokens[node] for node in nodes], device=mask.device).expand(len(mask), -1)
        outputs = decoder(
            input_ids=ids,
            attention_mask=torch.cat([mask, torch.ones_like(ids)], dim=1),
            position_ids=last + torch.arange(1, len(nodes) + 1, device=mask.device),
            **{CACHE_NAME: deepcopy(cache)},
        )
        states |= dict(zip(nodes, outputs.last_hidden_state.unbind(1)))
    return torch.stack([states[node] for node in range(len(states))], dim=1)


@contextmanager
def takes_mask(decoder: PreTrainedModel) -> Iterator[None]:
    """Let a language model take a mask that says for each token what it sees, which flash attention does not."""
    implementation = decoder.config._attn_implementation
    if implementation in ("sdpa", "eager"):
        yield
        return
    decoder.set_attn_implementation("sdpa")
    try:
        yield
    finally:
        decoder.set_attn_implementation(implementation)


__all__ = ["check_labels", "label_likelihoods", "score_batch", "score_labels"]
