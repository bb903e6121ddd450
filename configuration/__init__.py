"""Configuration classes of TextGenome, and the recipes in `recipes/`."""

from transformers import AutoConfig

from textgenome.configuration.configuration_borzoi import BorzoiConfig
from textgenome.configuration.configuration_caduceus import CaduceusConfig
from textgenome.configuration.configuration_enformer import EnformerConfig
from textgenome.configuration.configuration_evo2 import Evo2Config
from textgenome.configuration.configuration_hyenadna import HyenaDNAConfig
from textgenome.configuration.configuration_kmers import KmersConfig
from textgenome.configuration.configuration_textgenome import TextGenomeConfig
from textgenome.configuration.configuration_textgenome_dna import TextGenomeDNAConfig


AutoConfig.register(TextGenomeConfig.model_type, TextGenomeConfig, exist_ok=True)
AutoConfig.register(TextGenomeDNAConfig.model_type, TextGenomeDNAConfig, exist_ok=True)

__all__ = [
    "BorzoiConfig",
    "CaduceusConfig",
    "EnformerConfig",
    "Evo2Config",
    "HyenaDNAConfig",
    "KmersConfig",
    "TextGenomeConfig",
    "TextGenomeDNAConfig",
]
