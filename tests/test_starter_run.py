"""What `make train` left in `outputs/starter`."""

import json
import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT
from transformers import AutoModelForMultimodalLM, AutoProcessor

from textgenome.data import TextGenomeCollator, row_to_messages
from textgenome.data.prompts import as_prompt, cut_windows
from textgenome.data.starter import ANSWERS, NONE, SIGNALS, starter_rows
from textgenome.evaluation import evaluate_model
from textgenome.inference import explain, generate
from textgenome.inference.answers import extract_answer


STARTER = ROOT / "outputs" / "starter"
CHANCE = 1 / len(ANSWERS)
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
    assert accuracies["accuracy_as_is"] >= 0.95
    assert abs(accuracies["accuracy_dna_exchanged"] - CHANCE) <= 0.10
    assert abs(accuracies["accuracy_dna_removed"] - CHANCE) <= 0.10


def test_a_neutral_change_of_random_dna_is_seldom_called_a_loss():
    model, processor = AutoModelForMultimodalLM.from_pretrained(STARTER), AutoProcessor.from_pretrained(STARTER)
    rng, rows = random.Random(1), []
    while len(rows) < 500:
        reference = "".join(rng.choices("ACGT", k=200))
        place = rng.randrange(40, 160)
        variant = reference[:place] + rng.choice("ACGT".replace(reference[place], "")) + reference[place + 1 :]
        if not any(motif in reference and motif not in variant for motif, _, _ in SIGNALS.values()):
            pair = {"reference_sequence": reference, "variant_sequence": variant}
            rows.append({"question": "Which signal does this variant break?", **pair})
    prompts = [as_prompt(row) for row in cut_windows(rows, dna_window=processor.dna_window)]
    answers = [extract_answer(text) for text in generate(model, processor, prompts, max_new_tokens=64)]
    assert sum(answer != NONE for answer in answers) <= 50


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
    flags = {"config": "kegg_small", "dataset_name": kegg_folder, "output_dir": tmp_path / "out", "max_steps": 3}
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


def score_turns(model, processor, rows: list[dict]) -> float:
    """Accuracy by choosing the class whose whole turn is the most likely: it needs no well-formed text."""
    right = 0
    with torch.no_grad():
        for row in rows:
            turns = [{**row, "answer": answer, "reasoning": reasoning} for answer, reasoning in ANSWERS.items()]
            messages = [{"messages": row_to_messages(turn, dna_window=processor.dna_window)} for turn in turns]
            batch = TextGenomeCollator(processor)(messages)
            labels = batch.pop("labels")[:, 1:]
            logits = model(**batch).logits[:, :-1]
            losses = torch.nn.functional.cross_entropy(logits.mT, labels, ignore_index=-100, reduction="none")
            right += turns[int(losses.sum(1).argmin())]["answer"] == row["answer"]
    return right / len(rows)


def test_the_predecessors_setting_learns_the_task_again(tmp_path):
    """Frozen encoder, LoRA and a new linear projector between models that know DNA and text, but not each other."""
    options = {"projector_type": "linear"}  # of the same weight as the `pooled` one of the starter
    model = AutoModelForMultimodalLM.from_pretrained(STARTER, **options)
    processor = AutoProcessor.from_pretrained(STARTER, **options)
    rows = starter_rows("validation").select(range(120)).to_list()
    for module in (model.model.projector.linear, model.model.dna_markers):
        module.reset_parameters()
    model.model.dna_markers.weight.data *= 0.02
    # One answer for all is right in a seventh of the rows. 0.13 and 0.17 were measured for two seeds; guesses about
    # 120 rows stay below 0.24, which is three standard deviations more.
    assert score_turns(model, processor, rows) <= 0.25
    for each in (model, processor):
        each.save_pretrained(tmp_path / "unjoined")

    flags = {"model_name_or_path": tmp_path / "unjoined", "dataset_name": "starter", "output_dir": tmp_path / "lora"}
    flags |= {"max_steps": 200, "per_device_train_batch_size": 64, "gradient_accumulation_steps": 1}
    flags |= {"learning_rate": 2e-3, "warmup_steps": 10, "adam_beta2": 0.98}
    flags |= {"bf16": False, "activation_checkpointing": False, "save_strategy": "no"}
    flags |= {"generation_rows": 240, "max_new_tokens": 48}
    command = [sys.executable, "train_sft.py", *(part for name in flags for part in (f"--{name}", str(flags[name])))]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    accuracies = json.loads((tmp_path / "lora" / "eval_results.json").read_text())
    assert accuracies["accuracy_as_is"] >= 0.8
    assert abs(accuracies["accuracy_dna_exchanged"] - CHANCE) <= 0.10


def test_dna_alone_learns_the_starter_task(tmp_path):
    command = [sys.executable, "train_dna.py", "--config", "starter", "--baselines", "false"]
    command += ["--output_dir", str(tmp_path / "classifier")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    arguments = (str(tmp_path / "classifier"), "starter", "validation", tmp_path / "out", ["dna_exchanged"])
    conditions = evaluate_model(*arguments)["conditions"]
    assert conditions["as_is"]["accuracy"] >= 0.95
    assert abs(conditions["dna_exchanged"]["accuracy"] - CHANCE) <= 0.10


def test_the_bases_of_the_broken_signal_carry_the_answer():
    model = AutoModelForMultimodalLM.from_pretrained(STARTER)
    processor = AutoProcessor.from_pretrained(STARTER)
    shares = []
    broken = [row for row in starter_rows("validation").to_list() if row["answer"] != NONE]
    for row in broken[:8]:
        pair = row["reference_sequence"], row["variant_sequence"]
        explanation = explain(model, processor, *pair, row["question"], max_new_tokens=64)
        motif, _, _ = SIGNALS[row["answer"].removesuffix(" loss")]
        start = row["reference_sequence"].index(motif) - explanation.start
        importance = np.clip(explanation.importance(), 0, None)
        shares.append(importance[max(start, 0) : start + len(motif)].sum() / importance.sum())
    assert np.median(shares) > 0.8
