import json

import pytest
from conftest import TINY_CHECKPOINT, variant_row
from runs import write_rows
from sft_runs import HYENA, TEXT

from textgenome.configuration.arguments import DataArguments, ModelArguments, TrainingArguments
from textgenome.processing import build_dna_tokenizer, train_text_tokenizer
from textgenome.training.joining import load_tokenizers, projector_options
from textgenome.training.sft import load_data


def test_tokenizers_are_those_of_the_models():
    tokenizer, dna_tokenizer = load_tokenizers(ModelArguments(model_name_or_path=str(TINY_CHECKPOINT)))
    assert "<|dna_pad|>" in tokenizer.get_vocab() and dna_tokenizer("ACGT")["input_ids"] == [7, 8, 9, 10]
    tokenizer, dna_tokenizer = load_tokenizers(ModelArguments(text_config=TEXT, dna_config=HYENA))
    assert tokenizer is None and dna_tokenizer("ACGT")["input_ids"] == [7, 8, 9, 10]


def test_rows_hold_no_reserved_token_of_the_language_model(tmp_path):
    tokenizer = train_text_tokenizer(["a"], 0)
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|image|>"]})
    tokenizer.save_pretrained(tmp_path / "text")
    (tmp_path / "dna").mkdir()
    (tmp_path / "dna" / "config.json").write_text(json.dumps(HYENA))
    write_rows(tmp_path / "rows", train=[variant_row(answer="a<|image|>")], val=[variant_row()])
    models = ModelArguments(text_model=str(tmp_path / "text"), dna_model=str(tmp_path / "dna"))
    data = DataArguments(dataset_name=str(tmp_path / "rows"), dna_window=64)
    training = TrainingArguments(output_dir=str(tmp_path / "out"), bf16=False)
    with pytest.raises(ValueError, match=r"row 0, column 'answer': the text holds <\|image\|>, which is reserved"):
        load_data(data, training, *load_tokenizers(models))


@pytest.mark.parametrize("name, hidden", [("hyenadna", []), ("nucleotide_transformer", [3])])
def test_tokens_that_the_dna_tokenizer_adds_are_hidden_unless_asked_for(name, hidden):
    dna_tokenizer = build_dna_tokenizer(name)
    for show in (False, True):
        args = ModelArguments(text_config=TEXT, dna_config=HYENA, show_special_tokens=show)
        assert projector_options(args, dna_tokenizer)["dna_hidden_token_ids"] == ([] if show else hidden)
