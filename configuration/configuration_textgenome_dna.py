"""Configuration of the DNA family: a DNA encoder and a head."""

from dataclasses import field
from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig

from textgenome.configuration.configuration_textgenome import DNAFeaturesMixin, bases_per_state, build_dna_config


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
            more than the reference's, in the mean over the site. `tower` is the convolutions of gLM2X-Tower, which
            need sequences of one length, and `center` attention over the states in the middle.
        combine: How two sequences are combined: `concat` puts what is pooled beside each other, and `mean` takes the
            mean of the outputs of the head, which is the same whatever their order, as of two haplotypes.
        state_bin: Average states over so many bases before they are pooled by `tower`. By default they are not.
        center_states: How many states `center` attends to.
        pair_loss: Of a regression with `tower` or `center`: the share of the loss that the differences between rows of
            one group have, see `huber_with_pairs`.
        pooling_bins: Of `mean`, `max` and `min`: into how many equal parts a sequence is divided, each of which is
            pooled by itself. More than one tells where in a sequence something is.
        pooling_num_heads: Heads of the attention pooling; they must divide the width of the features.
        classifier_dropout: Dropout before the last layer.
        class_weights: How much the loss counts each class, in the order of `id2label`; of several labels a row or a
            base, how much it counts a label that is there. By default all alike.
        label_mean: Of a regression: what is added to the output of the head, in the unit of the labels.
        label_scale: Of a regression: what the output is multiplied by before.
        track_head: Of `TextGenomeDNAForTrackPrediction`, like the following, whose tracks are the labels: `dilated`
            (residual convolutions, each of which sees twice as far), `genos` (the two convolutions of Genos) or
            `linear` (as in Enformer and Borzoi).
        track_width: Channels of `dilated`.
        track_layers: Convolutions of `dilated`.
        track_dropout: Dropout of the convolutions.
        track_resolution: Bases of a bin, 1 to 128.
        track_loss: `poisson`, `mse`, `tweedie` or `poisson_multinomial`.
        tweedie_power: Of the loss `tweedie`, above 1 and below 2.
        track_total_weight: Of the loss `poisson_multinomial`, the weight of the sum along a row beside its profile.
        track_means: The mean of each track where it is not 0, if signals are scaled for training; None if they are
            taken as they come.
        track_partners: For each track which one takes its place on the reverse complement; None if each does itself.
        state_bases: Most bases that a state covers, of a head that labels bases: 1, 6 with tokens of 6-mers, and what
            the encoder says where its states cover several tokens.
        base_head: What labels bases: one `linear` layer, or dilated convolutions after it (`cnn`).
        cnn_channels: Channels of these convolutions.
        cnn_kernel_size: Positions that each of them reads, an odd number.
        cnn_stride: Bases that share a position of the convolutions: 3, as in a codon, takes a third of the time.
        cnn_dilations: The distance between the positions that each convolution reads.
        focal_gamma: Exponent of the focal loss, of a head that labels bases; 0 for none.
        stranded: Whether the labels of bases are those of the strand that is read; if not, of both strands.
        label_thresholds: The probability from which on a base has a label, for each of them; 0.5 by default. Of one
            class a base, without that of all other bases.
        cds_has_stop: Whether the label `CDS` covers the stop codon, as in GFF3.
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
