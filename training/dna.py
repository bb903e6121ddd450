"""Train a model of DNA alone: a DNA encoder with a head, without a language model.

Example run, on the built-in starter data, a few minutes on two cores:

    textgenome dna --config starter

On your own table, with a recipe for a GPU and the encoder that it takes:

    textgenome dna --config kegg --dna_model BGI-HangzhouAI/Genos-1.2B --dataset_name my.csv

The task `classification` learns classes, labels or values. Its table has the column sequence, or reference_sequence
and variant_sequence; and label or answer. A task of GUE is such a table:

    textgenome dna --config gue --dataset_name FOLDER

The task `annotation` labels the bases of a genome:

    textgenome dna --config starter_annotation --fasta g.fa --gtf g.gtf --labels CDS,exon

--config takes a file, or the name of a recipe of the package, such as starter, gue, probe or kegg. Every line of a
recipe is also a flag, and flags win. The same command resumes a run that was stopped: SIGTERM saves a checkpoint
first, SIGKILL loses what came after the last one. A finished run is only evaluated again; for a fresh start remove the
output folder or name another. Research use only, not for diagnosis.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from peft import get_peft_model
from torch.utils.data import Sampler
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback
from transformers.integrations import is_deepspeed_zero3_enabled
from transformers.training_args import ParallelMode

from textgenome import TextGenomeDNAProcessor
from textgenome.configuration.dna_arguments import DNAArguments, DNAModelArguments, DNATrainingArguments
from textgenome.data.files import written_whole
from textgenome.data.locks import Lock
from textgenome.inference.checkpoints import check_models, fingerprint_weights
from textgenome.inference.feature_cache import CacheDNAFeatures
from textgenome.training import annotation, classification, expression, tracks
from textgenome.training.clock import ClockMixin
from textgenome.training.figures import save_figures
from textgenome.training.finetuning import lora_on_encoder, prepare_dna_encoder, synchronize_batch_norms
from textgenome.training.identity import remember_run, run_settings
from textgenome.training.jobs import Job
from textgenome.training.precision import KeepFloat32
from textgenome.training.resuming import ResumesMixin, train_or_resume
from textgenome.training.scripts import parse_arguments, run_locked


ARGUMENTS = (DNAArguments, DNATrainingArguments, DNAModelArguments)
TASKS = {
    "annotation": annotation.prepare,
    "classification": classification.prepare,
    "expression": expression.prepare,
    "tracks": tracks.prepare,
}


class DNATrainer(ClockMixin, ResumesMixin, Trainer):
    """The trainer of models of the DNA family. It logs `bases_per_second`, those of all devices since the last log.

    Args:
        sampler: See `Job`.
    """

    def __init__(self, *args, sampler: Callable[[Trainer], Sampler] | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.sampler = sampler
        self.bases, self.all_bases, self.all_seconds = 0, 0, 0.0

    def _get_train_sampler(self, train_dataset=None):
        return self.sampler(self) if self.sampler else super()._get_train_sampler(train_dataset)

    def training_step(self, model, inputs, *args, **kwargs):
        if "dna_spans" in inputs:
            self.bases = self.bases + inputs["dna_spans"].sum()
        return super().training_step(model, inputs, *args, **kwargs)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        self.stop_clock()
        if "loss" in logs and isinstance(self.bases, torch.Tensor):
            bases, seconds = int(self.accelerator.reduce(self.bases)), self.seconds
            logs["bases_per_second"] = round(bases / seconds)
            self.all_bases, self.all_seconds = self.all_bases + bases, self.all_seconds + seconds
            self.bases, self.seconds = 0, 0.0
        super().log(logs, start_time)

    @property
    def speed(self) -> dict[str, int]:
        """What is known of the speed since this start of the run, for `save_figures`."""
        return {"train_bases_per_second": round(self.all_bases / self.all_seconds)} if self.all_bases else {}


class SaveProcessor(TrainerCallback):
    """Put the processor into every checkpoint. The trainer itself takes only one with a text tokenizer."""

    def __init__(self, processor: TextGenomeDNAProcessor):
        self.processor = processor

    def on_save(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            self.processor.save_pretrained(Path(args.output_dir) / f"checkpoint-{state.global_step}")


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the script with these flags, by default those of the command line."""
    run(*parse_arguments(ARGUMENTS, "dna", __doc__, argv, prog))


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
    if script_args.saved_examples and script_args.task != "classification":
        raise ValueError(f"saved_examples: only for tables of sequences, not for the task {script_args.task}.")
    job = TASKS[script_args.task](script_args, training_args, model_args)
    settings = run_settings(script_args, model_args, training_args) | job.settings
    started_from = model_args.model_name_or_path or model_args.dna_model
    settings["weights"] = started_from and fingerprint_weights(started_from)
    remember_run(settings, script_args, training_args)
    prepare_dna_encoder(job.model.model, model_args)
    if training_args.parallel_mode == ParallelMode.DISTRIBUTED and training_args.device.type == "cuda":
        synchronize_batch_norms(job.model)
    if model_args.lora_dna_encoder:
        add_lora(job, training_args, model_args)
    trainer = build_trainer(job, training_args)
    result = train_or_resume(trainer, lock)
    if trainer.is_world_process_zero():
        job.processor.save_pretrained(training_args.output_dir)
    save_figures(trainer, result, **trainer.speed)
    if job.measure:
        job.measure(trainer)
    return trainer


def add_lora(job: Job, training_args: DNATrainingArguments, model_args: DNAModelArguments) -> None:
    """Put LoRA on the encoder. The model without it is kept in the folder `base`, which the adapter refers to."""
    folder = (Path(training_args.output_dir) / "base").resolve()  # from anywhere
    with training_args.main_process_first(local=False, desc="saving the base model"):
        if not folder.exists():
            with written_whole(folder) as unfinished:
                job.model.save_pretrained(unfinished)
                job.processor.save_pretrained(unfinished)
    job.model.name_or_path = str(folder)
    job.model = get_peft_model(job.model, lora_on_encoder(job.model, model_args))


def build_trainer(job: Job, training_args: DNATrainingArguments) -> DNATrainer:
    callbacks = [SaveProcessor(job.processor)]
    if training_args.early_stopping_patience:
        callbacks.append(EarlyStoppingCallback(training_args.early_stopping_patience))
    trainer = DNATrainer(
        model=job.model,
        args=training_args,
        train_dataset=job.train_rows,
        eval_dataset=job.eval_rows,
        data_collator=job.collator,
        compute_metrics=job.compute_metrics,
        callbacks=callbacks,
        sampler=job.sampler,
    )
    trainer.add_callback(KeepFloat32(trainer))
    if keeps_features(job, trainer):
        folder = training_args.dna_cache_dir or Path(training_args.output_dir) / "dna_features"
        trainer.add_callback(CacheDNAFeatures(trainer.model, folder, training_args.dna_cache_gb * 1e9))
    return trainer


def keeps_features(job: Job, trainer: DNATrainer) -> bool:
    """Whether to keep what the encoder makes of windows: if it is frozen, whole on each device, and rereads them."""
    if not job.rereads_windows or not trainer.args.dna_cache_gb or job.model.base_model.trains_dna_encoder:
        return False
    return not (is_deepspeed_zero3_enabled() or trainer.is_fsdp_enabled)


if __name__ == "__main__":
    main()
