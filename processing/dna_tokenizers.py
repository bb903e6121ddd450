"""DNA tokenizers. What they do is saved in `tokenizer.json`: loading one needs no code of ours."""

from itertools import product

from tokenizers import Regex, Tokenizer, decoders
from tokenizers.models import WordLevel
from tokenizers.normalizers import Replace, Sequence
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from textgenome.configuration.configuration_textgenome import build_dna_config, max_dna_tokens


# The order is the ids.
# hyenadna: the tokenizer of the `LongSafari/hyenadna-*-hf` and `kuleshov-group/caduceus-*` checkpoints, less the [SEP]
# that it appends.
# genos: the SentencePiece model that ships with the Genos checkpoints.
# nucleotide_transformer: `vocab.txt` of `InstaDeepAI/nucleotide-transformer-2.5b-multi-species`; <cls> comes first.
# nucleotide_transformer_v2: the same with two more special tokens, as in `InstaDeepAI/nucleotide-transformer-v2-*`.
# enformer: the order in which Enformer and Borzoi read one-hot bases, and in which k-mers are numbered; N and what
# follows is not a base to them.
# bytes: UTF-8, as Evo2 reads DNA; id 1 is its padding.
KMERS = [*map("".join, product("ATCG", repeat=6)), *"ATCGN"]
VOCABULARIES = {
    "hyenadna": "[CLS] [SEP] [BOS] [MASK] [PAD] [RESERVED] [UNK] A C G T N".split(),
    "genos": "[PAD] [UNK] [CLS] [SEP] [MASK] C G T A N".split(),
    "nucleotide_transformer": ["<unk>", "<pad>", "<mask>", "<cls>", *KMERS],
    "nucleotide_transformer_v2": ["<unk>", "<pad>", "<mask>", "<cls>", "<eos>", "<bos>", *KMERS],
    "enformer": "A C G T N [PAD] [UNK]".split(),
    "bytes": ["[UNK]", "[PAD]", *(f"[{byte}]" for byte in range(2, 33)), *map(chr, range(33, 127))],
}
SPECIAL_TOKENS = {"pad_token": "pad", "unk_token": "unk", "cls_token": "cls", "sep_token": "sep", "mask_token": "mask"}


def build_dna_tokenizer(vocabulary: str = "hyenadna", model_max_length: int | None = None) -> PreTrainedTokenizerFast:
    """Build a DNA tokenizer.

    It folds case, drops whitespace, reads U as T and IUPAC ambiguity letters as N. Anything else becomes the unknown
    token: the processor refuses such a sequence before it comes here.

    Args:
        vocabulary: Whose ids to use. `hyenadna`, `genos`, `enformer` and `bytes` have one token a base. The two of
            `nucleotide_transformer` have 6-mers without overlap; bases that are left over, and all around an N, are
            single tokens; `<cls>` comes first.
        model_max_length: Most tokens that the encoder reads.
    """
    tokens = VOCABULARIES[vocabulary]
    ids = {token: index for index, token in enumerate(tokens)}
    special = {
        name: token for name, kind in SPECIAL_TOKENS.items() for token in tokens if token.lower().strip("[]<>") == kind
    }
    tokenizer = Tokenizer(WordLevel(ids, unk_token=special["unk_token"]))
    folds = {"a": "A", "c": "C", "g": "G", "[tuU]": "T", "[nRYWSKMBDHVrywskmbdhv]": "N"}
    tokenizer.normalizer = Sequence(
        [Replace(Regex(r"\s+"), ""), *(Replace(Regex(pattern), base) for pattern, base in folds.items())]
    )
    if vocabulary.startswith("nucleotide_transformer"):
        tokenizer.pre_tokenizer = Split(Regex("[ATCG]{6}|."), behavior="isolated")
        tokenizer.post_processor = TemplateProcessing(single="<cls> $A", special_tokens=[("<cls>", ids["<cls>"])])
    else:
        tokenizer.pre_tokenizer = Split(Regex("."), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **special,
        padding_side="right",
        model_max_length=model_max_length,
        model_input_names=["input_ids", "attention_mask"],
    )


def vocabulary_of(config: PreTrainedConfig) -> str | None:
    """Which of the vocabularies an encoder was trained with, or None if its configuration does not tell."""
    if config.model_type in ("hyenadna", "caduceus"):
        return "hyenadna"
    if config.model_type in ("enformer", "borzoi", "kmers"):
        return "enformer"
    if config.model_type == "evo2":
        return "bytes"
    if config.model_type == "mixtral" and config.vocab_size in (128, 256):
        return "genos"
    if config.model_type == "esm":
        names = ("nucleotide_transformer", "nucleotide_transformer_v2")
        return next((name for name in names if config.vocab_size == len(VOCABULARIES[name])), None)
    return None


def find_dna_tokenizer(
    dna_model: str | None = None,
    dna_config: dict | None = None,
    name: str | None = None,
    revision: str | None = None,
) -> PreTrainedTokenizerBase:
    """The tokenizer that was asked for, or that the encoder was trained with; it knows how much the encoder reads.

    Args:
        dna_model: A DNA encoder: a folder or a Hub id.
        dna_config: In place of it, the configuration of one, with its `model_type`.
        name: One of `VOCABULARIES`, a folder or a Hub id.
        revision: Of the encoder on the Hub.
    """
    config = build_dna_config(dna_config or PreTrainedConfig.get_config_dict(dna_model, revision=revision)[0])
    vocabulary = name or vocabulary_of(config) or dna_model
    if vocabulary is None:
        raise ValueError(f"Name a dna_tokenizer: {', '.join(VOCABULARIES)}, a folder or a Hub id.")
    if vocabulary in VOCABULARIES:
        tokenizer = build_dna_tokenizer(vocabulary)
    else:
        commit = revision if vocabulary == dna_model else None
        tokenizer = AutoTokenizer.from_pretrained(vocabulary, revision=commit, trust_remote_code=False)
    tokenizer.model_max_length = max_dna_tokens(config) or tokenizer.model_max_length
    return tokenizer


__all__ = ["VOCABULARIES", "build_dna_tokenizer", "find_dna_tokenizer", "vocabulary_of"]
