import ast
import json
import os
import subprocess
import sys

import pytest
import torch
from conftest import conversation, variant_row

from textgenome import TextGenomeDNAConfig, TextGenomeDNAProcessor, TextGenomeForSequenceClassification
from textgenome.evaluation import generate
from textgenome.hub_card.export import REMOTE_MODULES, export, remote_source
from textgenome.processing import build_dna_tokenizer


ALLOWED = {"torch", "transformers", "huggingface_hub", "tokenizers"} | set(sys.stdlib_module_names)
BLOCK = """
import json, sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "textgenome":
            raise ImportError("the package must not be needed")

sys.meta_path.insert(0, Block())
"""
STRANGER = """
from transformers import AutoModelForMultimodalLM, AutoProcessor

folder, messages = sys.argv[1], json.loads(sys.argv[2])
model = AutoModelForMultimodalLM.from_pretrained(folder, trust_remote_code=True)
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
inputs = processor.apply_chat_template(
    messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
)
tokens = model.generate(**inputs, max_new_tokens=10, do_sample=False)[0, inputs["input_ids"].shape[1] :]
print(processor.tokenizer.decode(tokens))
"""
CLASSIFIER = """
from transformers import AutoModelForSequenceClassification, AutoProcessor

folder, row = sys.argv[1], json.loads(sys.argv[2])
model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
inputs = processor(row["reference_sequence"], row["variant_sequence"], return_tensors="pt")
print(json.dumps([model(**inputs).logits[0].tolist(), model.config.id2label[0]]))
"""


def run_stranger(script: str, folder, question, tmp_path) -> str:
    """What a script prints in a fresh process, in an empty folder, where the package cannot be imported."""
    (tmp_path / "empty").mkdir()
    result = subprocess.run(
        [sys.executable, "-c", BLOCK + script, str(folder), json.dumps(question)],
        cwd=tmp_path / "empty",
        env={**os.environ, "HF_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize("module", REMOTE_MODULES, ids=lambda module: module.__name__)
def test_remote_files_import_only_what_every_user_has(module):
    for node in ast.walk(ast.parse(remote_source(module))):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= ALLOWED
        if isinstance(node, ast.ImportFrom):
            siblings = {each.__name__.rpartition(".")[2] for each in REMOTE_MODULES}
            assert node.module in siblings if node.level == 1 else node.module.split(".")[0] in ALLOWED
            assert node.level <= 1


def test_a_stranger_without_the_package_gets_the_same_answer(tiny_model, tiny_processor, tmp_path):
    messages = conversation("ACGTACGTAA", "GATTACA")
    folder = export(tiny_model, tiny_processor, tmp_path / "exported")
    answer = run_stranger(STRANGER, folder, messages, tmp_path)
    assert answer == generate(tiny_model, tiny_processor, [messages], max_new_tokens=10)[0].strip()


def test_a_stranger_classifies_alike(tmp_path):
    dna_config = {"d_model": 16, "d_inner": 16, "n_layer": 1, "max_seq_len": 64, "initializer_range": 0.3}
    config = TextGenomeDNAConfig(dna_config=dna_config, id2label={0: "x", 1: "y"})
    model = TextGenomeForSequenceClassification(config).eval()
    processor = TextGenomeDNAProcessor(build_dna_tokenizer("hyenadna", model_max_length=64), dna_window=32)
    row = variant_row(60)
    folder = export(model, processor, tmp_path / "exported")
    logits, label = json.loads(run_stranger(CLASSIFIER, folder, row, tmp_path))
    inputs = processor(row["reference_sequence"], row["variant_sequence"], return_tensors="pt")
    torch.testing.assert_close(torch.tensor(logits), model(**inputs).logits[0])
    assert label == "x"
