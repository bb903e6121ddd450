"""Requests that are no conversations: embeddings of sequences, and scores of labels for pairs."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Self

from transformers import PreTrainedModel

from textgenome.configuration.configuration_textgenome import bases_per_state
from textgenome.data.sequences import Tiling
from textgenome.inference.embedding import embedding_steps
from textgenome.inference.encoders import as_encoder
from textgenome.inference.scoring import label_likelihoods
from textgenome.processing.processing_dna import tokenize_dna
from textgenome.processing.processing_textgenome import TextGenomeProcessor
from textgenome.serving.limits import Limits


Steps = Generator[None, None, list]


@dataclass(frozen=True)
class Job:
    """What is to be computed, checked and cut.

    Args:
        sequences: How many there are.
        bases: How many they have together, as they came.
        tokens: How many tokens are read.
        size: Bytes that the job holds while it waits.
    """

    sequences: int
    bases: int
    tokens: int
    size: int

    name = "job"

    def steps(self, model: PreTrainedModel, processor: TextGenomeProcessor, limits: Limits) -> Steps:
        """Compute it, on the thread of the model; between steps others have their turn, and it may be given up."""
        raise NotImplementedError


@dataclass(frozen=True)
class SequencesJob(Job):
    """Reads sequences one by one.

    Args:
        letters: The sequences, in the letters A, C, G, T and N, cut to their windows if the model reads those.
    """

    letters: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, letters: Sequence[str], bases: int, model: PreTrainedModel, processor: TextGenomeProcessor, **more
    ) -> Self:
        """The job for sequences that had so many bases as they came."""
        tokens, size = count_dna_tokens(letters, model, processor), sum(map(len, letters))
        return cls(len(letters), bases, tokens, size, tuple(letters), **more)


@dataclass(frozen=True)
class EmbeddingJob(SequencesJob):
    """Embeds sequences.

    Args:
        pooling: See `embed`.
    """

    pooling: str = "mean"

    name = "embeddings"

    def steps(self, model: PreTrainedModel, processor: TextGenomeProcessor, limits: Limits) -> Steps:
        tokenizer = processor.dna_tokenizer
        encoder = as_encoder(model, tokenizer)
        tiling = tiling_of(model, processor)
        return (yield from embedding_steps(encoder, tokenizer, list(self.letters), tiling, self.pooling))


@dataclass(frozen=True)
class ScoreJob(Job):
    """Scores labels as the answer to conversations, given at once.

    Args:
        conversations: What is asked.
        without_dna: The question that all of them ask, without DNA.
        labels: Answers to choose from.
    """

    conversations: tuple[list[dict], ...] = ()
    without_dna: list[dict] | None = None
    labels: tuple[str, ...] = ()

    name = "scores"

    def steps(self, model: PreTrainedModel, processor: TextGenomeProcessor, limits: Limits) -> Steps:
        asked, found = [*self.conversations, *([self.without_dna] if self.without_dna else [])], []
        for start in range(0, len(asked), limits.batch_size):
            batch = asked[start : start + limits.batch_size]
            rows = label_likelihoods(model, processor, batch, list(self.labels)).tolist()
            found += [dict(zip(self.labels, row)) for row in rows]
            yield
        prior = found.pop() if self.without_dna else None
        return [(each, prior) for each in found]


def tiling_of(model: PreTrainedModel, processor: TextGenomeProcessor) -> Tiling:
    """How sequences are cut that are longer than the DNA encoder of a model reads."""
    return Tiling(processor.dna_tokenizer, bases_per_state(model.config.dna_config))


def count_dna_tokens(letters: Sequence[str], model: PreTrainedModel, processor: TextGenomeProcessor) -> int:
    """How many tokens the encoder reads of sequences."""
    tiling = tiling_of(model, processor)
    tiles = [sequence[start:end] for sequence in letters for start, end in tiling(sequence)]
    return sum(len(ids) for ids in tokenize_dna(processor.dna_tokenizer, tiles)[0])


__all__ = ["EmbeddingJob", "Job", "ScoreJob", "SequencesJob", "count_dna_tokens"]
