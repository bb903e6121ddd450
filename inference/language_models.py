"""Language models of DNA: the one place that says which class loads a checkpoint with its head."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from textgenome.configuration.configuration_textgenome import max_dna_tokens
from textgenome.inference.checkpoints import KINDS, pin_revision
from textgenome.modeling_ntv2 import NTv2ForMaskedLM, is_ntv2
from textgenome.processing.dna_tokenizers import find_dna_tokenizer
from textgenome.processing.processing_dna import has_several_bases, longest_token, tokenize_dna


@dataclass(frozen=True)
class DNALanguageModel:
    """A DNA model with the head that predicts tokens, and its tokenizer.

    Args:
        name: Folder or Hub id.
        model: In evaluation mode.
        tokenizer: Its tokenizer, which knows how many tokens the model reads.
        is_causal: Whether it predicts the next token; else it predicts masked ones.
        revision: Its commit on the Hub.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    is_causal: bool
    revision: str | None = None

    @property
    def bases_per_token(self) -> int:
        """Bases of the longest token."""
        return longest_token(self.tokenizer) if has_several_bases(self.tokenizer) else 1

    @property
    def most_bases(self) -> int | None:
        """Bases of the longest sequence that the model is sure to read, or None if it has no limit."""
        if max_dna_tokens(self.model.config) is None:
            return None
        added = len(self.tokenizer("")["input_ids"])
        # Bases that are left over, before the first whole token and after the last, are tokens of their own.
        left_over = self.bases_per_token - 1
        return (self.tokenizer.model_max_length - added - left_over) * self.bases_per_token + left_over

    def pad(self, rows: list[list[int]], side: str = "right") -> tuple[torch.Tensor, torch.Tensor]:
        """`input_ids` and `attention_mask` of rows of tokens, `(rows, tokens)`, on the device of the model."""
        batch = self.tokenizer.pad({"input_ids": rows}, padding_side=side, return_tensors="pt", verbose=False)
        return tuple(batch[name].to(self.model.device) for name in ("input_ids", "attention_mask"))

    def tokenize(self, sequences: list[str]) -> list[list[int]]:
        """The tokens of sequences in the letters A, C, G, T and N."""
        return tokenize_dna(self.tokenizer, sequences)[0]

    def are_bases(self, ids: torch.Tensor) -> torch.Tensor:
        """Which tokens are known bases: bool, of the shape of `ids`. N, padding and what is added do not."""
        others = sorted({*self.tokenize(["N"])[0], *self.tokenizer.all_special_ids})
        return ~torch.isin(ids, torch.tensor(others, device=ids.device))

    def predict(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Natural logarithms of the probabilities of all tokens, `(sequences, tokens, vocabulary)`, float32."""
        # A cache is of no use to a single pass. Not all models know the word.
        cache = {"use_cache": False} if hasattr(self.model.config, "use_cache") else {}
        return F.log_softmax(self.model(input_ids, attention_mask=attention_mask, **cache).logits.float(), -1)


def load_language_model(name: str, revision: str | None = "main", dtype: str = "auto") -> DNALanguageModel:
    """Load a DNA model with its causal or masked head. Code of a repository is never run.

    Args:
        name: Folder or Hub id.
        revision: Of a model on the Hub.
        dtype: Data type of the weights.

    Raises:
        OSError: If there is no such model.
        ValueError: If the model has no such head, or its files hold no weights for it.
    """
    revision = pin_revision(name, revision)
    values, _ = PreTrainedConfig.get_config_dict(name, revision=revision)
    model_class, is_causal = find_head(name, values, revision)
    options = {"revision": revision, "dtype": dtype, "trust_remote_code": False, "output_loading_info": True}
    model, loaded = model_class.from_pretrained(name, **options)
    if loaded["missing_keys"]:
        missing = ", ".join(sorted(loaded["missing_keys"])[:3])
        raise ValueError(
            f"{name}: its files hold no weights for {missing}. It was saved without its head, which predicts bases: "
            "name the whole language model."
        )
    tokenizer = find_dna_tokenizer(name)
    if not is_causal and tokenizer.mask_token_id is None:
        raise ValueError(f"{name}: the model predicts masked tokens, but its tokenizer has none to mask with.")
    return DNALanguageModel(name, model.eval(), tokenizer, is_causal, revision)


def find_head(name: str, values: dict, revision: str | None = None) -> tuple[type, bool]:
    """What loads a checkpoint with its head, and whether that is causal.

    Args:
        name: Folder or Hub id, for messages.
        values: Content of its `config.json`.
        revision: Of a model on the Hub.

    Raises:
        ValueError: If there is no causal or masked head of DNA tokens for its model type.
    """
    if is_ntv2(values):
        return NTv2ForMaskedLM, False
    own = {kind.model_class.config_class.model_type: kind.model_class.__name__ for kind in KINDS}
    model_type, saved_as = values.get("model_type"), (values.get("architectures") or [""])[0]
    if model_type in own:
        raise ValueError(
            f"{name} ({saved_as or own[model_type]}) has no head that predicts bases. Name a language model of "
            "DNA, such as the one whose encoder it has."
        )
    config = type(AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False))
    causal, masked = (config in each for each in (MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING))
    if not causal and not masked:
        raise ValueError(
            f"{name} ({saved_as or model_type}) has neither a causal nor a masked head: it predicts no bases. "
            "HyenaDNA, Evo2, Genos, Caduceus and the Nucleotide Transformers do."
        )
    if causal and masked:
        causal = not saved_as.endswith("ForMaskedLM")  # BERT and its like have both
    return (AutoModelForCausalLM, True) if causal else (AutoModelForMaskedLM, False)


__all__ = ["DNALanguageModel", "find_head", "load_language_model"]
