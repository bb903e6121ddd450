"""Fine-tune a language model that reads DNA.

Example run, on the built-in starter data, a few minutes on two cores:

    textgenome sft --config starter

On your own table, with a recipe for a GPU and the models that it joins:

    textgenome sft --config kegg --text_model Qwen/Qwen3-4B --dna_model BGI-HangzhouAI/Genos-1.2B --dataset_name my.csv

--config takes a file, or the name of a recipe of the package: starter, kegg_small or kegg. Every line of a recipe is
also a flag, and flags win. The same command resumes a run that was stopped: SIGTERM saves a checkpoint first, SIGKILL
loses what came after the last one. A finished run is only evaluated again; for a fresh start remove the output folder
or name another. Research use only, not for diagnosis.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from datasets import Dataset
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
)
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from transformers.utils import logging

from textgenome import TextGenomeProcessor
from textgenome.configuration.arguments import DataArguments, ModelArguments, TrainingArguments
from textgenome.data import TextGenomeCollator
from textgenome.data.answer_types import JOB
from textgenome.data.descriptions import find_description
from textgenome.data.dropout import RowDropout
from textgenome.data.examples import find_labels, pick_examples
from textgenome.data.files import written_whole
from textgenome.data.locks import Lock
from textgenome.data.prompts import cut_window, reading_options, reasons
from textgenome.data.rows import as_conversations, estimate_lengths, fingerprint_rows
from textgenome.inference.checkpoints import check_models, find_revisions, fingerprint_weights
from textgenome.inference.feature_cache import CacheDNAFeatures
from textgenome.processing import chat_template
from textgenome.training.figures import save_figures
from textgenome.training.finetuning import prepare_model
from textgenome.training.fused import load_model, load_saved_processor, load_splits, measure, pin_checkpoint
from textgenome.training.identity import remember_run, run_settings
from textgenome.training.joining import join_models, load_tokenizers
from textgenome.training.precision import KeepFloat32, train_in_float32
from textgenome.training.resuming import train_or_resume
from textgenome.training.scripts import parse_arguments, run_locked
from textgenome.training.trainer import TextGenomeTrainer


logger = logging.get_logger(__name__)


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the script with these flags, by default those of the command line."""
    run(*parse_arguments((DataArguments, TrainingArguments, ModelArguments), "sft", __doc__, argv, prog))


def run(script_args: DataArguments, training_args: TrainingArguments, model_args: ModelArguments) -> None:
    """Train, measure and push; or go on with a run that was stopped, in its output folder."""
    run_locked(train, script_args, training_args, model_args)


def train(
    script_args: DataArguments,
    training_args: TrainingArguments,
    model_args: ModelArguments,
    lock: Lock | None,
) -> TextGenomeTrainer:
    """Train and measure, in an output folder that is locked."""
    check_models(model_args.base_models)
    pin_checkpoint(script_args, model_args)
    tokenizers = load_tokenizers(model_args)
    rows, test_rows = load_data(script_args, training_args, *tokenizers)
    thinks = any(map(reasons, rows))
    settings = run_settings(script_args, model_args, training_args)
    settings |= {"data_fingerprint": fingerprint_rows(rows), "reasons": thinks}
    remember_run(settings, script_args, training_args)
    if model_args.model_name_or_path is None:
        save_base(script_args, training_args, model_args, tokenizers, rows)
    weights = {"weights": fingerprint_weights(model_args.model_name_or_path)}
    remember_run(weights, script_args, training_args)
    processor = load_processor(script_args, model_args, thinks)
    processor.labels = None if script_args.datasets else find_labels(rows)
    cut = partial(cut_window, **reading_options(processor))
    processor.examples = pick_examples(test_rows, script_args.saved_examples, cut)
    model = load_model(model_args)
    trainer = build_trainer(model, processor, rows, test_rows, script_args, training_args, model_args)
    result = train_or_resume(trainer, lock)
    save_figures(trainer, result, dna=script_args.dna)
    measure(trainer, test_rows, script_args.generation_rows, script_args.max_new_tokens, dna=script_args.dna)
    return trainer


def load_data(
    script_args: DataArguments,
    training_args: TrainingArguments,
    tokenizer: PreTrainedTokenizerBase | None,
    dna_tokenizer: PreTrainedTokenizerBase,
) -> tuple[Dataset, Dataset | None]:
    """The rows to train on, and those to evaluate on, if any are.

    Raises:
        ValueError: If a row is bad, or rows to answer by generation lack a column.
    """
    names = ("dna", "dna_truncation", "dna_window")
    reading = {name: getattr(script_args, name) for name in names}
    splits = load_splits(script_args, training_args, tokenizer=tokenizer, dna_tokenizer=dna_tokenizer, **reading)
    return splits if script_args.reasoning_format != "none" else tuple(map(without_reasoning, splits))


def without_reasoning(rows: Dataset | None) -> Dataset | None:
    """Rows that are answered at once."""
    if rows is None or not {"reasoning", "messages"} & {*rows.column_names}:
        return rows
    return Dataset.from_list([_without_reasoning(row) for row in rows], on_mixed_types="use_json")


def _without_reasoning(row: dict) -> dict:
    if row.get("messages") is not None:
        messages = [{**message, "reasoning_content": None} for message in row["messages"]]
        row = {**row, "messages": messages}
    return {name: value for name, value in row.items() if name != "reasoning"}


def show(rows: Dataset, script_args: DataArguments, dropout: RowDropout | None = None) -> Dataset:
    """What the model sees of rows."""
    return as_conversations(rows, script_args.dna, script_args.dna_truncation, dropout)


