"""TextGenome: a DNA encoder and a language model in one. Importing the package registers it with the Auto classes."""

from importlib import metadata

from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMaskedLM,
    AutoModelForMultimodalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoProcessor,
)

from textgenome.configuration import (
    BorzoiConfig,
    CaduceusConfig,
    EnformerConfig,
    Evo2Config,
    HyenaDNAConfig,
    KmersConfig,
    TextGenomeConfig,
    TextGenomeDNAConfig,
)
from textgenome.modeling_borzoi import BorzoiForTrackPrediction, BorzoiModel
from textgenome.modeling_caduceus import CaduceusForMaskedLM, CaduceusModel
from textgenome.modeling_enformer import EnformerForTrackPrediction, EnformerModel
from textgenome.modeling_evo2 import Evo2ForCausalLM, Evo2Model
from textgenome.modeling_hyenadna import HyenaDNAForCausalLM, HyenaDNAModel
from textgenome.modeling_kmers import KmersModel
from textgenome.modeling_ntv2 import NTv2ForMaskedLM, NTv2Model
from textgenome.modeling_textgenome import TextGenomeForConditionalGeneration, TextGenomeModel
from textgenome.modeling_textgenome_dna import TextGenomeDNAForSequenceClassification, TextGenomeDNAModel
from textgenome.modeling_textgenome_dna_tokens import TextGenomeDNAForTokenClassification
from textgenome.modeling_textgenome_dna_tracks import TextGenomeDNAForTrackPrediction
from textgenome.processing.processing_textgenome import TextGenomeProcessor
from textgenome.processing.processing_textgenome_dna import TextGenomeDNAProcessor


__version__ = metadata.version("textgenome")

AutoModel.register(BorzoiConfig, BorzoiModel, exist_ok=True)
AutoModel.register(CaduceusConfig, CaduceusModel, exist_ok=True)
AutoModelForMaskedLM.register(CaduceusConfig, CaduceusForMaskedLM, exist_ok=True)
AutoModel.register(EnformerConfig, EnformerModel, exist_ok=True)
AutoModel.register(Evo2Config, Evo2Model, exist_ok=True)
AutoModelForCausalLM.register(Evo2Config, Evo2ForCausalLM, exist_ok=True)
AutoModel.register(HyenaDNAConfig, HyenaDNAModel, exist_ok=True)
AutoModelForCausalLM.register(HyenaDNAConfig, HyenaDNAForCausalLM, exist_ok=True)
AutoModel.register(KmersConfig, KmersModel, exist_ok=True)
for auto_class in (AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForMultimodalLM):
    auto_class.register(TextGenomeConfig, TextGenomeForConditionalGeneration, exist_ok=True)
# `architectures` of a checkpoint chooses; no Auto class of transformers is for tracks.
AutoModel.register(TextGenomeDNAConfig, (TextGenomeDNAModel, TextGenomeDNAForTrackPrediction), exist_ok=True)
AutoModelForSequenceClassification.register(TextGenomeDNAConfig, TextGenomeDNAForSequenceClassification, exist_ok=True)
AutoModelForTokenClassification.register(TextGenomeDNAConfig, TextGenomeDNAForTokenClassification, exist_ok=True)
AutoProcessor.register(TextGenomeConfig, TextGenomeProcessor, exist_ok=True)
AutoProcessor.register(TextGenomeDNAConfig, TextGenomeDNAProcessor, exist_ok=True)

__all__ = [
    "BorzoiConfig",
    "BorzoiForTrackPrediction",
    "BorzoiModel",
    "CaduceusConfig",
    "CaduceusForMaskedLM",
    "CaduceusModel",
    "EnformerConfig",
    "EnformerForTrackPrediction",
    "EnformerModel",
    "Evo2Config",
    "Evo2ForCausalLM",
    "Evo2Model",
    "HyenaDNAConfig",
    "HyenaDNAForCausalLM",
    "HyenaDNAModel",
    "KmersConfig",
    "KmersModel",
    "NTv2ForMaskedLM",
    "NTv2Model",
    "TextGenomeConfig",
    "TextGenomeDNAConfig",
    "TextGenomeDNAForSequenceClassification",
    "TextGenomeDNAForTokenClassification",
    "TextGenomeDNAForTrackPrediction",
    "TextGenomeDNAModel",
    "TextGenomeDNAProcessor",
    "TextGenomeForConditionalGeneration",
    "TextGenomeModel",
    "TextGenomeProcessor",
    "__version__",
]
