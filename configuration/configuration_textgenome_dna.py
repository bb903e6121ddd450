"""Configuration of the DNA family: a DNA encoder and a head."""

from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig

from textgenome.configuration.configuration_textgenome import DNAFeaturesMixin, build_dna_config


@strict
class TextGenomeDNAConfig(DNAFeaturesMixin, PreTrainedConfig):
    """Configuration of the models of DNA alone. Classes are named in `id2label`, as everywhere.

    Args:
        dna_config: Configuration of the DNA encoder: `hyenadna` (the default), or any type that `AutoModel` builds.
        dna_feature_layer: Which hidden state of the encoder is pooled, as an index into its `hidden_states` (0 is the
            embedding). The default -1 is the last one, after the final norm.
        dna_feature_module: As in `TextGenomeConfig`, like the following two.
        both_strands: `none`, `average` or `concat`.
        dna_complement_map: The id of the token of each base, and that of its complement.
        num_sequences: Sequences a row: 1, or 2 for the pair of a reference and its variant.
        pooling: What is made of the states of a sequence: `attention` of a learnt query, their `mean`, `max` or `min`,
            or the `last` one. `site_difference` makes of a pair what the variant's states at the changed site have
            more than the reference's, in the mean over the site.
        pooling_num_heads: Heads of the attention pooling; they must divide the width of the features.
        classifier_dropout: Dropout before the last layer.
        class_weights: How much the loss counts each class, in the order of `id2label`; of several labels a row, how
            much it counts a label that a row has. By default all alike.
        label_mean: Of a regression: what is added to the output of the head, in the unit of the labels.
        label_scale: Of a regression: what the output is multiplied by before.
    """

    model_type = "textgenome_dna"
    sub_configs = {"dna_config": AutoConfig}

    dna_config: dict | PreTrainedConfig | None = None
    dna_feature_layer: int = -1
    dna_feature_module: str | None = None
    both_strands: Literal["none", "average", "concat"] = "none"
    dna_complement_map: dict | None = None
    num_sequences: int = 2
    pooling: Literal["attention", "mean", "max", "min", "last", "site_difference"] = "attention"
    pooling_num_heads: int = 8
    classifier_dropout: float | int = 0.1
    class_weights: list | None = None
    label_mean: float | int = 0.0
    label_scale: float | int = 1.0

    def __post_init__(self, **kwargs):
        self.dna_config = build_dna_config(self.dna_config)
        self.check_dna_features()
        width = self.dna_feature_size
        if self.num_sequences not in (1, 2):
            raise ValueError(f"Field 'num_sequences' is {self.num_sequences}, but must be 1 or 2.")
        if self.pooling == "site_difference" and self.num_sequences == 1:
            raise ValueError("Field 'pooling' is 'site_difference', which needs pairs: 'num_sequences' must be 2.")
        if self.pooling == "attention" and (self.pooling_num_heads < 1 or width % self.pooling_num_heads):
            raise ValueError(
                f"Field 'pooling_num_heads' is {self.pooling_num_heads}, but must divide the {width} channels of the "
                "DNA encoder."
            )
        super().__post_init__(**kwargs)
        self.label2id = {label: index for index, label in self.id2label.items()}


__all__ = ["TextGenomeDNAConfig"]
