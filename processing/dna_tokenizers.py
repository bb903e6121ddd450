"""DNA tokenizers, one token a base. What they do stands in `tokenizer.json`: loading one needs no code of ours."""

from typing import Literal

from tokenizers import Regex, Tokenizer, decoders
from tokenizers.models import WordLevel
from tokenizers.normalizers import Replace, Sequence
from tokenizers.pre_tokenizers import Split
from transformers import PreTrainedTokenizerFast


# The order is the ids. HyenaDNA: the tokenizer of the `LongSafari/hyenadna-*-hf` checkpoints. Genos: the SentencePiece
# model that ships with the Genos checkpoints.
VOCABULARIES = {
    "hyenadna": "[CLS] [SEP] [BOS] [MASK] [PAD] [RESERVED] [UNK] A C G T N".split(),
    "genos": "[PAD] [UNK] [CLS] [SEP] [MASK] C G T A N".split(),
}


def build_dna_tokenizer(
    vocabulary: Literal["hyenadna", "genos"] = "hyenadna", model_max_length: int | None = None
) -> PreTrainedTokenizerFast:
    """Build a tokenizer with one token a base, and no special tokens around them.

    It folds case, drops whitespace, reads U as T and IUPAC ambiguity letters as N. Anything else becomes `[UNK]`:
    the processor refuses such a sequence before it comes here.

    Args:
        vocabulary: Whose ids to use.
        model_max_length: Most tokens that the encoder reads.
    """
    ids = {token: index for index, token in enumerate(VOCABULARIES[vocabulary])}
    tokenizer = Tokenizer(WordLevel(ids, unk_token="[UNK]"))
    folds = {"a": "A", "c": "C", "g": "G", "[tuU]": "T", "[nRYWSKMBDHVrywskmbdhv]": "N"}
    tokenizer.normalizer = Sequence(
        [Replace(Regex(r"\s+"), ""), *(Replace(Regex(pattern), base) for pattern, base in folds.items())]
    )
    tokenizer.pre_tokenizer = Split(Regex("."), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        padding_side="right",
        model_max_length=model_max_length,
        model_input_names=["input_ids", "attention_mask"],
    )


__all__ = ["VOCABULARIES", "build_dna_tokenizer"]
