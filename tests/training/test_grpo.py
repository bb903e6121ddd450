"""Learning by reward: the DNA reaches what is drawn and what is learnt from it; runs, adapters and refusals."""

import shutil

import grpo_runs
import pytest
import torch
from conftest import TINY_CHECKPOINT, save_adapter, variant_row
from datasets import Dataset
from runs import log_of
from safetensors.torch import load_file
from sft_runs import write_table

from textgenome.configuration.grpo_arguments import GRPOArguments, GRPOTrainingArguments
from textgenome.data.files import read_json
from textgenome.inference.checkpoints import load_checkpoint
from textgenome.training import grpo
from textgenome.training.grpo_trainer import TextGenomeGRPOTrainer
from textgenome.training.reward_rows import as_prompts
from textgenome.training.rewards import counterfactual, form, right


QUIET = {"bf16": False, "use_cpu": True, "report_to": "none", "save_strategy": "no", "activation_checkpointing": False}


def build_trainer(folder, model, processor, rewards=(right,), **settings):
    rows = Dataset.from_list([variant_row(length=30 + i, seed=i, answer="ABCD"[i % 4] * 2) for i in range(8)])
    settings = {"per_device_train_batch_size": 4, "num_generations": 2, "max_completion_length": 5, **settings}
    return TextGenomeGRPOTrainer(
        model=model,
        args=GRPOTrainingArguments(str(folder), **QUIET, **settings),
        reward_funcs=[*rewards],
        train_dataset=as_prompts(rows, seed=0),
        processing_class=processor,
    )


def spread(completions, **columns):
    """A reward that differs between any answers, so that there is something to learn."""
    return [sum(map(ord, text)) % 7 for text in completions]


@pytest.fixture
def rewards_differ(monkeypatch):
    monkeypatch.setitem(grpo.FUNCTIONS, "right", spread)


def log_probs(model, processor, prompt, completion):
    """Of the tokens of a completion, each row by itself, with its DNA."""
    inputs = processor.apply_chat_template(
        [prompt], add_generation_prompt=True, enable_thinking=processor.reasons, tokenize=True, return_dict=True,
        return_tensors="pt",
    )  # fmt: skip
    ids = torch.cat([inputs.pop("input_ids"), completion[None]], dim=1)
    del inputs["attention_mask"]
    logits = model(input_ids=ids, **inputs).logits[0, -len(completion) - 1 : -1].log_softmax(-1)
    return logits.gather(1, completion[:, None])[:, 0]


