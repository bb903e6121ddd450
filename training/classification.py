"""The task `classification` of `train_dna.py`: classes, labels or values of sequences, or of pairs of them."""

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
from datasets import Dataset
from transformers import EvalPrediction, PreTrainedTokenizerBase, Trainer
from transformers.utils import logging

from textgenome import TextGenomeDNAForSequenceClassification, TextGenomeDNAProcessor
from textgenome.configuration.configuration_textgenome import build_dna_config
from textgenome.configuration.dna_arguments import DNAArguments, DNAModelArguments, DNATrainingArguments
from textgenome.data import TextGenomeDNACollator
from textgenome.data.examples import pick_examples
from textgenome.data.forms import TableForm
from textgenome.data.labelled_variants import read_labelled_variants
from textgenome.data.labels import (
    REGRESSION,
    SEVERAL,
    SINGLE,
    check_form,
    check_labelled,
    class_name,
    encode_labels,
    find_classes,
    find_problem_type,
    label_names,
    row_label,
)
from textgenome.data.rows import fingerprint_rows, load_rows
from textgenome.data.settings import SETTINGS
from textgenome.evaluation import evaluate_model, format_table
from textgenome.evaluation.controls import DNA_CONTROLS, SEQUENCE_CONTROLS
from textgenome.evaluation.sequence_results import cut_sequence
from textgenome.processing.dna_tokenizers import find_dna_tokenizer
from textgenome.processing.processing_dna import DNA_WINDOW
from textgenome.training.jobs import Job, build_model
from textgenome.training.pooled_rows import can_pool_once, pool_rows


logger = logging.get_logger(__name__)

SHOWN = 10
HEAD = ("pooling", "pooling_bins", "pooling_num_heads", "classifier_dropout")  # settings of it by their own name


def prepare(script_args: DNAArguments, training_args: DNATrainingArguments, model_args: DNAModelArguments) -> Job:
    """Read the rows, and put a new head for their labels on the encoder."""
    check_validation(script_args, training_args)
    script_args.dna_window = script_args.dna_window or DNA_WINDOW
    dna_tokenizer = find_dna_tokenizer(model_args.dna_model, model_args.dna_config, model_args.dna_tokenizer)
    splits = load_splits(script_args, training_args, dna_tokenizer, grows=model_args.dna_config is not None)
    rows, validation_rows, test_rows = splits
    pairs = check_form(each for each in splits if each is not None)
    if not pairs and model_args.dna_config is not None:
        dna_tokenizer = fit_length(model_args, dna_tokenizer, splits)
    labels = list(map(row_label, rows))
    problem_type = script_args.problem_type or find_problem_type(labels)
    names = find_classes(labels, problem_type)
    describe(labels, names, problem_type, pairs)
    head = {"num_sequences": 2 if pairs else 1, **describe_head(labels, names, problem_type, script_args)}
    head |= {name: getattr(model_args, name) for name in HEAD}
    model = build_model(TextGenomeDNAForSequenceClassification, model_args, dna_tokenizer, **head)
    processor = TextGenomeDNAProcessor(dna_tokenizer, script_args.dna_window)
    cut = partial(cut_sequence, dna_window=script_args.dna_window)
    processor.examples = pick_examples(test_rows, script_args.saved_examples, cut)
    settings = {"data_fingerprint": fingerprint_rows(rows), "labels": names}
    train_rows, eval_rows = rows, test_rows if validation_rows is None else validation_rows
    if can_pool_once(model_args):
        pool = partial(pool_rows, model, processor, device=training_args.device)
        train_rows = pool(rows, training_args.per_device_eval_batch_size)
        if training_args.eval_strategy != "no":
            eval_rows = pool(eval_rows, training_args.per_device_eval_batch_size)
    return Job(
        model=model,
        processor=processor,
        train_rows=train_rows,
        eval_rows=eval_rows,
        collator=TextGenomeDNACollator(processor, model.config.label2id, problem_type),
        compute_metrics=accuracy if problem_type == SINGLE else None,
        measure=None
        if test_rows is None
        else partial(measure, script_args=script_args, rows=rows, test_rows=test_rows),
        settings=settings,
    )


