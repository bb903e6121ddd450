"""Fine-tune a language model that reads DNA.

Example run, on the built-in starter data, a few minutes on two cores:

    python train_sft.py --config configuration/recipes/starter.yaml

On your own table, with a recipe for a GPU:

    python train_sft.py --config configuration/recipes/kegg_qwen3_1.7b_genos_1.2b.yaml --dataset_name my_variants.csv

Every line of a recipe is also a flag, and flags win. The same command resumes a run that was stopped: SIGTERM saves a
checkpoint first, SIGKILL loses what came after the last one. A finished run is only evaluated again; for a fresh start
remove the output folder or name another. Research use only, not for diagnosis.
"""

import os
import resource
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from datasets import Dataset
from transformers import (
    AutoModelForMultimodalLM,
    AutoProcessor,
    PreTrainedTokenizerBase,
    set_seed,
)
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled, unset_hf_deepspeed_config
from transformers.utils import logging
from trl import TrlParser

from textgenome import TextGenomeProcessor
from textgenome.configuration.arguments import DataArguments, ModelArguments, TrainingArguments
from textgenome.data import TextGenomeCollator
from textgenome.data.conversations import DNA_COLUMNS
from textgenome.data.files import written_whole
from textgenome.data.prompts import reasons
from textgenome.data.rows import as_conversations, estimate_lengths, load_rows
from textgenome.data.settings import remember_settings
from textgenome.evaluation import compare_controls
from textgenome.evaluation.conditions import CONDITIONS
from textgenome.inference.checkpoints import find_revisions, pin_revision
from textgenome.inference.feature_cache import CacheDNAFeatures
from textgenome.processing import chat_template
from textgenome.training.finetuning import prepare_model
from textgenome.training.joining import join_models, load_dna_tokenizer
from textgenome.training.precision import KeepFloat32
from textgenome.training.pushing import push_trained, take_over_push
from textgenome.training.resuming import FREE_SETTINGS, absolute, train_or_resume
from textgenome.training.trainer import TextGenomeTrainer


logger = logging.get_logger("textgenome.train_sft")


def load_split(data: DataArguments, split: str, dna_tokenizer: PreTrainedTokenizerBase) -> Dataset:
    options = {"dna": data.dna, "dna_truncation": data.dna_truncation, "dna_window": data.dna_window}
    return load_rows(data.dataset_name, split, data.on_bad_row, dna_tokenizer=dna_tokenizer, **options)


def build_base(
    model: ModelArguments,
    dna_tokenizer: PreTrainedTokenizerBase,
    data: DataArguments,
    conversations: Dataset,
    folder: Path,
) -> None:
    """Save the joined model: what adapters refer to and every rank loads."""
    reasoning_format = data.reasoning_format or "think"
    fused, processor = join_models(model, dna_tokenizer, data.dna_window, reasoning_format, conversations)
    fused.config.base_models = find_revisions(name for name in (model.text_model, model.dna_model) if name)
    with written_whole(folder) as unfinished:
        fused.save_pretrained(unfinished)
        processor.save_pretrained(unfinished)


def peak_memory_gb() -> float:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return kilobytes * 1024 / 1e9


def hardware(processes: int) -> str:
    if torch.cuda.is_available():
        return f"{processes} x {torch.cuda.get_device_name()}"
    return f"{os.cpu_count()} CPU cores"


