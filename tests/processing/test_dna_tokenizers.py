import json
import random

import pytest
from conftest import random_dna
from pyarrow import parquet
from tokenizers import Regex, Tokenizer, normalizers
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers import AutoTokenizer, LlamaConfig, PreTrainedTokenizerFast

from textgenome.configuration.base_models import BASE_MODELS, base_model_config
from textgenome.processing import build_dna_tokenizer, variant_window
from textgenome.processing.dna_tokenizers import VOCABULARIES, vocabulary_of
from textgenome.processing.processing_dna import check_tokens, tokenize_dna


IDS = {
    "hyenadna": dict(zip("ACGTN", range(7, 12))),
    "genos": dict(zip("CGTAN", range(5, 10))),
    "enformer": dict(zip("ACGTN", range(5))),
}


@pytest.fixture(params=list(IDS))
def vocabulary(request):
    return request.param


def test_one_token_a_base_with_the_published_ids(vocabulary):
    ids = IDS[vocabulary]
    assert build_dna_tokenizer(vocabulary)("ACGTN")["input_ids"] == [ids[base] for base in "ACGTN"]


def test_case_whitespace_uracil_and_ambiguity(vocabulary):
    tokenizer = build_dna_tokenizer(vocabulary)
    assert tokenizer("ac gu\nRyn")["input_ids"] == tokenizer("ACGTNNN")["input_ids"]


@pytest.mark.parametrize("length", [0, 1, 2, 1000])
def test_round_trip(vocabulary, length):
    tokenizer = build_dna_tokenizer(vocabulary)
    sequence = ("ACGTN" * 200)[:length]
    ids = tokenizer(sequence)["input_ids"]
    assert len(ids) == length
    assert tokenizer.decode(ids) == sequence


def test_special_tokens(vocabulary):
    tokenizer = build_dna_tokenizer(vocabulary)
    expected = {
        "hyenadna": {"[CLS]": 0, "[SEP]": 1, "[PAD]": 4, "[UNK]": 6},
        "genos": {"[PAD]": 0, "[UNK]": 1},
        "enformer": {"[PAD]": 5, "[UNK]": 6},
    }
    for token, index in expected[vocabulary].items():
        assert tokenizer.convert_tokens_to_ids(token) == index


def test_saved_as_data_only(vocabulary, tmp_path):
    tokenizer = build_dna_tokenizer(vocabulary, model_max_length=77)
    tokenizer.save_pretrained(tmp_path)
    assert not list(tmp_path.glob("*.py"))
    assert "auto_map" not in json.loads((tmp_path / "tokenizer_config.json").read_text())
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded("acgu")["input_ids"] == tokenizer("acgu")["input_ids"]
    assert loaded.model_max_length == 77


@pytest.mark.parametrize("name", VOCABULARIES)
def test_looking_ids_up_gives_those_of_the_tokenizer(name):
    tokenizer = build_dna_tokenizer(name)
    sequences = [random_dna(length, seed=1) for length in (1, 6, 7, 600)] + ["N", "ANNA", "ACGTNNACGTAC" * 9]
    ids, offsets = tokenize_dna(tokenizer, sequences, offsets=True)
    expected = tokenizer(sequences, return_offsets_mapping=True)
    assert (ids, offsets) == (expected["input_ids"], expected["offset_mapping"])
    assert tokenize_dna(tokenizer, sequences) == (ids, None)


@pytest.mark.parametrize("name", VOCABULARIES)
def test_sequences_are_checked_as_if_they_were_tokenized(name):
    tokenizer = build_dna_tokenizer(name, model_max_length=600)
    sequence = random_dna(600)
    check_tokens(tokenizer, (sequence, sequence[:-1]))
    check_tokens(tokenizer, (sequence,))
    with pytest.raises(ValueError, match="equal DNA tokens"):
        check_tokens(tokenizer, (sequence, sequence))
    tokenizer.model_max_length = count = len(tokenizer(sequence)["input_ids"]) - 1
    with pytest.raises(ValueError, match=f"600 bases has {count + 1} tokens, but the encoder reads at most {count}"):
        check_tokens(tokenizer, (sequence[:9], sequence))


def test_a_tokenizer_of_another_kind_is_asked():
    merged = build_dna_tokenizer()
    merged.add_tokens("GATTACA")
    assert tokenize_dna(merged, ["GATTACAGATTACA", "ACGT"])[0] == merged(["GATTACAGATTACA", "ACGT"])["input_ids"]
    folded = build_dna_tokenizer()
    folded.backend_tokenizer.normalizer = normalizers.Replace("T", "A")
    assert tokenize_dna(folded, ["ACGT"])[0] == folded(["ACGA"])["input_ids"]
    large = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel({base: 252 + i for i, base in enumerate("ACGTN")}))
    )
    large.backend_tokenizer.pre_tokenizer = Split(Regex("."), behavior="isolated")
    assert tokenize_dna(large, ["NACGT"])[0] == [[256, 252, 253, 254, 255]]


def expected_6mers(sequence: str) -> list[str]:
    tokens, i = ["<cls>"], 0
    while i < len(sequence):
        size = 6 if len(sequence) - i >= 6 and set(sequence[i : i + 6]) <= set("ACGT") else 1
        tokens.append(sequence[i : i + size])
        i += size
    return tokens


