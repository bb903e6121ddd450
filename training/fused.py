"""What the scripts that train a fused model share: its checkpoint, its rows, and the answers that it gives."""

import random

import torch
from datasets import Dataset
from transformers import AutoModelForMultimodalLM, AutoProcessor, BitsAndBytesConfig, PreTrainedModel, Trainer
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled
from transformers.utils import is_bitsandbytes_available

from textgenome import TextGenomeProcessor
from textgenome.configuration.arguments import ModelArguments, RowArguments, TrainingArguments
from textgenome.configuration.mixture_arguments import TableArguments
from textgenome.data.answer_types import JOB
from textgenome.data.conversations import DNA_COLUMNS, SEQUENCE_COLUMN
from textgenome.data.forms import TableForm
from textgenome.data.mixtures import mix, take_fractions
from textgenome.data.prompts import reasons
from textgenome.data.rows import load_rows
from textgenome.evaluation.conditions import CONDITIONS
from textgenome.evaluation.evaluating import accuracies_of, answer_controls
from textgenome.evaluation.jobs import find_jobs, flat_metrics, format_jobs, score_jobs
from textgenome.inference.checkpoints import pin_revision
from textgenome.processing.processing_dna import DNA_WINDOW
from textgenome.training.resuming import absolute


def pin_checkpoint(script_args: RowArguments, model_args: ModelArguments) -> None:
    """Name the checkpoint to start from, if there is one, so that it means the same when the run is resumed.

    Its window is the default.
    """
    name = model_args.model_name_or_path = absolute(model_args.model_name_or_path)
    if name:
        model_args.model_revision = pin_revision(name, model_args.model_revision)  # a branch may move
    if script_args.dna_window is None:
        processor = load_saved_processor(model_args) if name else None
        script_args.dna_window = processor.dna_window if processor else DNA_WINDOW


def load_saved_processor(model_args: ModelArguments) -> TextGenomeProcessor:
    name, revision = model_args.model_name_or_path, model_args.model_revision
    return AutoProcessor.from_pretrained(name, revision=revision, trust_remote_code=False)


def load_splits(
    script_args: RowArguments, training_args: TrainingArguments, **reading
) -> tuple[Dataset, Dataset | None]:
    """The rows to train on, and those to evaluate on, if any are.

    Args:
        script_args: Which rows.
        training_args: Whether to evaluate.
        reading: What rows are checked against, see `row_to_messages`.

    Raises:
        ValueError: If a row is bad, or rows to answer by generation lack a column.
    """
    rows, test_rows = load_train_rows(script_args, training_args.seed, **reading), None
    if training_args.do_eval or script_args.generation_rows:
        parts = [load_table(table, table.dataset_test_split, **reading) for table in script_args.tables]
        for table, part in zip(script_args.tables, parts):
            check_can_generate(table, part)
        test_rows = join_tables(script_args, parts)
    return rows, test_rows


def load_train_rows(script_args: RowArguments, seed: int, **reading) -> Dataset:
    """The rows to train on, of a mixture in the shares that are asked for; `reading` as in `load_splits`."""
    parts = [load_table(table, table.dataset_train_split, **reading) for table in script_args.tables]
    fractions = [table.fraction for table in getattr(script_args, "datasets", [])]
    return join_tables(script_args, take_fractions(parts, fractions, seed))


def load_table(script_args: RowArguments, split: str, **reading) -> Dataset:
    form = TableForm.parse(script_args.columns, script_args.question)
    return load_rows(script_args.dataset_name, split, on_bad_row=script_args.on_bad_row, form=form, **reading)


def join_tables(script_args: RowArguments, parts: list[Dataset]) -> Dataset:
    """The rows of all tables; those of a mixture with the name of their job."""
    tables = getattr(script_args, "datasets", [])
    if not tables:
        (rows,) = parts
        return rows
    if getattr(script_args, "reasoning_format", None) != "none":
        check_reasoning(tables, parts)
    rows = mix([(table.job, table.name, part) for table, part in zip(tables, parts)])
    find_jobs(rows)  # raises for a job with answers of several types, before training
    return rows


def check_reasoning(tables: list[TableArguments], parts: list[Dataset]) -> None:
    """Refuse a mixture of which only some tables reason: a model is asked in one way."""
    reasoned = {table.path: any(map(reasons, part)) for table, part in zip(tables, parts)}
    if len({*reasoned.values()}) > 1:
        with_it = ", ".join(path for path, found in reasoned.items() if found)
        raise ValueError(f"Of the tables only {with_it} have reasoning: set reasoning_format: none to leave it out.")


