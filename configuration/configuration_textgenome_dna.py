"""Configuration of the DNA-only model: a DNA encoder and a classification head."""

from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig

from textgenome.configuration.configuration_textgenome import DNAFeaturesMixin, build_dna_config


@strict
class TextGenomeDNAConfig(DNAFeaturesMixin, PreTrainedConfig):
    """Configuration of `TextGenomeDNAForSequenceClassification`. Its classes stand in `id2label`, as everywhere.

    Args:
        dna_config: Configuration of the DNA encoder: `hyenadna` (the default), or any type that `AutoModel` builds.
        dna_feature_layer: Which hidden state of the encoder is pooled, as an index into its `hidden_states` (0 is the
            embedding). The default -1 is the last one, after the final norm.
        dna_feature_module: As in `TextGenomeConfig`, like the following two.
        both_strands: `none`, `average` or `concat`.
        dna_complement_map: The id of the token of each base, and that of its complement.
        pooling_num_heads: Heads of the attention pooling; they must divide the width of the features.
        classifier_dropout: Dropout before the last layer.
    """

    model_type = "textgenome_dna"
    sub_configs = {"dna_config": AutoConfig}

    dna_config: dict | PreTrainedConfig | None = None
    dna_feature_layer: int = -1
    dna_feature_module: str | None = None
    both_strands: Literal["none", "average", "concat"] = "none"
    dna_complement_map: dict | None = None
    pooling_num_heads: int = 8
    classifier_dropout: float | int = 0.1

    def __post_init__(self, **kwargs):
        self.dna_config = build_dna_config(self.dna_config)
        self.check_dna_features()
        width = self.dna_feature_size
        if self.pooling_num_heads < 1 or width % self.pooling_num_heads:
            raise ValueError(
                f"Field 'pooling_num_heads' is {self.pooling_num_heads}, but must divide the {width} channels of the "
                "DNA encoder."
            )
        super().__post_init__(**kwargs)
        self.label2id = {label: index for index, label in self.id2label.items()}


__all__ = ["TextGenomeDNAConfig"]