def check_validation(script_args: DNAArguments, training_args: DNATrainingArguments) -> None:
    """Refuse to choose a checkpoint on the rows that it is evaluated on."""
    split = script_args.dataset_validation_split
    if split is not None and split == script_args.dataset_test_split:
        raise ValueError(f"dataset_validation_split and dataset_test_split are both {split!r}: name two splits.")
    if split is not None and script_args.vcf:
        raise ValueError(
            "dataset_validation_split is a split of a table. Make one of the VCF file by `textgenome windows`, and "
            "divide it by `textgenome split`."
        )
    if training_args.early_stopping_patience and split is None:
        raise ValueError(
            "The best checkpoint must not be chosen on the rows that it is evaluated on: name another split by "
            "dataset_validation_split."
        )


def load_splits(
    script_args: DNAArguments, training_args: DNATrainingArguments, dna_tokenizer: PreTrainedTokenizerBase, grows: bool
) -> tuple[Dataset, Dataset | None, Dataset | None]:
    """The rows to train on, those to choose a checkpoint on and those to evaluate on, the last two if asked for.

    Args:
        script_args: Which rows.
        training_args: Whether any are evaluated on.
        dna_tokenizer: That of the encoder.
        grows: Whether the encoder is made for the longest sequence, see `fit_length`.
    """
    options = {"dna_window": script_args.dna_window, "dna_tokenizer": dna_tokenizer}
    if script_args.vcf:
        places = {name: getattr(script_args, name) for name in ("regions", "test_regions", "labels", "on_bad_row")}
        if training_args.do_eval and not (script_args.test_regions or script_args.test_contigs):
            raise ValueError(
                "Hold out variants to evaluate on by --test_contigs or --test_regions, or --do_eval false."
            )
        files, contigs = (script_args.vcf, script_args.fasta), script_args.test_contigs or ()
        rows, test_rows = read_labelled_variants(
            *files, test_contigs=contigs, window=script_args.dna_window, **places, **options
        )
        return rows, None, test_rows
    options["grows"] = grows
    rows = load_split(script_args, script_args.dataset_train_split, script_args.problem_type, **options)
    problem_type = script_args.problem_type or find_problem_type(map(row_label, rows))
    others = [script_args.dataset_validation_split, script_args.dataset_test_split if training_args.do_eval else None]
    return rows, *(name and load_split(script_args, name, problem_type, **options) for name in others)


def load_split(script_args: DNAArguments, split: str, problem_type: str | None = None, **options) -> Dataset:
    """The rows of a split, each a sequence or a pair of them with a label. The options are for `check_labelled`."""
    if script_args.dataset_name == "starter":
        # A few rows are conversations without DNA.
        return load_rows("starter", split).filter(lambda row: row["reference_sequence"] is not None)
    options["form"] = TableForm.parse(script_args.columns)
    options |= {"on_bad_row": script_args.on_bad_row, "check": check_labelled, "problem_type": problem_type}
    return load_rows(script_args.dataset_name, split, **options)


def fit_length(
    model_args: DNAModelArguments, dna_tokenizer: PreTrainedTokenizerBase, splits: list[Dataset | None]
) -> PreTrainedTokenizerBase:
    """Let an encoder that starts from random weights read the longest sequence of the table.

    Its configuration in `model_args` is changed.

    Returns:
        The tokenizer for it.
    """
    sequences = {sequence for rows in splits if rows is not None for sequence in rows["sequence"]}
    longest = max(sequences, key=len)
    tokens, limit = len(dna_tokenizer(longest, verbose=False)["input_ids"]), dna_tokenizer.model_max_length
    if tokens <= limit:
        return dna_tokenizer
    config = build_dna_config(model_args.dna_config)
    name = config.attribute_map.get("max_position_embeddings", "max_position_embeddings")
    reads = getattr(config, name) + tokens - limit
    logger.warning(f"The longest sequence has {len(longest)} bases: {name} of the new encoder is {reads}.")
    model_args.dna_config = {**model_args.dna_config, name: reads}
    return find_dna_tokenizer(None, model_args.dna_config, model_args.dna_tokenizer)


