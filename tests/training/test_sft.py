"""The script that fine-tunes, from the outside."""

import json
import shutil

import pytest
import torch
from conftest import TINY_CHECKPOINT, random_dna, variant_row
from datasets import Dataset
from peft import AutoPeftModelForCausalLM, PeftModel
from runs import QUICK, log_of, write_rows
from safetensors.torch import load_file
from sft_runs import HYENA, conversations, from_random_weights, train, write_table
from transformers import AutoModelForMultimodalLM, AutoProcessor
from trl import SFTConfig, SFTTrainer

from textgenome import (
    HyenaDNAModel,
    TextGenomeDNAConfig,
    TextGenomeDNAForSequenceClassification,
    TextGenomeDNAProcessor,
)
from textgenome.data import TextGenomeCollator
from textgenome.data.prompts import reasons as reasons_of
from textgenome.processing import build_dna_tokenizer
from textgenome.training import sft
from textgenome.training.fused import sample_rows


@pytest.fixture
def table(tmp_path):
    return write_table(tmp_path)


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
    assert (out / "base" / "modeling_textgenome.py").exists()
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
    args = SFTConfig(output_dir=table / "out", report_to=[], **{**QUICK, "bf16": False, "max_steps": 1})
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
    out = train(table, dna_window=8, reasoning_format="plain", saved_examples=2, do_eval=True)
    processor = AutoProcessor.from_pretrained(out)
    assert processor.dna_window == 8
    assert sorted(processor.labels) == ["AA", "BB", "CC", "DD"]
    assert [example["answer"] for example in processor.examples] == ["AA", "BB"]
    assert {len(example["reference"]) for example in processor.examples} == {8}
    assert '"plain"' in processor.chat_template


def test_reasoning_is_left_out_where_answers_are_to_be_short(table):
    rows = [{**row, "reasoning": "Because."} for row in map(json.loads, open(table / "rows" / "train.jsonl"))]
    flags = {"dataset_name": write_rows(table / "reasoned", train=rows), "do_eval": False}
    said = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A", "reasoning_content": "Because."}]
    assert not any(map(reasons_of, sft.without_reasoning(Dataset.from_list([{"messages": said}]))))
    for style, reasons in {"think": True, "none": False}.items():
        out = train(table, **flags, reasoning_format=style, output_dir=table / style)
        assert AutoProcessor.from_pretrained(out).reasons == reasons


def test_a_new_language_model_joins_the_encoder_of_a_model_of_dna_alone(table):
    encoder = TextGenomeDNAForSequenceClassification(TextGenomeDNAConfig(dna_config=HYENA, num_labels=2))
    processor = TextGenomeDNAProcessor(build_dna_tokenizer("hyenadna", 64), dna_window=64)
    for part in (encoder, processor):
        part.save_pretrained(table / "classifier")
    models = {"dna_model": table / "classifier", "dna_config": None, "use_peft": False}
    out = from_random_weights(table, **models, cache_dna_features=True, learning_rate=1e-2)
    trained = AutoModelForMultimodalLM.from_pretrained(out).model.dna_encoder.state_dict()
    assert trained.keys() == encoder.model.dna_encoder.state_dict().keys()
    for name, weight in encoder.model.dna_encoder.state_dict().items():
        torch.testing.assert_close(trained[name], weight)


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


def test_a_sorted_table_is_evaluated_by_rows_drawn_from_all_of_it():
    table = Dataset.from_dict({"answer": sorted("AB" * 50)})
    drawn = sample_rows(table, 40, seed=0)["answer"]
    assert 10 < list(drawn).count("A") < 30
    assert list(sample_rows(table, 40, seed=0)["answer"]) == list(drawn)
    places = Dataset.from_dict({"row": range(100)})
    rows = [list(sample_rows(places, 40, seed)["row"]) for seed in (0, 1)]
    assert rows[0] != rows[1] and rows[0] == sorted(rows[0]) and len(set(rows[0])) == 40
    assert list(sample_rows(places, 1000, 0)["row"]) == list(range(100))


def test_rows_about_one_sequence_are_trained_on_and_answered(tmp_path):
    rows = [{"question": "What?", "sequence": random_dna(12 + 3 * i), "answer": "ABCD"[i]} for i in range(4)]
    write_rows(tmp_path / "rows", train=rows, val=rows)
    settings = {"projector_type": "pooled", "projector_pool_size": 3, "use_peft": False}
    out = from_random_weights(tmp_path, generation_rows=4, max_new_tokens=4, **settings)
    results = json.loads((out / "eval_results.json").read_text())
    assert {"accuracy_as_is", "accuracy_dna_exchanged", "accuracy_dna_removed"} <= results.keys()
