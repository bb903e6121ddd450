r"""Train a fused model by reward: it answers, and what leads to right answers that need the DNA becomes likelier.

Example run, on the built-in starter data, from a model whose training was stopped early:

    textgenome sft --config starter --max_steps 120 \
        --lr_scheduler_type constant_with_warmup --lr_scheduler_kwargs '{}' \
        --output_dir outputs/starter_early
    textgenome grpo --config starter

It is TRL's GRPOTrainer (group relative policy optimization, arXiv 2402.03300) with the DNA handed through. The model
to start from is a fused one that answers some rows right already, or an adapter of one, which is trained further.
--config takes a file or the name of a recipe of the package: starter. Every line of a recipe is also a flag, and flags
win. The same command resumes a run that was stopped, at the last answers that were drawn. Research use only, not for
diagnosis.
"""

from collections.abc import Sequence
from dataclasses import replace

from datasets import Dataset
from peft import PeftConfig, PeftModel
from transformers import PreTrainedModel

from textgenome import TextGenomeProcessor
from textgenome.configuration.grpo_arguments import GRPOArguments, GRPOModelArguments, GRPOTrainingArguments
from textgenome.data.locks import Lock
from textgenome.data.prompts import check_options, reading_options
from textgenome.data.rows import fingerprint_rows
from textgenome.inference.asking import open_fused
from textgenome.inference.checkpoints import check_models, fingerprint_weights
from textgenome.training.figures import save_figures
from textgenome.training.finetuning import prepare_model
from textgenome.training.fused import load_model, load_saved_processor, load_splits, measure, pin_checkpoint
from textgenome.training.grpo_trainer import TextGenomeGRPOTrainer
from textgenome.training.identity import remember_run, run_settings
from textgenome.training.precision import KeepFloat32
from textgenome.training.resuming import train_or_resume
from textgenome.training.reward_rows import as_prompts
from textgenome.training.rewards import FUNCTIONS
from textgenome.training.scripts import parse_arguments, run_locked


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the script with these flags, by default those of the command line."""
    run(*parse_arguments((GRPOArguments, GRPOTrainingArguments, GRPOModelArguments), "grpo", __doc__, argv, prog))


def run(script_args: GRPOArguments, training_args: GRPOTrainingArguments, model_args: GRPOModelArguments) -> None:
    """Train, measure and push; or go on with a run that was stopped, in its output folder."""
    run_locked(train, script_args, training_args, model_args)


def train(
    script_args: GRPOArguments,
    training_args: GRPOTrainingArguments,
    model_args: GRPOModelArguments,
    lock: Lock | None,
) -> TextGenomeGRPOTrainer:
    """Train and measure, in an output folder that is locked."""
    check_models(model_args.base_models)
    pin_checkpoint(script_args, model_args)
    open_fused(model_args.model_name_or_path, model_args.model_revision)
    processor = load_saved_processor(model_args)
    processor.dna_window = script_args.dna_window
    rows, test_rows = load_splits(script_args, training_args, **check_options(processor))
    settings = run_settings(script_args, model_args, training_args)
    settings["data_fingerprint"] = fingerprint_rows(rows)
    remember_run(settings, script_args, training_args)
    weights = {"weights": fingerprint_weights(model_args.model_name_or_path)}
    remember_run(weights, script_args, training_args)
    trainer = build_trainer(processor, rows, test_rows, script_args, training_args, model_args)
    result = train_or_resume(trainer, lock)
    save_figures(trainer, result, dna=processor.dna)
    measure(trainer, test_rows, script_args.generation_rows, training_args.max_completion_length, dna=processor.dna)
    return trainer


def load_policy(model_args: GRPOModelArguments) -> PreTrainedModel | PeftModel:
    """The model that answers and learns; of an adapter its base with the adapter, which is trained further."""
    name, revision = model_args.model_name_or_path, model_args.model_revision
    if not open_fused(name, revision).is_adapter:
        return load_model(model_args)
    adapter = PeftConfig.from_pretrained(name, revision=revision)
    base = replace(
        model_args,
        model_name_or_path=adapter.base_model_name_or_path,
        model_revision=adapter.revision or "main",
    )
    model = load_model(base)
    prepare_model(model, base)
    return PeftModel.from_pretrained(model, name, revision=revision, is_trainable=True)


def build_trainer(
    processor: TextGenomeProcessor,
    rows: Dataset,
    test_rows: Dataset | None,
    script_args: GRPOArguments,
    training_args: GRPOTrainingArguments,
    model_args: GRPOModelArguments,
) -> TextGenomeGRPOTrainer:
    """Freeze what is not to be trained, put LoRA on what it is to adapt, and make the trainer."""
    model, peft_config = load_policy(model_args), None
    if not isinstance(model, PeftModel):
        peft_config = prepare_model(model, model_args)
    reading = reading_options(processor)
    del reading["dna_window"]  # the processor cuts the windows
    trainer = TextGenomeGRPOTrainer(
        model=model,
        args=training_args,
        reward_funcs=[FUNCTIONS[name] for name in script_args.rewards],
        train_dataset=as_prompts(rows, training_args.seed, **reading),
        eval_dataset=as_prompts(test_rows, training_args.seed, **reading) if training_args.do_eval else None,
        processing_class=processor,
        peft_config=peft_config,
    )
    trainer.add_callback(KeepFloat32(trainer))
    return trainer


if __name__ == "__main__":
    main()
