"""Fine-tune a language model that reads DNA.

Example run, on the built-in starter data, a few minutes on two cores:

    python train_sft.py --config configuration/recipes/starter.yaml

On your own table, with a recipe for a GPU:

    python train_sft.py --config configuration/recipes/kegg_qwen3_1.7b_genos_1.2b.yaml --dataset_name my_variants.csv

Every line of a recipe is also a flag, and flags win. The same command resumes a run that was stopped: SIGTERM saves a
checkpoint first, SIGKILL loses what came after the last one. A finished run is only evaluated again; for a fresh start
remove the output folder or name another. Research use only, not for diagnosis.
"""

import json
import resource
import signal
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from datasets import Dataset
from transformers import (
    AutoConfig,
    AutoModelForMultimodalLM,
    AutoProcessor,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    TrainerCallback,
    set_seed,
)
from transformers.utils import logging
from trl import TrlParser

from textgenome import TextGenomeConfig, TextGenomeForConditionalGeneration, TextGenomeProcessor
from textgenome.configuration.arguments import DataArguments, ModelArguments, TrainingArguments
from textgenome.configuration.configuration_textgenome import max_dna_tokens
from textgenome.evaluation import compare_controls
from textgenome.feature_cache import CacheDNAFeatures
from textgenome.finetuning import prepare_model
from textgenome.processing import (
    TextGenomeCollator,
    build_dna_tokenizer,
    build_processor,
    chat_template,
    texts_of,
    train_text_tokenizer,
)
from textgenome.processing.conversations import DNA_COLUMNS
from textgenome.processing.dna_tokenizers import VOCABULARIES, vocabulary_of
from textgenome.processing.rows import as_conversations, estimate_lengths, load_rows
from textgenome.throughput import TextGenomeTrainer


logger = logging.get_logger("textgenome.train_sft")

# What may change from one start to the next without another model coming out.
FREE_SETTINGS = {"attn_implementation", "dataset_test_split", "generation_rows", "max_new_tokens"}


class SaveOnTermination(TrainerCallback):
    """On SIGTERM during training, save a checkpoint after the running step and stop.

    The trainer's own `enable_jit_checkpoint` may save within a step, after its dropout was drawn; a run that resumes
    from there takes another course.
    """

    def __init__(self):
        self.terminated = False
        self.previous_handler = None
        self.first_step = 0

    def on_signal(self, signum, frame):
        self.terminated = True

    def on_train_begin(self, args, state, control, **kwargs):
        self.previous_handler = signal.signal(signal.SIGTERM, self.on_signal)
        self.first_step = state.global_step

    def on_train_end(self, args, state, control, **kwargs):
        signal.signal(signal.SIGTERM, self.previous_handler)

    def on_step_end(self, args, state, control, **kwargs):
        control.should_save |= self.terminated
        control.should_training_stop |= self.terminated


def load_split(data: DataArguments, split: str, dna_tokenizer: PreTrainedTokenizerBase) -> Dataset:
    options = {"dna_tokenizer": dna_tokenizer, **conversation_options(data)}
    return load_rows(data.dataset_name, split, on_bad_row=data.on_bad_row, **options)


def conversation_options(data: DataArguments) -> dict:
    return {"dna": data.dna, "dna_truncation": data.dna_truncation, "dna_window": data.dna_window}


