import json

import pytest
from transformers import AutoTokenizer

from textgenome.processing import build_dna_tokenizer


IDS = {"hyenadna": dict(zip("ACGTN", range(7, 12))), "genos": dict(zip("CGTAN", range(5, 10)))}


@pytest.fixture(params=["hyenadna", "genos"])
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
    expected = {"hyenadna": {"[CLS]": 0, "[SEP]": 1, "[PAD]": 4, "[UNK]": 6}, "genos": {"[PAD]": 0, "[UNK]": 1}}
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