def main(data: DataArguments, model_args: ModelArguments, training: TrainingArguments) -> None:
    logging.set_verbosity(training.get_process_log_level())
    set_seed(training.seed)
    output_dir = Path(training.output_dir)
    pushes = take_over_push(training)
    source = model_args.model_name_or_path = absolute(model_args.model_name_or_path)
    if source:
        # A branch may move before the run is resumed, or its adapter used.
        model_args.model_revision = pin_revision(source, model_args.model_revision)
    revision = model_args.model_revision
    dna_tokenizer = load_dna_tokenizer(model_args)
    if data.dna_window is None:
        data.dna_window = AutoProcessor.from_pretrained(source, revision=revision).dna_window if source else 2048
    rows = load_split(data, data.dataset_train_split, dna_tokenizer)
    evaluates = training.do_eval or data.generation_rows
    test_rows = load_split(data, data.dataset_test_split, dna_tokenizer) if evaluates else None
    if data.generation_rows:
        missing = [column for column in (*DNA_COLUMNS, "question", "answer") if column not in test_rows.column_names]
        if missing:
            raise ValueError(f"generation_rows needs the columns {', '.join(missing)} in {data.dataset_test_split}.")

    thinks = any(reasons(row) for row in rows)
    train_dataset = as_conversations(rows, data.dna, data.dna_truncation)
    with training.main_process_first(local=False, desc="building the base model"):
        if source is None:
            # Absolute, since it is what an adapter will know its base by.
            source, revision = str((output_dir / "base").resolve()), "main"
            if not Path(source).exists():
                unset_hf_deepspeed_config()  # or ZeRO-3 would shard it over processes that take no part in this
                build_base(model_args, dna_tokenizer, data, train_dataset, Path(source))
                if training.deepspeed_plugin:
                    training.deepspeed_plugin.set_deepspeed_weakref()
        if training.process_index == 0:
            settings = {**asdict(data), **asdict(model_args), "reasons": thinks}
            remember_settings(settings, output_dir, "training", FREE_SETTINGS)
    processor: TextGenomeProcessor = AutoProcessor.from_pretrained(source, revision=revision)
    processor.dna_window, processor.dna, processor.dna_truncation = data.dna_window, data.dna, data.dna_truncation
    processor.reasons = thinks
    if data.reasoning_format:
        processor.chat_template = chat_template(data.reasoning_format)
    trains_all = not (model_args.use_peft or model_args.freeze_language_model)
    model = AutoModelForMultimodalLM.from_pretrained(
        source,
        revision=revision,
        dtype="float32" if model_args.dtype == "auto" and trains_all else model_args.dtype,
        attn_implementation=model_args.attn_implementation,
    )
    if is_deepspeed_zero3_enabled():
        # Its loader keeps renamings that nothing was renamed by, and saving would apply them backwards.
        model._weight_conversions = []
    if data.dna == "none":
        logger.warning("dna: none. This run trains the text-only control: the model sees no DNA.")

    peft_config = prepare_model(model, model_args)
    if peft_config is not None:
        peft_config.revision = revision  # beside the name, what the adapter will know its base by
    trainer = TextGenomeTrainer(
        model=model,
        args=training,
        train_dataset=train_dataset,
        eval_dataset=as_conversations(test_rows, data.dna, data.dna_truncation) if training.do_eval else None,
        processing_class=processor,
        data_collator=TextGenomeCollator(processor),
        peft_config=peft_config,
        lengths=estimate_lengths(train_dataset, processor) if training.group_by_length else None,
    )
    trainer.add_callback(KeepFloat32(trainer))
    if training.cache_dna_features:
        folder = training.dna_cache_dir or output_dir / "dna_features"
        trainer.add_callback(CacheDNAFeatures(trainer.model, folder, training.dna_cache_gb * 1e9))
    result = train_or_resume(trainer)
    if result is not None:
        key = "train_tokens_per_second"
        speeds = [log[key] for log in trainer.state.log_history if key in log]
        metrics = {**result.metrics, "dna": data.dna, "peak_memory_gb": round(peak_memory_gb(), 2)}
        if speeds:
            metrics[key] = speeds[-1]
        metrics["hardware"] = hardware(training.world_size)
        metrics |= {"engine": trainer.accelerator.distributed_type.value, "processes": training.world_size}
        trainer.log_metrics("train", metrics)
        trainer.save_metrics("train", metrics)
        if trainer.is_world_process_zero():
            (output_dir / "training_arguments.json").write_text(training.to_json_string() + "\n", encoding="utf-8")

    metrics = trainer.evaluate() if training.do_eval else {}
    if data.generation_rows:
        # Every process answers all rows: each holds only a part of a sharded model.
        accuracies = compare_controls(
            trainer.model,
            processor,
            test_rows.select(range(min(data.generation_rows, len(test_rows)))).to_list(),
            max_new_tokens=data.max_new_tokens,
            seed=training.seed,
        )
        metrics |= {f"accuracy_{name}": value for name, value in accuracies.items()}
        if trainer.is_world_process_zero():
            print(f"\n{'held-out rows':<16}accuracy")
            print(
                "\n".join(f"{CONDITIONS[name].title:<16}{value:.3f}" for name, value in accuracies.items()),
                "\n",
                sep="",
            )
    if metrics:
        trainer.save_metrics("eval", {**metrics, "dna": data.dna})
    trainer.accelerator.wait_for_everyone()  # one that leaves while another still writes may be aborted
    trainer.end()
    if pushes and training.process_index == 0:
        push_trained(training)


if __name__ == "__main__":
    parser = TrlParser((DataArguments, ModelArguments, TrainingArguments), description=__doc__)
    main(*parser.parse_args_and_config())
