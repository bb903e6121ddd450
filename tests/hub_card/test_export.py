import ast
import json
import os
import subprocess
import sys

import pytest
from conftest import conversation

from textgenome.evaluation import generate
from textgenome.hub_card.export import REMOTE_MODULES, export, remote_source


ALLOWED = {"torch", "transformers", "huggingface_hub", "tokenizers"} | set(sys.stdlib_module_names)
STRANGER = """
import json, sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "textgenome":
            raise ImportError("the package must not be needed")

sys.meta_path.insert(0, Block())
import torch
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
    (tmp_path / "empty").mkdir()
    result = subprocess.run(
        [sys.executable, "-c", STRANGER, str(folder), json.dumps(messages)],
        cwd=tmp_path / "empty",
        env={**os.environ, "HF_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == generate(tiny_model, tiny_processor, [messages], max_new_tokens=10)[0].strip()