def check_can_generate(script_args: RowArguments, rows: Dataset) -> None:
    """Refuse rows to answer by generation that lack a column."""
    names = rows.column_names
    dna = (SEQUENCE_COLUMN,) if SEQUENCE_COLUMN in names else DNA_COLUMNS
    missing = [column for column in (*dna, "question", "answer") if column not in names]
    if script_args.generation_rows and missing:
        split = script_args.dataset_test_split
        raise ValueError(f"generation_rows needs the columns {', '.join(missing)} in {split}.")


def sample_rows(rows: Dataset, count: int, seed: int) -> Dataset:
    """So many rows, drawn by the seed, in their order: the first of a sorted table would all be of one kind.

    Of rows of several jobs so many of each.
    """
    jobs: dict[str | None, list[int]] = {}
    for place, job in enumerate(rows[JOB] if JOB in rows.column_names else [None] * len(rows)):
        jobs.setdefault(job, []).append(place)
    rng = random.Random(seed)
    return rows.select(sorted(place for each in jobs.values() for place in rng.sample(each, min(count, len(each)))))


def four_bits() -> BitsAndBytesConfig:
    """The language model in the 4-bit floats of QLoRA (arXiv 2305.14314), its constants quantized, too.

    Raises:
        ImportError: If bitsandbytes is not installed.
    """
    if not is_bitsandbytes_available():
        raise ImportError('load_in_4bit needs bitsandbytes: pip install "textgenome[quantization]".')
    # Computed in bfloat16 where the GPU can; a CPU computes in the type of the inputs.
    dtype = torch.bfloat16 if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else torch.float32
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=["model.dna_encoder", "model.projector", "model.dna_markers", "lm_head"],
    )


def load_model(model_args: ModelArguments) -> PreTrainedModel:
    trains_all = not (model_args.use_peft or model_args.freeze_language_model)
    model = AutoModelForMultimodalLM.from_pretrained(
        model_args.model_name_or_path,
        revision=model_args.model_revision,
        dtype="float32" if model_args.dtype == "auto" and trains_all else model_args.dtype,
        attn_implementation=model_args.attn_implementation,
        quantization_config=four_bits() if model_args.load_in_4bit else None,
        trust_remote_code=False,
    )
    if is_deepspeed_zero3_enabled():
        # Its loader keeps renamings that nothing was renamed by, and saving would apply them backwards.
        model._weight_conversions = []
    return model


def measure(trainer: Trainer, test_rows: Dataset | None, generation_rows: int, max_new_tokens: int, **more) -> None:
    """Save the loss on the test split and the accuracies of generated answers, as far as they were asked for.

    Args:
        trainer: That has trained, with its processor.
        test_rows: The rows of the test split.
        generation_rows: How many of them to answer.
        max_new_tokens: Most tokens of an answer.
        more: Further entries.
    """
    metrics = trainer.evaluate() if trainer.args.do_eval else {}
    if generation_rows:
        # Every process answers all rows: each holds only a part of a sharded model.
        rows, seed = sample_rows(test_rows, generation_rows, trainer.args.seed).to_list(), trainer.args.seed
        options = {"max_new_tokens": max_new_tokens, "seed": seed}
        texts = answer_controls(trainer.model, trainer.processing_class, rows, **options)
        accuracies = accuracies_of(texts, rows)
        metrics |= {f"accuracy_{name}": value for name, value in accuracies.items()}
        metrics["rows"] = len(rows)
        jobs = score_jobs(rows, {name: [{"output": text} for text in each] for name, each in texts.items()}, seed)
        metrics |= {f"{job}_{name}": value for job, each in jobs.items() for name, value in flat_metrics(each).items()}
        if trainer.is_world_process_zero():
            lines = [f"{CONDITIONS[name].title:<16}{value:.3f}" for name, value in accuracies.items()]
            print(
                "", f"{'held-out rows':<16}accuracy", *lines, "", *([format_jobs(jobs), ""] if jobs else []), sep="\n"
            )
    if metrics:
        trainer.save_metrics("eval", {**metrics, **more})


__all__ = ["load_model", "load_saved_processor", "load_splits", "measure", "pin_checkpoint", "sample_rows"]