def show_jobs(rows: Dataset, script_args: DataArguments) -> Dataset | dict[str, Dataset]:
    """What the model sees of rows to evaluate on; of a mixture by job, so that the loss of each is logged."""
    if not script_args.datasets:
        return show(rows, script_args)
    places: dict[str, list[int]] = {}
    for place, job in enumerate(rows[JOB]):
        places.setdefault(job, []).append(place)
    return {job: show(rows.select(each), script_args) for job, each in places.items()}


def check_best(eval_rows: Dataset | dict | None, training_args: TrainingArguments) -> None:
    """Refuse to keep the best model of a mixture by a loss that is not logged."""
    if not training_args.load_best_model_at_end or not isinstance(eval_rows, dict):
        return
    names = [f"eval_{job}_loss" for job in eval_rows]
    if f"eval_{training_args.metric_for_best_model.removeprefix('eval_')}" not in names:
        raise ValueError(f"load_best_model_at_end: of a mixture name metric_for_best_model: {' or '.join(names)}.")


def build_dropout(rows: Dataset, script_args: DataArguments, training_args: TrainingArguments) -> RowDropout | None:
    """What leaves out questions or DNA of training rows, if that was asked for."""
    if not (script_args.question_dropout or script_args.dna_dropout):
        return None
    if training_args.dataloader_persistent_workers:
        raise ValueError(
            "dataloader_persistent_workers keeps copies of the rows, which would not learn of new epochs."
        )
    question = find_description(rows.to_list()).constant_question
    logger.info(
        f"Each epoch, {script_args.question_dropout:.0%} of the rows ask {question!r} instead, and "
        f"{script_args.dna_dropout:.0%} of the others come without DNA."
    )
    return RowDropout(script_args.question_dropout, script_args.dna_dropout, question, training_args.seed)


class TellEpoch(TrainerCallback):
    """Tells a dropout of rows which epoch begins."""

    def __init__(self, dropout: RowDropout):
        self.dropout = dropout

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.dropout.epoch = int(state.epoch)


def save_base(
    script_args: DataArguments,
    training_args: TrainingArguments,
    model_args: ModelArguments,
    tokenizers: tuple[PreTrainedTokenizerBase | None, PreTrainedTokenizerBase],
    rows: Dataset,
) -> None:
    """Join the two models in the folder `base`: what every process loads then, and adapters refer to."""
    folder = (Path(training_args.output_dir) / "base").resolve()  # from anywhere
    with training_args.main_process_first(local=False, desc="building the base model"):
        if not folder.exists():
            unset_hf_deepspeed_config()  # or ZeRO-3 would shard it over processes that take no part in this
            conversations = show(rows, script_args)
            reasoning_format = "plain" if script_args.reasoning_format == "plain" else "think"
            window = script_args.dna_window
            model, processor = join_models(model_args, *tokenizers, window, reasoning_format, conversations)
            model.config.base_models = find_revisions(model_args.base_models)
            with written_whole(folder) as unfinished:
                model.save_pretrained(unfinished)
                processor.save_pretrained(unfinished)
            if training_args.deepspeed_plugin:
                training_args.deepspeed_plugin.set_deepspeed_weakref()
    model_args.model_name_or_path, model_args.model_revision = str(folder), "main"


def load_processor(script_args: DataArguments, model_args: ModelArguments, thinks: bool) -> TextGenomeProcessor:
    """The processor of the checkpoint, which takes along how the model is trained to read."""
    processor = load_saved_processor(model_args)
    processor.dna_window, processor.dna = script_args.dna_window, script_args.dna
    processor.dna_truncation, processor.reasons = script_args.dna_truncation, thinks
    if script_args.reasoning_format in ("think", "plain"):
        processor.chat_template = chat_template(script_args.reasoning_format)
    if script_args.dna == "none":
        logger.warning("dna: none. This run trains the text-only control: the model sees no DNA.")
    return processor


def build_trainer(
    model: PreTrainedModel,
    processor: TextGenomeProcessor,
    rows: Dataset,
    test_rows: Dataset | None,
    script_args: DataArguments,
    training_args: TrainingArguments,
    model_args: ModelArguments,
) -> TextGenomeTrainer:
    """Freeze what is not to be trained, put LoRA on what it is to adapt, and make the trainer."""
    peft_config = prepare_model(model, model_args)
    dropout = build_dropout(rows, script_args, training_args)
    conversations = show(rows, script_args, dropout)
    grouped = training_args.train_sampling_strategy == "group_by_length"
    eval_rows = show_jobs(test_rows, script_args) if training_args.do_eval else None
    check_best(eval_rows, training_args)
    trainer = TextGenomeTrainer(
        model=model,
        args=training_args,
        train_dataset=conversations,
        eval_dataset=eval_rows,
        processing_class=processor,
        data_collator=TextGenomeCollator(processor),
        peft_config=peft_config,
        lengths=estimate_lengths(conversations, processor) if grouped else None,
    )
    if model_args.load_in_4bit:
        train_in_float32(trainer)
    trainer.add_callback(KeepFloat32(trainer))
    if dropout:
        trainer.add_callback(TellEpoch(dropout))
    if training_args.cache_dna_features:
        folder = training_args.dna_cache_dir or Path(training_args.output_dir) / "dna_features"
        trainer.add_callback(CacheDNAFeatures(trainer.model, folder, training_args.dna_cache_gb * 1e9))
    return trainer


if __name__ == "__main__":
    main()