def test_each_answer_is_learnt_from_with_its_own_dna(tmp_path, tiny_model, tiny_processor):
    """Shuffled, in several batches of a generation, and where log-probabilities are kept from the drawing."""
    trainer = build_trainer(
        tmp_path, tiny_model, tiny_processor, steps_per_generation=4, per_device_train_batch_size=2, num_iterations=2
    )
    rows = [trainer.train_dataset[i // 2] for i in range(8)]
    seen = []
    compute = type(trainer)._get_per_token_logps_and_entropies

    def record(model, input_ids, *args, **kwargs):
        seen.append((input_ids, dict(trainer.dna), result := compute(trainer, model, input_ids, *args, **kwargs)))
        return result

    trainer._get_per_token_logps_and_entropies = record
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    batches = [trainer._prepare_inputs(rows)]
    trainer._step = 1
    batches.append(trainer._prepare_inputs(rows))
    prompts = {
        tuple(trainer._tokenize_prompts([row["prompt"]])[0][0]): row["prompt"] for row in rows[::2]
    }  # the lengths of their DNA tell them apart
    assert len(prompts) == 4
    for batch in batches:
        trainer._compute_loss(trainer.model, batch)
        logps = seen[-1][2][0]
        for i, mask in enumerate(batch["prompt_mask"].bool()):
            completion = batch["completion_ids"][i][batch["completion_mask"][i].bool()]
            prompt = prompts[tuple(batch["prompt_ids"][i][mask].tolist())]
            expected = log_probs(tiny_model, tiny_processor, prompt, completion)
            torch.testing.assert_close(logps[i][: len(completion)], expected, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(batch["old_per_token_logps"][i][: len(completion)], expected, atol=1e-4, rtol=0)


def test_the_counterfactual_reward_asks_with_the_dna_of_the_partner(tmp_path, tiny_model, tiny_processor):
    trainer = build_trainer(tmp_path, tiny_model, tiny_processor, rewards=(right, form, counterfactual))
    rows = [trainer.train_dataset[i // 2] for i in range(4)]
    drawn = trainer._generate_and_score_completions(rows)
    written = trainer.answer_exchanged(rows)
    assert written[0] == written[1] and written[2] == written[3]
    plain = trainer._tokenize_prompts([rows[0]["exchanged_prompt"]])
    trainer.generation_config = trainer.greedy
    assert tiny_processor.batch_decode(trainer._generate_single_turn(*plain, 1)[0]) == written[:1]
    ids = trainer._tokenize_prompts([row["prompt"] for row in rows])[0]
    own = trainer.dna["dna_input_ids"]
    assert [len(each) for each in ids] == drawn["prompt_mask"].sum(1).tolist()
    assert torch.equal(drawn["dna_input_ids"], own)  # asking again has not put other DNA in its place
    assert not hasattr(tiny_model.config, "image_token_id")
    suppressed = trainer.generation_config.suppress_tokens
    assert tiny_processor.dna_token_id in suppressed and tiny_processor.dna_start_token_id in suppressed


def test_a_run_trains_and_is_measured(tmp_path):
    out = grpo_runs.train(
        write_table(tmp_path), use_peft=False, learning_rate=1e-3, generation_rows=2, do_eval=True,
        per_device_eval_batch_size=4, save_strategy="steps", save_steps=1,
    )  # fmt: skip
    logs = [entry for entry in log_of(out / "checkpoint-2") if "loss" in entry]
    assert len(logs) == 2
    names = ("reward", "rewards/right/mean", "rewards/form/mean", "rewards/counterfactual/mean", "run_time_s")
    assert all(name in logs[0] for name in names)
    metrics = (out / "eval_results.json").read_text()
    assert "accuracy_as_is" in metrics and "accuracy_dna_exchanged" in metrics and "eval_reward" in metrics
    assert (out / "train_results.json").exists() and (out / "settings.json").exists()
    model, processor = load_checkpoint(out)
    assert not hasattr(model.config, "image_token_id") and processor.reasons


def test_an_adapter_is_trained_further(tmp_path, rewards_differ):
    adapter = save_adapter(tmp_path / "adapter")
    settings = {"model_name_or_path": adapter, "learning_rate": 0.01, "rewards": ["right"], "beta": 0.1}
    settings |= {"save_strategy": "steps", "save_steps": 3, "max_steps": 3}
    out = grpo_runs.train(write_table(tmp_path), **settings)
    before, after = (load_file(folder / "adapter_model.safetensors") for folder in (adapter, out))
    assert before.keys() == after.keys()
    changes = {name: (before[name] - after[name]).abs().max() for name in before}
    assert all(0 < change < 0.1 for change in changes.values())
    assert read_json(out / "adapter_config.json")["base_model_name_or_path"] == str(TINY_CHECKPOINT)
    first, *_, last = (each["kl"] for each in log_of(out / "checkpoint-3") if "kl" in each)
    assert first == 0 < last  # to the adapter as it was


def test_lora_is_put_on_a_whole_model(tmp_path, rewards_differ):
    out = grpo_runs.train(write_table(tmp_path), rewards=["right"], learning_rate=0.01)
    weights = load_file(out / "adapter_model.safetensors")
    assert any(each.abs().max() > 0.005 for name, each in weights.items() if "lora_B" in name)
    assert read_json(out / "adapter_config.json")["base_model_name_or_path"] == str(TINY_CHECKPOINT)


@pytest.mark.parametrize("settings", [{}, {"num_iterations": 2, "steps_per_generation": 2}], ids=["each step", "four"])
def test_a_run_that_resumes_equals_one_that_was_not_stopped(tmp_path, rewards_differ, settings):
    """Through the epochs of a small table, in each of which its rows come in another order."""
    settings = {"rewards": ["right"], "learning_rate": 0.01, "use_peft": False, "max_steps": 12, **settings}
    settings |= {"save_strategy": "steps", "save_steps": 4}
    table = write_table(tmp_path)
    whole = grpo_runs.train(table, **settings)
    resumed = tmp_path / "resumed"
    for name in ("checkpoint-8", "settings.json"):
        (shutil.copytree if (whole / name).is_dir() else shutil.copy)(whole / name, resumed / name)
    grpo_runs.train(table, **settings, output_dir=resumed)
    logs = [log_of(folder / "checkpoint-12") for folder in (whole, resumed)]
    first, second = ([each["reward"] for each in log if "reward" in each] for log in logs)
    assert len(set(first)) > 2 and first == second
    first, second = (load_file(folder / "model.safetensors") for folder in (whole, resumed))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"use_vllm": True}, "use_vllm: with this setting the prompts would be read without their DNA"),
        ({"num_iterations": 2, "save_strategy": "steps", "save_steps": 3}, "a multiple of 2"),
        ({"gradient_accumulation_steps": 4, "steps_per_generation": 6}, "one must be a multiple of the other"),
        ({"use_adaptive_entropy": True}, "would not come to the same end"),
    ],
)
def test_settings_are_refused_that_lose_dna_or_answers(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        GRPOTrainingArguments(str(tmp_path), **{**QUIET, "save_steps": 10, "num_generations": 2, **settings})


def test_rewards_and_the_model_must_be_named(tmp_path):
    with pytest.raises(ValueError, match=r"rewards are \['rigt'\], but must be some of right, form, counterfactual"):
        GRPOArguments(dataset_name="starter", rewards=["rigt"])
    with pytest.raises(ValueError, match=r"model_name_or_path\. It must answer some rows correctly already"):
        grpo_runs.train(tmp_path, model_name_or_path=None)
