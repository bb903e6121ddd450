"""What `make train` left in `outputs/starter`."""

import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT
from transformers import AutoModelForMultimodalLM, AutoProcessor

from textgenome.evaluation import generate
from textgenome.evaluation.prompts import as_prompt, cut_windows
from textgenome.processing.starter import starter_rows


STARTER = ROOT / "outputs" / "starter"
CHANCE = 1 / 6
pytestmark = pytest.mark.slow

ASK = """
import json, sys
import textgenome
from transformers import AutoModelForMultimodalLM, AutoProcessor

model = AutoModelForMultimodalLM.from_pretrained(sys.argv[1])
processor = AutoProcessor.from_pretrained(sys.argv[1])
right = 0
rows = json.loads(sys.stdin.read())
for row in rows:
    variant = {"type": "variant", "reference": row["reference_sequence"], "variant": row["variant_sequence"]}
    messages = [{"role": "user", "content": [variant, {"type": "text", "text": row["question"]}]}]
    inputs = processor.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    tokens = model.generate(**inputs, max_new_tokens=64)[0, inputs["input_ids"].shape[1] :]
    right += f"Answer: {row['answer']}" in processor.decode(tokens, skip_special_tokens=True)
print(right / len(rows))
"""


def test_accuracy_needs_the_dna():
    accuracies = json.loads((STARTER / "eval_results.json").read_text())
    assert accuracies["accuracy, as is"] >= 0.95
    assert abs(accuracies["accuracy, DNA exchanged"] - CHANCE) <= 0.10
    assert abs(accuracies["accuracy, DNA removed"] - CHANCE) <= 0.10


def test_a_new_process_loads_it_and_asks_about_variants():
    rows = starter_rows("validation").select(range(20)).to_list()
    result = subprocess.run(
        [sys.executable, "-c", ASK, str(STARTER)],
        input=json.dumps(rows),
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) >= 0.85


def test_the_small_kegg_recipe_starts_on_the_public_rows(kegg_folder, tmp_path):
    recipe = ROOT / "configuration" / "recipes" / "kegg_small.yaml"
    flags = {"config": recipe, "dataset_name": kegg_folder, "output_dir": tmp_path / "out", "max_steps": 3}
    flags["logging_steps"] = 1
    command = [sys.executable, "train_sft.py", *(part for name in flags for part in (f"--{name}", str(flags[name])))]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ})
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_the_starter_answers_alike_alone_and_in_batches():
    model, processor = AutoModelForMultimodalLM.from_pretrained(STARTER), AutoProcessor.from_pretrained(STARTER)
    rows = starter_rows("validation").select(range(64)).to_list()
    prompts = [as_prompt(row) for row in cut_windows(rows, dna_window=processor.dna_window)]
    alone, together = (generate(model, processor, prompts, batch_size=size, max_new_tokens=64) for size in (1, 64))
    assert together == alone