def describe(labels: list, names: list[str], problem_type: str, pairs: bool) -> None:
    """Log what was found in the table."""
    what = f"{len(labels)} {'pairs of sequences' if pairs else 'sequences'} to train on, {problem_type}"
    if problem_type == REGRESSION:
        logger.warning(f"{what}: labels from {min(map(float, labels)):g} to {max(map(float, labels)):g}.")
        return
    counts = Counter(name for label in labels for name in label_names(label)) if problem_type == SEVERAL else None
    counts = Counter(map(class_name, labels)) if counts is None else counts
    shown = ", ".join(f"{name} ({counts[name]})" for name in names[:SHOWN] if name in counts)
    logger.warning(f"{what}: {shown or f'{len(names)} labels'}{', ...' if len(names) > SHOWN else ''}.")
    if len(names) == 1:
        logger.warning(f"All rows have one answer, {names[0]!r}: there is nothing to tell apart.")


def describe_head(labels: list, names: list[str], problem_type: str, script_args: DNAArguments) -> dict:
    """Fields of the configuration that follow from the labels."""
    head = {"id2label": dict(enumerate(names)), "problem_type": problem_type}
    if problem_type == REGRESSION:
        values = np.array(labels, dtype=float)
        return head | {"label_mean": float(values.mean()), "label_scale": float(values.std()) or 1.0}
    if len(names) == 1:
        head["problem_type"] = None  # which transformers refuses for one class
    if script_args.class_weights == "balanced":
        head["class_weights"] = balance(labels, names, problem_type)
    return head


def balance(labels: list, names: list[str], problem_type: str) -> list[float]:
    """How much each class counts, so that all count alike: of several labels a row, those that have it and not."""
    if problem_type == SEVERAL:
        has = encode_labels(labels, {name: i for i, name in enumerate(names)}, problem_type).mean(0)
        return ((1 - has) / has.clamp(min=1 / len(labels))).tolist()
    counts = Counter(map(class_name, labels))
    return [len(labels) / len(names) / counts[name] for name in names]


def accuracy(prediction: EvalPrediction) -> dict[str, float]:
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def measure(trainer: Trainer, script_args: DNAArguments, rows: Dataset, test_rows: Dataset) -> None:
    """Save the loss on the test split, and evaluate the model there beside baselines and controls."""
    config = trainer.model.config
    if config.problem_type in (SINGLE, None):
        unknown = sum(class_name(row_label(row)) not in config.label2id for row in test_rows)
        if unknown:
            logger.warning(f"{unknown} of {len(test_rows)} rows have an answer that was not trained: they are wrong.")
    metrics = trainer.evaluate(test_rows)
    trainer.log_metrics("eval", metrics)
    trainer.save_metrics("eval", metrics)
    folder = Path(trainer.args.output_dir) / "evaluation"
    forget_predictions(trainer, folder)  # of weights that were trained on since
    results = evaluate_model(
        trainer.args.output_dir,
        script_args.dataset_name or script_args.vcf,
        script_args.dataset_test_split,
        folder,
        list(DNA_CONTROLS if config.num_sequences == 2 else SEQUENCE_CONTROLS),
        baselines=script_args.baselines,
        batch_size=trainer.args.per_device_eval_batch_size,
        seed=trainer.args.seed,
        tables=(test_rows.to_list(), rows.to_list()),
    )
    forget_predictions(trainer, folder)  # so that `textgenome evaluate` may ask otherwise in this folder
    if results:
        print(format_table(results))


def forget_predictions(trainer: Trainer, folder: Path) -> None:
    if trainer.is_world_process_zero():
        for path in (folder / SETTINGS, *folder.glob("predictions*.jsonl")):
            path.unlink(missing_ok=True)
    trainer.accelerator.wait_for_everyone()


__all__ = ["accuracy", "load_split", "measure", "prepare"]
