"""Train a model of DNA alone: a DNA encoder with a head, without a language model.

Example run, on the built-in starter data, a few minutes on two cores:

    textgenome dna --config starter

On your own table, with a recipe for a GPU and the encoder that it takes:

    textgenome dna --config kegg --dna_model BGI-HangzhouAI/Genos-1.2B --dataset_name my.csv

The task `classification` chooses among the answers of the table, which needs the columns reference_sequence,
variant_sequence and answer; the distinct answers of the train split are the classes. --config takes a file, or the
name of a recipe of the package: starter, kegg_small or kegg. Every line of a recipe is also a flag, and flags win. The
same command resumes a run that was stopped: SIGTERM saves a checkpoint first, SIGKILL loses what came after the last
one. A finished run is only evaluated again; for a fresh start remove the output folder or name another. Research use
only, not for diagnosis.
"""

from collections.abc import Sequence
from pathlib import Path

from datasets import Dataset
from transformers import EvalPrediction, PreTrainedTokenizerBase, Trainer, TrainerCallback
from transformers.utils import logging

from textgenome import TextGenomeDNAConfig, TextGenomeDNAForSequenceClassification, TextGenomeDNAProcessor
from textgenome.configuration.arguments import DNAArguments, DNAModelArguments, DNATrainingArguments
from textgenome.data import TextGenomeDNACollator
from textgenome.data.conversations import check_pair
from textgenome.data.locks import Lock
from textgenome.data.rows import load_rows
from textgenome.inference.checkpoints import check_models, fingerprint_weights
from textgenome.processing.dna_tokenizers import find_dna_tokenizer
from textgenome.processing.processing_dna import DNA_WINDOW
from textgenome.training.figures import save_figures
from textgenome.training.finetuning import prepare_dna_encoder
from textgenome.training.identity import remember_run, run_settings
from textgenome.training.joining import choose_features
from textgenome.training.precision import KeepFloat32
from textgenome.training.resuming import ResumesMixin, train_or_resume
from textgenome.training.scripts import parse_arguments, run_locked


logger = logging.get_logger(__name__)


class DNATrainer(ResumesMixin, Trainer):
    """The trainer of models of the DNA family."""


class SaveProcessor(TrainerCallback):
    """Put the processor into every checkpoint. The trainer itself takes only one with a text tokenizer."""

    def __init__(self, processor: TextGenomeDNAProcessor):
        self.processor = processor

    def on_save(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            self.processor.save_pretrained(Path(args.output_dir) / f"checkpoint-{state.global_step}")


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the script with these flags, by default those of the command line."""
    run(*parse_arguments((DNAArguments, DNATrainingArguments, DNAModelArguments), "dna", __doc__, argv, prog))


def run(script_args: DNAArguments, training_args: DNATrainingArguments, model_args: DNAModelArguments) -> None:
    """Train, measure and push; or go on with a run that was stopped, in its output folder."""
    run_locked(train, script_args, training_args, model_args)


def train(
    script_args: DNAArguments,
    training_args: DNATrainingArguments,
    model_args: DNAModelArguments,
    lock: Lock | None,
) -> DNATrainer:
    """Train and measure, in an output folder that is locked."""
    check_models(model_args.base_models)
    script_args.dna_window = script_args.dna_window or DNA_WINDOW
    dna_tokenizer = find_dna_tokenizer(model_args.dna_model, model_args.dna_config, model_args.dna_tokenizer)
    rows = load_split(script_args, script_args.dataset_train_split, dna_tokenizer)
    test_rows = None
    if training_args.do_eval:
        test_rows = load_split(script_args, script_args.dataset_test_split, dna_tokenizer)
    labels = sorted({answer.strip() for answer in rows["answer"]})
    if len(labels) == 1:
        logger.warning(f"All rows have one answer, {labels[0]!r}: there is nothing to tell apart.")
    settings = {**run_settings(script_args, model_args, training_args, rows), "labels": labels}
    settings["weights"] = model_args.dna_model and fingerprint_weights(model_args.dna_model)
    remember_run(settings, script_args, training_args)
    processor = TextGenomeDNAProcessor(dna_tokenizer, script_args.dna_window)
    model = build_model(model_args, labels, dna_tokenizer)
    prepare_dna_encoder(model.model, model_args)
    trainer = build_trainer(model, processor, rows, test_rows, training_args)
    result = train_or_resume(trainer, lock)
    if trainer.is_world_process_zero():
        processor.save_pretrained(training_args.output_dir)
    save_figures(trainer, result)
    if training_args.do_eval:
        measure(trainer, test_rows)
    return trainer


def load_split(script_args: DNAArguments, split: str, dna_tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """The rows of a split that hold a pair of sequences and an answer."""
    if script_args.dataset_name == "starter":
        # A few rows are conversations without DNA.
        return load_rows("starter", split).filter(lambda row: row["reference_sequence"] is not None)
    options = {"dna_window": script_args.dna_window, "dna_tokenizer": dna_tokenizer}
    return load_rows(script_args.dataset_name, split, script_args.on_bad_row, check_pair, **options)


def build_model(
    model_args: DNAModelArguments, labels: list[str], dna_tokenizer: PreTrainedTokenizerBase
) -> TextGenomeDNAForSequenceClassification:
    """A new head on a pretrained encoder, or on one with random weights."""
    settings = {
        "id2label": dict(enumerate(labels)),
        **choose_features(model_args, dna_tokenizer),
        "pooling_num_heads": model_args.pooling_num_heads,
    }
    if model_args.dna_model:
        return TextGenomeDNAForSequenceClassification.from_dna_pretrained(
            model_args.dna_model, model_args.dtype, model_args.attn_implementation, **settings
        )
    dna_config = {"vocab_size": len(dna_tokenizer), **model_args.dna_config}
    return TextGenomeDNAForSequenceClassification(TextGenomeDNAConfig(dna_config=dna_config, **settings))


def build_trainer(
    model: TextGenomeDNAForSequenceClassification,
    processor: TextGenomeDNAProcessor,
    rows: Dataset,
    test_rows: Dataset | None,
    training_args: DNATrainingArguments,
) -> DNATrainer:
    trainer = DNATrainer(
        model=model,
        args=training_args,
        train_dataset=rows,
        eval_dataset=test_rows,
        data_collator=TextGenomeDNACollator(processor, model.config.label2id),
        compute_metrics=accuracy,
        callbacks=[SaveProcessor(processor)],
    )
    trainer.add_callback(KeepFloat32(trainer))
    return trainer


def accuracy(prediction: EvalPrediction) -> dict[str, float]:
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def measure(trainer: DNATrainer, test_rows: Dataset) -> None:
    """Save the loss and the accuracy on the test split."""
    known = trainer.model.config.label2id
    unknown = sum(answer.strip() not in known for answer in test_rows["answer"])
    if unknown:
        logger.warning(f"{unknown} of {len(test_rows)} rows have an answer that was not trained: they are wrong.")
    metrics = trainer.evaluate()
    trainer.log_metrics("eval", metrics)
    trainer.save_metrics("eval", metrics)


if __name__ == "__main__":
    main()
