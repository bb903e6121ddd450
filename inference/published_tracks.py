"""Checkpoints of Enformer and Borzoi with their published heads, as models of tracks."""

from dataclasses import dataclass
from functools import cached_property

import torch
from transformers import PreTrainedModel

from textgenome.inference.checkpoints import Checkpoint, find_kind, pin_revision, read_config
from textgenome.modeling_borzoi import BorzoiForTrackPrediction
from textgenome.modeling_dna_encoder import load_dna_encoder
from textgenome.modeling_enformer import EnformerForTrackPrediction
from textgenome.modeling_textgenome_dna_tracks import TextGenomeDNAForTrackPrediction
from textgenome.processing.dna_tokenizers import find_dna_tokenizer
from textgenome.processing.processing_textgenome_dna import TextGenomeDNAProcessor


PUBLISHED = {"borzoi": BorzoiForTrackPrediction, "enformer": EnformerForTrackPrediction}
HEADS = {"borzoi": "{}_head", "enformer": "_heads.{}.0"}  # their names in the checkpoints


@dataclass(frozen=True)
class PublishedTracks(Checkpoint):
    """A checkpoint of Enformer or Borzoi, read as a `TextGenomeDNAForTrackPrediction` with a `linear` head.

    Args:
        species: Whose tracks.
    """

    species: str = "human"

    @cached_property
    def processor(self) -> TextGenomeDNAProcessor:
        encoder = self.config.dna_config
        return TextGenomeDNAProcessor(find_dna_tokenizer(None, encoder.to_dict()), encoder.max_position_embeddings)

    def load(self, dtype: str = "auto") -> PreTrainedModel:
        """The model, in evaluation mode."""
        encoder = load_dna_encoder(self.name, dtype=dtype, revision=self.revision)
        fields = {name: getattr(self.config, name) for name in ("id2label", "track_resolution", "track_head")}
        model = TextGenomeDNAForTrackPrediction.from_dna_pretrained(encoder, num_sequences=1, pooling="mean", **fields)
        model_type = self.config.dna_config.model_type
        options = {"revision": self.revision, "dtype": dtype, "trust_remote_code": False}
        published = PUBLISHED[model_type].from_pretrained(self.name, **options)
        head = published.get_submodule(HEADS[model_type].format(self.species))
        output = model.head.network.output
        with torch.no_grad():
            output.weight.copy_(head.weight.view_as(output.weight))
            output.bias.copy_(head.bias)
        return model.eval()


def open_published(name: str, revision: str | None = "main", species: str = "human") -> PublishedTracks | None:
    """A checkpoint with published heads, or None if the model is of another kind.

    Args:
        name: Folder or Hub id.
        revision: Branch, tag or commit on the Hub.
        species: `human` or `mouse`.

    Raises:
        OSError: If there is no such model.
        ValueError: If it has no tracks of the species.
    """
    revision = pin_revision(str(name), revision)
    encoder, _ = read_config(name, revision)
    if encoder.model_type not in PUBLISHED:
        return None
    heads = encoder.output_heads
    if species not in heads:
        raise ValueError(f"{name} has tracks of {' and '.join(heads)}, but not of {species}.")
    kind = find_kind(TextGenomeDNAForTrackPrediction.__name__)
    config = kind.model_class.config_class(
        dna_config=encoder,
        num_sequences=1,
        pooling="mean",
        track_head="linear",
        track_resolution=encoder.bases_per_state,
        id2label={number: f"{species}_{number}" for number in range(heads[species])},
    )
    return PublishedTracks(str(name), revision, config, kind, False, species)


__all__ = ["PublishedTracks", "open_published"]
