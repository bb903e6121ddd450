"""The training script, from the outside: `slow` are those that start processes of their own."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from conftest import ROOT, TINY_CHECKPOINT, variant_row
from datasets import Dataset
from peft import AutoPeftModelForCausalLM, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForMultimodalLM, AutoProcessor
from trl import SFTConfig, SFTTrainer, TrlParser

from textgenome import HyenaDNAModel, TextGenomeConfig, TextGenomeForConditionalGeneration
from textgenome.configuration.arguments import DataArguments, ModelArguments, TrainingArguments
from textgenome.data import TextGenomeCollator, row_to_messages
from textgenome.data.rows import load_rows
from textgenome.training.finetuning import prepare_model
from textgenome.training.resuming import last_checkpoint


sys.path.insert(0, str(ROOT))
import train_sft


QUICK = {
    "use_cpu": True,
    "bf16": False,
    "activation_checkpointing": False,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "logging_steps": 1,
    "save_strategy": "no",
    "disable_tqdm": True,
}


@pytest.fixture
def table(tmp_path):
    rows = [variant_row(seed=i, answer="ABCD"[i % 4] * 2) for i in range(8)]
    (tmp_path / "rows").mkdir()
    for name in ("train", "val"):
        (tmp_path / "rows" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def flags(table, **settings) -> list[str]:
    settings = {
        "dataset_name": table / "rows",
        "model_name_or_path": TINY_CHECKPOINT,
        "output_dir": table / "out",
        "max_steps": 2,
        **QUICK,
        **settings,
    }
    return [part for name, value in settings.items() if value is not None for part in (f"--{name}", str(value))]


def train(table, **settings):
    parser = TrlParser((DataArguments, ModelArguments, TrainingArguments))
    train_sft.main(*parser.parse_args_and_config(flags(table, **settings)))
    return table / "out"


def log_of(output_dir) -> list[dict]:
    return json.loads((output_dir / "trainer_state.json").read_text())["log_history"]


def conversations(table):
    return [row_to_messages(row) for row in load_rows(str(table / "rows"), "train")]


def test_lora_learns_eight_rows_and_the_adapter_holds_all_that_was_trained(table):
    batches = {"max_steps": 60, "per_device_train_batch_size": 8, "save_strategy": "steps"}
    out = train(table, learning_rate=2e-2, lora_dropout=0, **batches)
    losses = [entry["loss"] for entry in log_of(out / "checkpoint-60") if "loss" in entry]
    assert len(losses) == 60
    assert losses[-1] < 0.05 < losses[0]

    keys = load_file(out / "adapter_model.safetensors").keys()
    assert {"projector", "dna_markers"} <= {key.split(".")[3] for key in keys}
    assert not [key for key in keys if "dna_encoder" in key or "lm_head" in key]
    config = json.loads((out / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(TINY_CHECKPOINT)
    assert (config["r"], config["lora_alpha"]) == (32, 64)

    base = AutoModelForMultimodalLM.from_pretrained(TINY_CHECKPOINT)
    model = PeftModel.from_pretrained(base, out).eval()
    processor = AutoProcessor.from_pretrained(out)
    asked = conversations(table)
    batch = TextGenomeCollator(processor)([{"messages": messages} for messages in asked])
    adapted = model(**batch).logits
    torch.testing.assert_close(model.merge_and_unload()(**batch).logits, adapted, atol=1e-3, rtol=1e-3)
    auto = AutoPeftModelForCausalLM.from_pretrained(out).eval()
    torch.testing.assert_close(auto(**batch).logits, adapted, atol=1e-3, rtol=1e-3)


def test_what_is_frozen_stays_and_what_is_not_moves(table):
    before = load_file(TINY_CHECKPOINT / "model.safetensors")
    for frozen, settings in {
        ("dna_encoder",): {"use_peft": False},
        ("dna_encoder", "language_model"): {"use_peft": False, "freeze_language_model": True},
        (): {"use_peft": False, "freeze_dna_encoder": False},
    }.items():
        out = table / "-".join(["run", *frozen])
        train(table, learning_rate=1e-2, output_dir=out, max_steps=3, **settings)
        after = load_file(out / "model.safetensors")
        assert set(after) == set(before)
        for name in before:
            moved = not torch.equal(before[name], after[name])
            part = name.split(".")[1]
            if part in frozen:
                assert not moved, name
        for part in {"projector", "dna_markers", "dna_encoder", "language_model"} - set(frozen):
            assert any(not torch.equal(before[n], after[n]) for n in before if n.split(".")[1] == part), part


def test_an_unfrozen_encoder_travels_with_the_adapter(table):
    out = train(table, freeze_dna_encoder=False, learning_rate=1e-2)
    before = load_file(TINY_CHECKPOINT / "model.safetensors")
    adapter = load_file(out / "adapter_model.safetensors")
    name = "model.dna_encoder.layers.0.mixer.in_proj.weight"
    assert not torch.equal(adapter[f"base_model.model.{name}"], before[name])
    assert not any("lora" in key and "dna_encoder" in key for key in adapter)


def test_lora_hits_only_the_language_model_where_names_are_equal():
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text, llama = (
        {"model_type": "qwen3", "vocab_size": 99, **sizes},
        {"model_type": "llama", "vocab_size": 12, **sizes},
    )
    linear = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    model = TextGenomeForConditionalGeneration(TextGenomeConfig(text_config=text, dna_config=llama))
    for layers in (None, ["q_proj", "v_proj"]):
        arguments = ModelArguments(model_name_or_path="x", lora_target_modules=layers)
        adapted = get_peft_model(model, prepare_model(model, arguments))
        names = [name for name, _ in adapted.named_parameters() if "lora_" in name]
        assert names and all(".language_model." in name for name in names)
        assert not any("lora_" in name and "lm_head" in name for name in names)
        assert {name.split(".lora_")[0].split(".")[-1] for name in names} == set(layers or linear)
        model = adapted.unload()


def test_from_random_weights_and_evaluated_by_generation(table, capsys):
    configs = {
        "text_config": {"model_type": "qwen3", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
                        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16},
        "dna_config": {"model_type": "hyenadna", "d_model": 16, "d_inner": 16, "n_layer": 1, "max_seq_len": 64},
    }  # fmt: skip
    out = train(
        table,
        model_name_or_path=None,
        **{name: json.dumps(config) for name, config in configs.items()},
        text_vocab_size=300,
        dna_window=64,
        use_peft=False,
        freeze_dna_encoder=False,
        generation_rows=4,
        max_new_tokens=3,
    )
    assert "DNA exchanged   0.000" in capsys.readouterr().out
    assert "textgenome export" in (out / "base" / "README.md").read_text()
    model, processor = AutoModelForMultimodalLM.from_pretrained(out), AutoProcessor.from_pretrained(out)
    assert isinstance(model.model.dna_encoder, HyenaDNAModel)
    assert processor.dna_tokenizer.model_max_length == processor.dna_window == 64
    metrics = json.loads((out / "train_results.json").read_text())
    assert metrics["dna"] == "variant" and metrics["peak_memory_gb"] > 0 and metrics["train_tokens_per_second"] > 0
    assert json.loads((out / "eval_results.json").read_text())["accuracy_dna_removed"] == 0


def test_text_only_control_says_so(table, caplog):
    from transformers.utils import logging

    logging.enable_propagation()
    out = train(table, dna="none")
    logging.disable_propagation()
    assert "dna: none. This run trains the text-only control" in caplog.text
    assert json.loads((out / "train_results.json").read_text())["dna"] == "none"


def test_plain_sft_trainer_cannot_drop_the_dna(table, tiny_model, tiny_processor):
    args = SFTConfig(output_dir=table / "out", report_to=[], **{**QUICK, "max_steps": 1})
    rows = Dataset.from_list([{"messages": messages} for messages in conversations(table)])
    trainer = SFTTrainer(model=tiny_model, args=args, train_dataset=rows, processing_class=tiny_processor)
    with pytest.raises(ValueError, match="placeholders but `dna_input_ids` was not passed"):
        trainer.train()


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"dataset_train_split": "test"}, "no split 'test'"),
        (
            {"model_name_or_path": None, "text_config": "{}", "dna_config": '{"max_seq_len": 9}'},
            "row 7, .* has 40 tokens, but the encoder reads at most 9: lower dna_window",
        ),
    ],
)
def test_what_cannot_start_says_why(table, settings, message):
    with pytest.raises(ValueError, match=message):
        train(table, **settings)


def test_a_model_that_is_not_there_is_named(table):
    with pytest.raises(OSError, match="outputs/strater: there is no such folder"):
        train(table, model_name_or_path="outputs/strater")


def test_a_bad_row_stops_the_run_before_it_starts_or_is_left_out(table):
    with open(table / "rows" / "train.jsonl", "a") as file:
        file.write(json.dumps(variant_row(variant_sequence="ACXT")) + "\n")
    with pytest.raises(ValueError, match=r"train.jsonl, row 8, column 'variant_sequence': The character 'X'"):
        train(table)
    train(table, on_bad_row="skip", output_dir=table / "skipped")


def test_settings_reach_a_fused_checkpoint(table):
    out = train(table, dna_window=8, reasoning_format="plain")
    processor = AutoProcessor.from_pretrained(out)
    assert processor.dna_window == 8
    assert '"plain"' in processor.chat_template


def test_generation_needs_columns_that_are_there(table):
    chat = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
    (table / "rows" / "val.jsonl").write_text(json.dumps({"messages": chat}) + "\n")
    with pytest.raises(ValueError, match="generation_rows needs the columns reference_sequence"):
        train(table, generation_rows=2)


def test_a_finished_run_is_evaluated_again_and_keeps_its_figures(table):
    out = train(table, save_strategy="steps", generation_rows=2, max_new_tokens=2)
    before = (out / "train_results.json").read_text()
    (out / "eval_results.json").unlink()
    train(table, save_strategy="steps", generation_rows=4, max_new_tokens=2, do_eval=True)
    assert (out / "train_results.json").read_text() == before
    assert {"eval_loss", "accuracy_as_is"} <= set(json.loads((out / "eval_results.json").read_text()))


def test_a_folder_with_a_run_of_other_settings_is_left_alone(table):
    train(table)
    with pytest.raises(ValueError, match=r"run with other settings \(dna_window, lora_r\)"):
        train(table, dna_window=32, lora_r=4)


def test_an_adapter_finds_its_base_from_anywhere_whatever_the_run_was_started_with(table, monkeypatch):
    monkeypatch.chdir(table)
    shutil.copytree(TINY_CHECKPOINT, "base")
    out = train(table, model_name_or_path="base")
    config = json.loads((out / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str((table / "base").resolve())


def test_accumulated_batches_give_the_same_course(table):
    courses = []
    for size, accumulation in ((8, 1), (2, 4)):
        batches = {"per_device_train_batch_size": size, "gradient_accumulation_steps": accumulation}
        out = table / f"batches of {size}"
        train(table, output_dir=out, max_steps=4, lora_dropout=0, save_strategy="steps", **batches)
        courses.append([entry["loss"] for entry in log_of(out / "checkpoint-4") if "loss" in entry])
    assert courses[0] == pytest.approx(courses[1], abs=1e-3)


def test_cached_dna_features_give_the_same_course_without_the_encoder(table, monkeypatch):
    courses, calls, forward = [], [], HyenaDNAModel.forward

    def count(self, *args, **kwargs):
        calls.append(self)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(HyenaDNAModel, "forward", count)
    runs = {"plain": {}, "filled": {"cache_dna_features": True}, "read": {"cache_dna_features": True}}
    for name, settings in runs.items():
        calls.clear()
        out = table / name
        train(
            table,
            output_dir=out,
            dna_cache_dir=table / "features",
            max_steps=20,
            save_strategy="steps",
            eval_strategy="steps",
            eval_steps=10,
            learning_rate=1e-2,
            **settings,
        )
        log = log_of(out / "checkpoint-20")
        courses.append([entry.get("loss", entry.get("eval_loss")) for entry in log])
        # Ten epochs of two steps, two evaluations on the same rows, and the last one, after training.
        assert len(calls) == {"plain": 23, "filled": 3, "read": 1}[name]
    for course in courses[1:]:
        assert course[0] == pytest.approx(courses[0][0], abs=1e-6)
        assert course == pytest.approx(courses[0], abs=1e-4)


def test_an_encoder_that_is_trained_is_not_cached(table):
    with pytest.raises(ValueError, match="needs a frozen DNA encoder"):
        train(table, cache_dna_features=True, lora_dna_encoder=True)


def test_rows_of_similar_length_go_together_and_resume_in_the_same_order(table):
    rows = [variant_row(20 + 5 * (i % 8), seed=i, question="What? " * (i % 8 + 1)) for i in range(32)]
    (table / "rows" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"save_strategy": "steps", "save_steps": 10, "max_steps": 20, "learning_rate": 1e-2}
    train(table, output_dir=table / "random", **settings)
    out = table / "grouped"
    train(table, output_dir=out, group_by_length=True, **settings)
    padding = [
        [entry["padding"] for entry in log_of(run / "checkpoint-20") if "padding" in entry]
        for run in (table / "random", out)
    ]
    assert sum(padding[1]) < 0.7 * sum(padding[0])

    whole = load_file(out / "adapter_model.safetensors")
    shutil.rmtree(out / "checkpoint-20")
    (out / "adapter_model.safetensors").unlink()
    train(table, output_dir=out, group_by_length=True, **settings)  # from step 10, in the middle of the second epoch
    resumed = load_file(out / "adapter_model.safetensors")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_throughput_is_logged(table):
    out = train(table, save_strategy="steps", do_eval=True)
    batch = TextGenomeCollator(AutoProcessor.from_pretrained(out))(
        [{"messages": messages} for messages in conversations(table)]
    )
    supervised = (batch["labels"] != -100).sum() / batch["attention_mask"].sum()
    for entry in log_of(out / "checkpoint-2")[:2]:
        assert entry["supervised_tokens_per_second"] / entry["tokens_per_second"] == pytest.approx(
            float(supervised), rel=0.05
        )
        assert 0 <= entry["padding"] < 0.2 and entry["tflops_per_second"] > 0
        assert "mfu" not in entry, "the peak of a CPU is not known"


def test_evaluations_between_two_logs_do_not_count_as_training(table, monkeypatch):
    evaluate, pauses = train_sft.TextGenomeTrainer.evaluate, [3]

    def slow(*args, **kwargs):
        time.sleep(pauses.pop() if pauses else 0)
        return evaluate(*args, **kwargs)

    monkeypatch.setattr(train_sft.TextGenomeTrainer, "evaluate", slow)
    settings = {"eval_strategy": "steps", "eval_steps": 1, "logging_steps": 2, "max_steps": 2}
    out = train(table, save_strategy="steps", **settings)
    (entry,) = [entry for entry in log_of(out / "checkpoint-2") if "tokens_per_second" in entry]
    assert 0 < entry["num_input_tokens_seen"] / entry["tokens_per_second"] < 3


@pytest.mark.slow
def test_two_processes_share_a_cache_and_store_each_window_once(table):
    for run, encoded in (("filling", 16), ("reading", 0)):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
        settings = {"cache_dna_features": True, "dna_cache_dir": table / "features", "output_dir": table / run}
        settings |= {"max_steps": 4}
        done = subprocess.run(
            [*command, str(ROOT / "train_sft.py"), *flags(table, **settings)],
            capture_output=True,
            text=True,
            env={**os.environ},
        )
        assert done.returncode == 0, done.stderr
        # An epoch is one step, in which each of the two has four of the eight pairs.
        counts = [int(count) for count in re.findall(r"features: (\d+) sequences encoded", done.stderr)]
        assert len(counts) == 2 and (sum(counts) >= encoded if encoded else sum(counts) == 0)
    names = [name for path in (table / "features").glob("*/*.safetensors") for name in load_file(path)]
    assert len(names) == len(set(names)) == 16


def start(table, out, **settings) -> subprocess.Popen:
    command = [sys.executable, str(ROOT / "train_sft.py")]
    settings = {"output_dir": out, "max_steps": 40, "save_strategy": "steps", "save_steps": 10, **settings}
    settings |= {"disable_tqdm": False, "seed": 3}
    return subprocess.Popen(
        [*command, *flags(table, **settings)], cwd=table, stderr=subprocess.PIPE, text=True, env={**os.environ}
    )


@pytest.mark.slow
@pytest.mark.parametrize("use_peft", [False, True], ids=["whole model", "LoRA"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=lambda how: how.name)
def test_a_run_that_was_ended_resumes_to_the_same_weights(table, how, use_peft):
    weights_file = "adapter_model.safetensors" if use_peft else "model.safetensors"
    settings = {"use_peft": use_peft, "freeze_dna_encoder": use_peft}
    whole = start(table, table / "whole", **settings)
    assert whole.wait(120) == 0, whole.stderr.read()

    ended = start(table, table / "ended", **settings)
    while not list((table / "ended").glob("checkpoint-10/trainer_state.json")):
        assert ended.poll() is None, ended.stderr.read()
        time.sleep(0.01)
    ended.send_signal(how)
    assert ended.wait(60) == (-signal.SIGKILL if how == signal.SIGKILL else 128 + signal.SIGTERM)
    assert not (table / "ended" / weights_file).exists()
    if how == signal.SIGTERM:
        stopped = last_checkpoint(table / "ended")
        assert int(stopped.rpartition("-")[2]) % 10 != 0, "stopped at a regular checkpoint: saved nothing of its own"
    # What a kill in the middle of saving leaves behind.
    (table / "ended" / "checkpoint-39").mkdir()

    resumed = start(table, table / "ended", **settings)
    assert resumed.wait(120) == 0, resumed.stderr.read()
    steps = [entry["step"] for entry in log_of(table / "ended" / "checkpoint-40") if "loss" in entry]
    assert steps == list(range(1, 41))
    weights = [load_file(table / run / weights_file) for run in ("whole", "ended")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


TEXT = {"model_type": "qwen3", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
TEXT |= {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "initializer_range": 0.2}
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
SIZES |= {"max_position_embeddings": 128, "initializer_range": 0.2}
ENCODERS = {
    "caduceus": {"d_model": 32, "n_layer": 1, "ssm_cfg": {"d_state": 2}, "initializer_range": 0.2},
    "hyenadna": {"d_model": 32, "d_inner": 32, "max_seq_len": 64, "initializer_range": 0.2},
    "mixtral": {**SIZES, "vocab_size": 128, "num_key_value_heads": 1, "num_local_experts": 2, "head_dim": 16},
    "esm": {
        **SIZES,
        "vocab_size": 4105,
        "pad_token_id": 1,
        "mask_token_id": 2,
        "position_embedding_type": "absolute",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    },
    "llama": {**SIZES, "vocab_size": 128},
}
NTV2 = {"model_type": "esm", "add_bias_fnn": False, "position_embedding_type": "rotary", "vocab_size": 4107}
ENCODERS["ntv2"] = {**ENCODERS["esm"], **NTV2}
DNA_TOKENS = {"caduceus": 12, "hyenadna": 12, "mixtral": 10, "esm": 4105, "ntv2": 4107, "llama": 127}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_kind_of_encoder_trains_and_reloads(table, encoder):
    out = train(
        table,
        model_name_or_path=None,
        text_config=json.dumps(TEXT),
        dna_config=json.dumps({"model_type": encoder, **ENCODERS[encoder]}),
        dna_tokenizer="bytes" if encoder == "llama" else None,
        text_vocab_size=300,
        dna_window=64,
        use_peft=False,
        freeze_dna_encoder=False,
        max_steps=25,
        per_device_train_batch_size=8,
        learning_rate=1e-2,
        save_strategy="steps",
    )
    losses = [entry["loss"] for entry in log_of(out / "checkpoint-25") if "loss" in entry]
    assert losses[-1] < losses[0] / 2

    base, trained = (load_file(folder / "model.safetensors") for folder in (out / "base", out))
    moved = [name for name in base if "dna_encoder" in name and not torch.equal(base[name], trained[name])]
    assert len(moved) > 4

    model, processor = AutoModelForMultimodalLM.from_pretrained(out).eval(), AutoProcessor.from_pretrained(out)
    assert len(processor.dna_tokenizer) == DNA_TOKENS[encoder]
    prompts = [messages[:-1] for messages in conversations(table)]
    batches = [
        processor.apply_chat_template(
            [prompt], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        for prompt in prompts[:2]
    ]
    logits = [model(**batch).logits[0, -1] for batch in batches]
    assert (logits[0] - logits[1]).abs().max() > 1e-3, "the answer does not depend on the DNA"
    again = AutoModelForMultimodalLM.from_pretrained(out).eval()
    assert torch.equal(again(**batches[0]).logits[0, -1], logits[0])


def from_random_weights(table, **settings):
    dna_config = json.dumps({"model_type": "hyenadna", **ENCODERS["hyenadna"]})
    models = {"model_name_or_path": None, "text_config": json.dumps(TEXT), "dna_config": dna_config}
    return train(table, **models, text_vocab_size=300, dna_window=64, **settings)


@pytest.mark.parametrize(
    "projector, placeholders", [("mlp", 80), ("pooled", None), ("resampler", 10)], ids=["mlp", "pooled", "resampler"]
)
def test_every_projector_trains_and_processor_and_model_agree(table, projector, placeholders):
    out = from_random_weights(
        table, projector_type=projector, projector_pool_size=4, projector_full_resolution=5, projector_num_queries=5
    )
    processor, config = (
        AutoProcessor.from_pretrained(out),
        AutoModelForMultimodalLM.from_pretrained(out / "base").config,
    )
    for name in ("projector_type", "projector_pool_size", "projector_full_resolution", "projector_num_queries"):
        assert getattr(processor, name) == getattr(config, name)
    batch = TextGenomeCollator(processor)([{"messages": conversations(table)[0]}])
    found = int((batch["input_ids"] == processor.dna_token_id).sum())
    # Of 40 bases, 11 around the variant are kept and the others go in fours: 15 and 14 of them, on either side.
    assert found == (placeholders or 2 * (11 + 4 + 4))


def test_the_last_layers_of_the_encoder_are_trained(table):
    out = from_random_weights(table, train_dna_layers=1, use_peft=False, learning_rate=1e-2)
    base, trained = (load_file(folder / "model.safetensors") for folder in (out / "base", out))
    moved = {
        name.split(".")[3] for name in base if "dna_encoder.layers" in name and not base[name].equal(trained[name])
    }
    assert moved == {"1"}


def test_the_last_layers_of_the_encoder_travel_with_the_adapter(table):
    out = from_random_weights(table, train_dna_layers=1, learning_rate=1e-2)
    layers = {name.split(".")[5] for name in load_file(out / "adapter_model.safetensors") if "dna_encoder" in name}
    assert layers == {"1"}


def test_lora_on_the_encoder_needs_its_own_setting(table):
    out = from_random_weights(table, lora_dna_encoder=True)
    names = [name for name in load_file(out / "adapter_model.safetensors") if "dna_encoder" in name]
    assert names and all("lora_" in name for name in names)
    assert any("in_proj" in name for name in names)


@pytest.mark.parametrize("encoder", ["hyenadna", "mixtral", "esm"])
@pytest.mark.parametrize(
    "way",
    [{"freeze_dna_encoder": False}, {"train_dna_layers": 1}, {"lora_dna_encoder": True}],
    ids=lambda way: next(iter(way)),
)
def test_ways_to_train_an_encoder_below_its_last_layer(table, encoder, way):
    models = {"model_name_or_path": None, "text_config": json.dumps(TEXT), "text_vocab_size": 300, "dna_window": 64}
    models["dna_config"] = json.dumps({"model_type": encoder, **ENCODERS[encoder]})
    out = train(table, **models, **way, dna_feature_layer=1, learning_rate=1e-2)
    base = AutoModelForMultimodalLM.from_pretrained(out / "base").state_dict()
    adapter = load_file(out / "adapter_model.safetensors")
    trained = {
        name.removeprefix("base_model.model."): value for name, value in adapter.items() if "dna_encoder" in name
    }
    if "lora_dna_encoder" in way:
        assert any(value.abs().sum() > 0 for name, value in trained.items() if "lora_B" in name)
    else:
        assert any(not torch.equal(value, base[name]) for name, value in trained.items())
    assert all(value.dtype == torch.float32 for value in trained.values())


def test_more_layers_than_feed_the_projector_are_refused(table):
    with pytest.raises(ValueError, match="train_dna_layers is 2, but 1 are used"):
        from_random_weights(table, train_dna_layers=2, dna_feature_layer=1)
