"""DNA encoders: of any checkpoint, alone or in a model, with the features that are asked for."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from transformers import AutoProcessor, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin
from transformers.utils import find_adapter_config_file

from textgenome.configuration.configuration_textgenome import TextGenomeConfig, build_dna_config
from textgenome.configuration.configuration_textgenome_dna import TextGenomeDNAConfig
from textgenome.inference.checkpoints import open_checkpoint, pin_revision, read_config
from textgenome.inference.generation import evaluation_mode
from textgenome.modeling_dna_encoder import load_dna_encoder
from textgenome.modeling_textgenome_dna import TextGenomeDNAModel
from textgenome.processing.dna_tokenizers import find_dna_tokenizer
from textgenome.processing.processing_dna import complement_map


OURS = (TextGenomeConfig.model_type, TextGenomeDNAConfig.model_type)
FEATURES = ("dna_feature_layer", "dna_feature_module", "both_strands", "dna_complement_map")


@dataclass(frozen=True)
class EncoderCheckpoint:
    """The DNA encoder of a checkpoint, of which no weights are loaded.

    Args:
        name: Folder or Hub id of a pretrained encoder, with its head or without, of a model of textgenome that has
            one, or of an adapter on such a model.
        revision: Its commit on the Hub; of a folder whatever was given.
        is_ours: Whether it is a model of textgenome.
        is_adapter: Whether it is an adapter, which is loaded with its base.
    """

    name: str
    revision: str | None
    is_ours: bool
    is_adapter: bool

    @cached_property
    def dna_config(self) -> PreTrainedConfig:
        """Configuration of the encoder."""
        if self.is_ours:
            return read_config(self.name, self.revision)[0].dna_config
        return build_dna_config(PreTrainedConfig.get_config_dict(self.name, revision=self.revision)[0])

    @cached_property
    def dna_tokenizer(self) -> PreTrainedTokenizerBase:
        """Its tokenizer, which knows how much it reads."""
        if self.is_ours:
            processor = AutoProcessor.from_pretrained(self.name, revision=self.revision, trust_remote_code=False)
            return processor.dna_tokenizer
        return find_dna_tokenizer(self.name, revision=self.revision)

    def load(self, dtype: str = "auto", **features) -> TextGenomeDNAModel:
        """The encoder, in evaluation mode.

        Args:
            dtype: Data type of the weights.
            features: See `as_encoder`.
        """
        options = {"revision": self.revision, "dtype": dtype}
        if not self.is_ours:
            model = load_dna_encoder(self.name, **options)
        elif self.is_adapter or read_config(self.name, self.revision)[0].model_type == TextGenomeConfig.model_type:
            model = open_checkpoint(self.name, self.revision).load(dtype)
        else:
            model = TextGenomeDNAModel.from_pretrained(self.name, **options)
        return as_encoder(model.eval(), self.dna_tokenizer, **features)


def open_encoder(name: str | Path, revision: str | None = "main") -> EncoderCheckpoint:
    """Find out where the DNA encoder of a checkpoint is. Code of a repository is never run.

    Raises:
        OSError: If there is no such model, or no base of an adapter.
    """
    name = str(name)
    revision = pin_revision(name, revision)
    is_adapter = find_adapter_config_file(name, revision=revision) is not None
    values = {} if is_adapter else PreTrainedConfig.get_config_dict(name, revision=revision)[0]
    return EncoderCheckpoint(name, revision, is_adapter or values.get("model_type") in OURS, is_adapter)


def as_encoder(
    model: PreTrainedModel, dna_tokenizer: PreTrainedTokenizerBase | None = None, **features
) -> TextGenomeDNAModel:
    """The DNA encoder of a model, which shares its weights, with the features that are asked for.

    Args:
        model: A model of textgenome, a pretrained encoder, or one with a head.
        dna_tokenizer: Of the encoder; needed where `both_strands` is asked for.
        features: `dna_feature_layer`, `dna_feature_module` and `both_strands` of `TextGenomeDNAConfig`. What is None
            or not given is as in the model, of a pretrained encoder the last states of one strand.

    Raises:
        ValueError: If the encoder does not have these features.
    """
    found = next((module for module in model.modules() if hasattr(type(module), "encode_dna")), None)
    encoder = model.base_model if found is None else found.dna_encoder
    chosen = {} if found is None else {name: getattr(found.config, name) for name in FEATURES}
    given = {name: value for name, value in features.items() if value is not None}
    for name, other in (("dna_feature_layer", "dna_feature_module"), ("dna_feature_module", "dna_feature_layer")):
        if name in given and other not in given:
            chosen.pop(other, None)
    chosen |= given
    if chosen.get("both_strands", "none") != "none" and chosen.get("dna_complement_map") is None:
        chosen["dna_complement_map"] = complement_map(dna_tokenizer)
    config = TextGenomeDNAConfig(dna_config=copy.deepcopy(encoder.config), pooling_num_heads=1, **chosen)
    with torch.device("meta"):
        wrapped = TextGenomeDNAModel(config)
    wrapped.dna_encoder = encoder
    return wrapped.train(model.training)


@contextmanager
def encoding_mode(encoder: TextGenomeDNAModel) -> Iterator[None]:
    """Have an encoder in evaluation mode, and not fill a cache on every pass, until the block ends."""
    config = encoder.dna_encoder.config
    filled = getattr(config, "use_cache", False)
    try:
        if filled:
            config.use_cache = False
        with evaluation_mode(encoder):
            yield
    finally:
        if filled:
            config.use_cache = filled


def tokenizer_of(processor_or_tokenizer: ProcessorMixin | PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The DNA tokenizer of a processor, or the tokenizer itself."""
    return getattr(processor_or_tokenizer, "dna_tokenizer", processor_or_tokenizer)


__all__ = ["EncoderCheckpoint", "as_encoder", "encoding_mode", "open_encoder", "tokenizer_of"]
