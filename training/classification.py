"""The task `classification` of `train_dna.py`: choosing among the answers of a table."""

from functools import partial

from datasets import Dataset
from transformers import EvalPrediction, PreTrainedTokenizerBase, Trainer
from transformers.utils import logging

from textgenome import TextGenomeDNAForSequenceClassification, TextGenomeDNAProcessor
from textgenome.configuration.dna_arguments import DNAArguments, DNAModelArguments, DNATrainingArguments
from textgenome.data import TextGenomeDNACollator
from textgenome.data.conversations import check_pair
from textgenome.data.rows import fingerprint_rows, load_rows
from textgenome.processing.dna_tokenizers import find_dna_tokenizer
from textgenome.processing.processing_dna import DNA_WINDOW
from textgenome.training.jobs import Job, build_model


logger = logging.get_logger(__name__)


def prepare(script_args: DNAArguments, training_args: DNATrainingArguments, model_args: DNAModelArguments) -> Job:
    """Read the rows, and put a new head for their answers on the encoder."""
    script_args.dna_window = script_args.dna_window or DNA_WINDOW
    dna_tokenizer = find_dna_tokenizer(model_args.dna_model, model_args.dna_config, model_args.dna_tokenizer)
    rows = load_split(script_args, script_args.dataset_train_split, dna_tokenizer)
    test_rows = None
    if training_args.do_eval:
        test_rows = load_split(script_args, script_args.dataset_test_split, dna_tokenizer)
    labels = sorted({answer.strip() for answer in rows["answer"]})
    if len(labels) == 1:
        logger.warning(f"All rows have one answer, {labels[0]!r}: there is nothing to tell apart.")
    head = {"id2label": dict(enumerate(labels)), "pooling_num_heads": model_args.pooling_num_heads}
    model = build_model(TextGenomeDNAForSequenceClassification, model_args, dna_tokenizer, **head)
    processor = TextGenomeDNAProcessor(dna_tokenizer, script_args.dna_window)
    return Job(
        model=model,
        processor=processor,
        train_rows=rows,
        eval_rows=test_rows,
        collator=TextGenomeDNACollator(processor, model.config.label2id),
        compute_metrics=accuracy,
        measure=partial(measure, test_rows=test_rows) if training_args.do_eval else None,
        settings={"data_fingerprint": fingerprint_rows(rows), "labels": labels},
    )


def load_split(script_args: DNAArguments, split: str, dna_tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """The rows of a split that hold a pair of sequences and an answer."""
    if script_args.dataset_name == "starter":
        # A few rows are conversations without DNA.
        return load_rows("starter", split).filter(lambda row: row["reference_sequence"] is not None)
    options = {"dna_window": script_args.dna_window, "dna_tokenizer": dna_tokenizer}
    return load_rows(script_args.dataset_name, split, script_args.on_bad_row, check_pair, **options)


def accuracy(prediction: EvalPrediction) -> dict[str, float]:
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def measure(trainer: Trainer, test_rows: Dataset) -> None:
    """Save the loss and the accuracy on the test split."""
    known = trainer.model.config.label2id
    unknown = sum(answer.strip() not in known for answer in test_rows["answer"])
    if unknown:
        logger.warning(f"{unknown} of {len(test_rows)} rows have an answer that was not trained: they are wrong.")
    metrics = trainer.evaluate()
    trainer.log_metrics("eval", metrics)
    trainer.save_metrics("eval", metrics)


__all__ = ["accuracy", "load_split", "measure", "prepare"]