def load_dna_tokenizer(model: ModelArguments) -> PreTrainedTokenizerBase:
    """The tokenizer that was asked for, or that the encoder was trained with."""
    if model.model_name_or_path:
        name, revision = model.model_name_or_path, model.model_revision
        config = AutoConfig.from_pretrained(name, revision=revision)
        if not isinstance(config, TextGenomeConfig):
            raise ValueError(f"{name} is a {config.model_type} model: name it as text_model, beside a dna_model.")
        return AutoProcessor.from_pretrained(name, revision=revision).dna_tokenizer
    values = model.dna_config or PreTrainedConfig.get_config_dict(model.dna_model)[0]
    config = TextGenomeConfig(dna_config=values).dna_config
    vocabulary = model.dna_tokenizer or vocabulary_of(config) or model.dna_model
    if vocabulary is None:
        raise ValueError(f"Name a dna_tokenizer: {', '.join(VOCABULARIES)}, a folder or a Hub id.")
    if vocabulary in VOCABULARIES:
        tokenizer = build_dna_tokenizer(vocabulary)
    else:
        tokenizer = AutoTokenizer.from_pretrained(vocabulary)
    tokenizer.model_max_length = max_dna_tokens(config) or tokenizer.model_max_length
    return tokenizer


def remember_settings(data: DataArguments, model: ModelArguments, output_dir: Path) -> None:
    """Keep the settings beside the run, and refuse to go on with others: they would not fit its checkpoints."""
    path, settings = output_dir / "settings.json", {**asdict(data), **asdict(model)}
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = [name for name in settings if before.get(name) != settings[name] and name not in FREE_SETTINGS]
        if changed:
            raise ValueError(
                f"{output_dir} holds a run with other settings ({', '.join(changed)}). Name another output_dir, or "
                "remove this one for a fresh start."
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def build_base(
    data: DataArguments,
    model: ModelArguments,
    dna_tokenizer: PreTrainedTokenizerBase,
    rows: Dataset,
    folder: Path,
) -> None:
    """Join language model and DNA encoder, and save the result: what adapters refer to and every rank loads."""
    if model.text_model:
        tokenizer = AutoTokenizer.from_pretrained(model.text_model)
    else:
        conversations = as_conversations(rows, **conversation_options(data))
        tokenizer = train_text_tokenizer(texts_of(row["messages"] for row in conversations), model.text_vocab_size)
    added = set(dna_tokenizer("ACGT")["input_ids"]) & set(dna_tokenizer.all_special_ids)
    projector = {
        "projector_type": model.projector_type or "linear",
        "projector_pool_size": model.projector_pool_size,
        "projector_full_resolution": model.projector_full_resolution,
        "projector_num_queries": model.projector_num_queries,
        "dna_hidden_token_ids": [] if model.show_special_tokens else sorted(added),
    }
    processor = build_processor(
        tokenizer, dna_tokenizer, data.dna_window, data.reasoning_format or "think", **projector
    )
    overrides = {
        **projector,
        "dna_feature_layer": -1 if model.dna_feature_layer is None else model.dna_feature_layer,
        "dna_token_id": processor.dna_token_id,
        "dna_start_token_id": processor.dna_start_token_id,
        "dna_end_token_id": processor.dna_end_token_id,
    }
    if model.text_model:
        fused = TextGenomeForConditionalGeneration.from_text_dna_pretrained(
            model.text_model, model.dna_model, dtype=model.dtype, **overrides
        )
    else:
        ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
        text_config = {**model.text_config, "vocab_size": len(tokenizer), **ids}
        dna_config = {"vocab_size": len(dna_tokenizer), **model.dna_config}
        config = TextGenomeConfig(text_config=text_config, dna_config=dna_config, **overrides)
        fused = TextGenomeForConditionalGeneration(config)
    unfinished = folder.with_suffix(".unfinished")
    fused.save_pretrained(unfinished)
    processor.save_pretrained(unfinished)
    unfinished.rename(folder)


def last_checkpoint(output_dir: Path) -> str | None:
    """The newest checkpoint that was written to its end, the state of the trainer being its last file."""
    finished = [path.parent for path in output_dir.glob("checkpoint-*/trainer_state.json")]
    return str(max(finished, key=lambda path: int(path.name.rpartition("-")[2]))) if finished else None


def peak_memory_gb() -> float:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return kilobytes * 1024 / 1e9


def main(data: DataArguments, model_args: ModelArguments, training: TrainingArguments) -> None:
    logging.set_verbosity(training.get_process_log_level())
    set_seed(training.seed)
    output_dir = Path(training.output_dir)
    source, revision = model_args.model_name_or_path, model_args.model_revision
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

    with training.main_process_first(local=False, desc="building the base model"):
        if source is None:
            # Absolute, since it is what an adapter will know its base by.
            source, revision = str((output_dir / "base").resolve()), "main"
            if not Path(source).exists():
                build_base(data, model_args, dna_tokenizer, rows, Path(source))
        if training.process_index == 0:
            remember_settings(data, model_args, output_dir)
    processor: TextGenomeProcessor = AutoProcessor.from_pretrained(source, revision=revision)
    processor.dna_window = data.dna_window
    if data.reasoning_format:
        processor.chat_template = chat_template(data.reasoning_format)
    trains_all = not (model_args.use_peft or model_args.freeze_language_model)
    model = AutoModelForMultimodalLM.from_pretrained(
        source,
        revision=revision,
        dtype="float32" if model_args.dtype == "auto" and trains_all else model_args.dtype,
        attn_implementation=model_args.attn_implementation,
    )
    if data.dna == "none":
        logger.warning("dna: none. This run trains the text-only control: the model sees no DNA.")

    termination = SaveOnTermination()
    train_dataset = as_conversations(rows, **conversation_options(data))
    trainer = TextGenomeTrainer(
        model=model,
        args=training,
        train_dataset=train_dataset,
        eval_dataset=as_conversations(test_rows, **conversation_options(data)) if training.do_eval else None,
        processing_class=processor,
        data_collator=TextGenomeCollator(processor),
        peft_config=prepare_model(model, model_args),
        callbacks=[termination],
        lengths=estimate_lengths(train_dataset, processor) if training.group_by_length else None,
    )
    if training.cache_dna_features:
        folder = training.dna_cache_dir or output_dir / "dna_features"
        trainer.add_callback(CacheDNAFeatures(trainer.model, folder, training.dna_cache_gb * 1e9))
    checkpoint = training.resume_from_checkpoint or last_checkpoint(output_dir)
    result = trainer.train(resume_from_checkpoint=checkpoint)
    if termination.terminated:
        logger.warning(f"Stopped by SIGTERM at step {trainer.state.global_step}. The same command resumes.")
        sys.exit(128 + signal.SIGTERM)
    trainer.save_model()
    if trainer.state.global_step > termination.first_step:
        key = "train_tokens_per_second"
        speeds = [log[key] for log in trainer.state.log_history if key in log]
        metrics = {**result.metrics, "dna": data.dna, "peak_memory_gb": round(peak_memory_gb(), 2)}
        metrics |= {key: speeds[-1]} if speeds else {}
        trainer.log_metrics("train", metrics)
        trainer.save_metrics("train", metrics)
    else:
        logger.warning(f"{output_dir} holds a finished run: nothing is left to train.")

    metrics = trainer.evaluate() if training.do_eval else {}
    if data.generation_rows and trainer.is_world_process_zero():
        accuracies = compare_controls(
            trainer.model,
            processor,
            test_rows.select(range(min(data.generation_rows, len(test_rows)))).to_list(),
            dna=data.dna,
            dna_truncation=data.dna_truncation,
            max_new_tokens=data.max_new_tokens,
            seed=training.seed,
        )
        metrics |= {f"accuracy, {name}": value for name, value in accuracies.items()}
        print(f"\n{'held-out rows':<16}accuracy")
        print("\n".join(f"{name:<16}{value:.3f}" for name, value in accuracies.items()), "\n", sep="")
    if metrics:
        trainer.save_metrics("eval", {**metrics, "dna": data.dna})
    trainer.end()


if __name__ == "__main__":
    parser = TrlParser((DataArguments, ModelArguments, TrainingArguments), description=__doc__)
    main(*parser.parse_args_and_config())
