"""The examples in docstrings of public classes run."""

import inspect
import textwrap

import pytest
import torch

import textgenome
from textgenome.data import TextGenomeCollator, TextGenomeDNACollator
from textgenome.processing import TextGenomeDNAProcessor, build_dna_tokenizer


CLASSES = [
    textgenome.CaduceusForMaskedLM,
    textgenome.Evo2ForCausalLM,
    textgenome.HyenaDNAForCausalLM,
    textgenome.TextGenomeConfig,
    textgenome.TextGenomeDNAModel,
    textgenome.TextGenomeModel,
    TextGenomeCollator,
    TextGenomeDNACollator,
]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_examples_give_the_shapes_that_they_tell(cls, tiny_processor):
    code = textwrap.dedent(inspect.getdoc(cls).partition("Example:\n")[2])
    assert code.strip()
    dna_processor = TextGenomeDNAProcessor(build_dna_tokenizer("hyenadna", model_max_length=64), 64)
    names = {**vars(textgenome), "torch": torch, "processor": tiny_processor, "dna_processor": dna_processor}
    names |= {"TextGenomeCollator": TextGenomeCollator, "TextGenomeDNACollator": TextGenomeDNACollator}
    exec(code, names)
    *_, last = code.strip().splitlines()
    value, _, shape = last.partition("  # ")
    if shape.startswith("(") and shape != "(1, length)":
        name, equals, _ = value.partition(" = ")
        assert str(tuple((names[name] if equals else eval(value, names)).shape)) == shape