def test_6mers_have_the_published_ids():
    tokenizer = build_dna_tokenizer("nucleotide_transformer")
    assert len(tokenizer) == 4105
    golden = {"<unk>": 0, "<pad>": 1, "<mask>": 2, "<cls>": 3, "AAAAAA": 4, "AAAAAT": 5, "AAAAAC": 6, "AAAAAG": 7}
    golden |= {"GGGGGG": 4099, "A": 4100, "T": 4101, "C": 4102, "G": 4103, "N": 4104}
    assert {token: tokenizer.convert_tokens_to_ids(token) for token in golden} == golden


def test_version_2_has_two_more_special_tokens_before_the_6mers():
    tokenizer = build_dna_tokenizer("nucleotide_transformer_v2")
    assert len(tokenizer) == 4107
    golden = {"<unk>": 0, "<pad>": 1, "<mask>": 2, "<cls>": 3, "<eos>": 4, "<bos>": 5, "AAAAAA": 6, "AAAAAT": 7}
    golden |= {"GGGGGG": 4101, "A": 4102, "T": 4103, "C": 4104, "G": 4105, "N": 4106}
    assert {token: tokenizer.convert_tokens_to_ids(token) for token in golden} == golden
    assert tokenizer("AAAAAATN")["input_ids"] == [3, 6, 4103, 4106]


@pytest.mark.parametrize("seed", range(20))
def test_6mers_cover_every_base_once(seed):
    draw = random.Random(seed)
    sequence = "".join(draw.choices("ACGTN", weights=[9, 9, 9, 9, 1], k=draw.randrange(200)))
    tokenizer = build_dna_tokenizer("nucleotide_transformer_v2")
    tokens = tokenizer.convert_ids_to_tokens(tokenizer(sequence)["input_ids"])
    assert tokens == expected_6mers(sequence)
    assert sum(len(token) for token in tokens if token not in tokenizer.all_special_tokens) == len(sequence)


@pytest.mark.parametrize("length", range(14))
def test_6mers_around_their_boundary(length):
    tokenizer = build_dna_tokenizer("nucleotide_transformer")
    sequence = random_dna(length)
    assert tokenizer.convert_ids_to_tokens(tokenizer(sequence)["input_ids"]) == expected_6mers(sequence)
    assert tokenizer.decode(tokenizer(sequence)["input_ids"], skip_special_tokens=True) == sequence


@pytest.mark.parametrize("sequence", ["NNNNNNNN", "ACGTANACGTAC", "ACGTACNNACGTA", "acgtacRacgtac", "NACGTAC"])
def test_6mers_beside_unknown_bases(sequence):
    tokenizer = build_dna_tokenizer("nucleotide_transformer")
    read = "".join(base if base in "ACGT" else "N" for base in sequence.upper())
    assert tokenizer.convert_ids_to_tokens(tokenizer(sequence)["input_ids"]) == expected_6mers(read)


def test_bytes():
    tokenizer = build_dna_tokenizer("bytes")
    assert tokenizer("ACGTN acgu")["input_ids"] == list(b"ACGTNACGT")
    assert tokenizer.decode(tokenizer("ACGTN")["input_ids"]) == "ACGTN"
    assert tokenizer.pad_token_id == 1


@pytest.mark.parametrize("hub_id", [hub_id for hub_id in BASE_MODELS if "Qwen" not in hub_id])
def test_the_vocabulary_follows_from_the_encoder(hub_id):
    family = {"Genos": "genos", "hyenadna": "hyenadna", "nucleotide-transformer-v2": "nucleotide_transformer_v2"}
    family |= {"nucleotide-transformer": "nucleotide_transformer", "caduceus": "hyenadna", "evo2": "bytes"}
    family |= {"enformer": "enformer", "borzoi": "enformer"}
    expected = next(vocabulary for name, vocabulary in family.items() if name in hub_id)
    assert vocabulary_of(base_model_config(hub_id)) == expected


def test_an_encoder_of_another_kind_has_no_vocabulary_of_ours():
    assert vocabulary_of(LlamaConfig()) is None


# In bases, and in tokens as the encoders read them. The million of Genos and of the large HyenaDNA holds any row.
LIMITS = [
    ("genos", 1_048_576, 1_048_576),
    ("hyenadna", 1_000_002, 1_000_002),
    ("hyenadna", 1026, 1026),
    ("nucleotide_transformer", 5_994, 1_000),
    ("bytes", 8192, 8192),
]


@pytest.mark.slow
@pytest.mark.parametrize("vocabulary, own_limit, max_tokens", LIMITS)
def test_every_kegg_pair_differs_in_its_tokens(kegg_folder, vocabulary, own_limit, max_tokens):
    tokenizer = build_dna_tokenizer(vocabulary)
    rows = [row for file in kegg_folder.glob("*.parquet") for row in parquet.read_table(file).to_pylist()]
    pairs = {(row["reference_sequence"], row["variant_sequence"]) for row in rows}
    for size in {min(2048, own_limit), own_limit}:
        windows = [window for pair in pairs for window in variant_window(*pair, size)]
        encoded = tokenizer(windows, return_attention_mask=False)["input_ids"]
        assert all(reference != variant for reference, variant in zip(encoded[::2], encoded[1::2]))
        assert max(map(len, encoded)) <= max_tokens
