"""Configuration of the DNA family: a DNA encoder and a head."""

from dataclasses import field
from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig

from textgenome.configuration.configuration_textgenome import DNAFeaturesMixin, bases_per_state, build_dna_config


@strict
class TextGenomeDNAConfig(DNAFeaturesMixin, PreTrainedConfig):
    """Configuration of the models of DNA alone. `id2label` names the classes, labels or tracks.

    Args:
        dna_config (`dict` or `PreTrainedConfig`, *optional*): Configuration of the DNA encoder: `hyenadna` (the
            default), or any type that `AutoModel` builds.
        dna_feature_layer (`int`, *optional*, defaults to `-1`): Hidden state of the encoder to read, as an index into
            its `hidden_states` (0 is the embedding). The default -1 is the last one, after the final norm.
        dna_feature_module (`str`, *optional*): As in `TextGenomeConfig`, like the following two.
        both_strands (`str`, *optional*, defaults to `"none"`): `none`, `average` or `concat`.
        dna_complement_map (`dict`, *optional*): The token id of each base, and that of its complement.
        num_sequences (`int`, *optional*, defaults to `2`): Sequences per row: 1, or 2 for the pair of a reference and
            its variant.
        pooling (`str`, *optional*, defaults to `"attention"`): How to pool the states of a sequence: `attention` by a
            learnt query, `mean`, `max`, `min`, or the `last` state. `site_difference`, for pairs, is the variant's
            states minus the reference's, averaged over the changed site. `tower` is the convolutions of gLM2X-Tower,
            which need sequences of equal length, and `center` is attention over the states in the middle.
        combine (`str`, *optional*, defaults to `"concat"`): How to combine two sequences: `concat` concatenates their
            pooled vectors, and `mean` averages the outputs of the head, independent of their order, as for two
            haplotypes.
        state_bin (`int`, *optional*): Number of bases to average states over before `tower` pools them. By default,
            states are not averaged.
        center_states (`int`, *optional*, defaults to `10`): Number of states that `center` attends to.
        pair_loss (`float` or `int`, *optional*, defaults to `0.0`): For a regression with `tower` or `center`: weight,
            from 0 to 1, of the loss on differences between rows of one group, see `huber_with_pairs`.
        pooling_bins (`int`, *optional*, defaults to `1`): For `mean`, `max` and `min`: number of equal parts of a
            sequence to pool separately, so that the head can tell places apart.
        pooling_num_heads (`int`, *optional*, defaults to `8`): Heads of the attention pooling; must divide the width
            of the features.
        classifier_dropout (`float` or `int`, *optional*, defaults to `0.1`): Dropout before the last layer.
        class_weights (`list`, *optional*): Weight of each class in the loss, in the order of `id2label`; with several
            labels per row or base, the weight of a label that is present. By default, all are equal.
        label_mean (`float` or `int`, *optional*, defaults to `0.0`): For a regression: added to the output of the
            head, in the units of the labels.
        label_scale (`float` or `int`, *optional*, defaults to `1.0`): For a regression: factor for the output of the
            head, before `label_mean` is added.
        track_head (`str`, *optional*, defaults to `"dilated"`): For `TextGenomeDNAForTrackPrediction`, like the
            following fields: `dilated` (residual convolutions, each with twice the dilation of the one before),
            `genos` (the two convolutions of Genos) or `linear` (as in Enformer and Borzoi).
        track_width (`int`, *optional*, defaults to `64`): Channels of `dilated`.
        track_layers (`int`, *optional*, defaults to `7`): Convolutions of `dilated`.
        track_dropout (`float` or `int`, *optional*, defaults to `0.1`): Dropout of the convolutions.
        track_resolution (`int`, *optional*, defaults to `1`): Bases of a bin, 1 to 128.
        track_loss (`str`, *optional*, defaults to `"poisson"`): `poisson`, `mse`, `tweedie` or `poisson_multinomial`.
        tweedie_power (`float`, *optional*, defaults to `1.5`): Of the loss `tweedie`, above 1 and below 2.
        track_total_weight (`float` or `int`, *optional*, defaults to `0.2`): Of the loss `poisson_multinomial`, the
            weight of the sum along a row beside its profile.
        track_means (`list[float]`, *optional*): The mean of each track where it is not 0, if signals are scaled for
            training; None if they are taken as they come.
        track_partners (`list[int]`, *optional*): For each track which one takes its place on the reverse complement;
            None if each does itself.
        state_bases (`int`, *optional*): Most bases that a state covers, of a head that labels bases: 1, 6 with tokens
            of 6-mers, and what the encoder says where its states cover several tokens.
        base_head (`str`, *optional*, defaults to `"linear"`): What labels bases: one `linear` layer, or dilated
            convolutions after it (`cnn`).
        cnn_channels (`int`, *optional*, defaults to `64`): Channels of these convolutions.
        cnn_kernel_size (`int`, *optional*, defaults to `9`): Positions that each of them reads, an odd number.
        cnn_stride (`int`, *optional*, defaults to `1`): Bases that share a position of the convolutions: 3, as in a
            codon, takes a third of the time.
        cnn_dilations (`list[int]`, *optional*): The distance between the positions that each convolution reads.
        focal_gamma (`float` or `int`, *optional*, defaults to `0.0`): Exponent of the focal loss, of a head that
            labels bases; 0 for none.
        stranded (`bool`, *optional*, defaults to `True`): Whether the labels of bases are those of the strand that is
            read; if not, of both strands.
        label_thresholds (`list[float]`, *optional*): The probability from which on a base has a label, for each of
            them; 0.5 by default. Of one class a base, without that of all other bases.
        cds_has_stop (`bool`, *optional*, defaults to `True`): Whether the label `CDS` covers the stop codon, as in
            GFF3.
    """

    model_type = "textgenome_dna"
    sub_configs = {"dna_config": AutoConfig}

    dna_config: dict | PreTrainedConfig | None = None
    dna_feature_layer: int = -1
    dna_feature_module: str | None = None
    both_strands: Literal["none", "average", "concat"] = "none"
    dna_complement_map: dict | None = None
    num_sequences: int = 2
    pooling: Literal["attention", "mean", "max", "min", "last", "site_difference", "tower", "center"] = "attention"
    combine: Literal["concat", "mean"] = "concat"
    state_bin: int | None = None
    center_states: int = 10
    pair_loss: float | int = 0.0
    pooling_bins: int = 1
    pooling_num_heads: int = 8
    classifier_dropout: float | int = 0.1
    class_weights: list | None = None
    label_mean: float | int = 0.0
    label_scale: float | int = 1.0
    track_head: Literal["dilated", "genos", "linear"] = "dilated"
    track_width: int = 64
    track_layers: int = 7
    track_dropout: float | int = 0.1
    track_resolution: int = 1
    track_loss: Literal["mse", "poisson", "poisson_multinomial", "tweedie"] = "poisson"
    tweedie_power: float = 1.5
    track_total_weight: float | int = 0.2
    track_means: list[float] | None = None
    track_partners: list[int] | None = None
    state_bases: int | None = None
    base_head: Literal["linear", "cnn"] = "linear"
    cnn_channels: int = 64
    cnn_kernel_size: int = 9
    cnn_stride: int = 1
    cnn_dilations: list[int] = field(default_factory=lambda: [1, 3, 9, 27, 81])
    focal_gamma: float | int = 0.0
    stranded: bool = True
    label_thresholds: list[float] | None = None
    cds_has_stop: bool = True

    def __post_init__(self, **kwargs):
        self.dna_config = build_dna_config(self.dna_config)
        self.check_dna_features()
        if self.state_bases is None:
            self.state_bases = bases_per_state(self.dna_config)
        if self.cnn_kernel_size < 1 or self.cnn_kernel_size % 2 == 0:
            raise ValueError(f"Field 'cnn_kernel_size' is {self.cnn_kernel_size}, but must be an odd number.")
        width = self.dna_feature_size
        if self.num_sequences not in (1, 2):
            raise ValueError(f"Field 'num_sequences' is {self.num_sequences}, but must be 1 or 2.")
        if self.pooling == "site_difference" and self.num_sequences == 1:
            raise ValueError("Field 'pooling' is 'site_difference', which needs pairs: 'num_sequences' must be 2.")
        if self.state_bin is not None and (self.state_bin < 1 or self.pooling != "tower"):
            raise ValueError(
                f"Field 'state_bin' is {self.state_bin}, but must be 1 or more, and is for the pooling 'tower'."
            )
        if self.pooling_bins < 1 or (self.pooling_bins > 1 and self.pooling not in ("mean", "max", "min")):
            raise ValueError(
                f"Field 'pooling_bins' is {self.pooling_bins}, but must be 1, or more with mean, max or min."
            )
        if self.pooling == "attention" and (self.pooling_num_heads < 1 or width % self.pooling_num_heads):
            raise ValueError(
                f"Field 'pooling_num_heads' is {self.pooling_num_heads}, but must divide the {width} channels of the "
                "DNA encoder."
            )
        super().__post_init__(**kwargs)
        self.check_tracks()
        self.label2id = {label: index for index, label in self.id2label.items()}

    def check_tracks(self) -> None:
        """Raise ValueError where the fields of track prediction do not suit each other."""
        if not 1 <= self.track_resolution <= 128:
            raise ValueError(f"Field 'track_resolution' is {self.track_resolution}, but must be from 1 to 128 bases.")
        if not 1 < self.tweedie_power < 2:
            raise ValueError(f"Field 'tweedie_power' is {self.tweedie_power}, but must be above 1 and below 2.")
        means, partners = self.track_means, self.track_partners
        if means is not None and (len(means) != self.num_labels or min(means) <= 0):
            raise ValueError(f"Field 'track_means' must hold a positive number for each of {self.num_labels} tracks.")
        if partners is not None and (
            sorted(partners) != [*range(self.num_labels)]
            or any(partners[each] != i for i, each in enumerate(partners))
        ):
            raise ValueError(
                f"Field 'track_partners' must pair up the numbers of the {self.num_labels} tracks, from 0 on."
            )


__all__ = ["TextGenomeDNAConfig"]
