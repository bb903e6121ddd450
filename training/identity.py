"""What a training run is: all that another model would come out of, kept in its folder and compared at each start."""

import json
from dataclasses import asdict
from pathlib import Path

from transformers import TrainingArguments

from textgenome.configuration.arguments import EncoderArguments, RowArguments
from textgenome.data.settings import FRESH_START, SETTINGS, remember_settings
from textgenome.training.resuming import step_of_last_checkpoint


# What may change from one start to the next without another model coming out. Of the rows their content counts, not
# where they are read from.
FREE_SETTINGS = {
    *("dataset_name", "datasets", "dataset_train_split", "dataset_test_split", "on_bad_row"),
    *("attn_implementation", "generation_rows", "max_new_tokens", "baselines", "saved_examples"),
}
# The same of the trainer: all that it has beside these counts, so that a new setting of the library does, too.
FREE_TRAINER_PREFIXES = (
    *("output_dir", "logging_", "log_", "disable_tqdm", "report_to", "run_name", "project", "trackio_"),
    *("push_to_hub", "hub_", "save_", "enable_jit_checkpoint", "resume_from_checkpoint"),
    *("do_", "per_device_eval_batch_size", "eval_accumulation_steps", "eval_do_concat_batches"),
    *("eval_use_gather_object", "prediction_loss_only", "include_", "batch_eval_metrics", "bf16_full", "fp16_full"),
    *("use_cpu", "local_rank", "deepspeed", "fsdp", "parallelism_config", "ddp_", "debug", "skip_memory_metrics"),
    *("gradient_checkpointing", "activation_", "torch_empty_cache_steps", "cache_dna_features", "dna_cache_"),
    *("dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent", "dataloader_prefetch"),
    *("dataloader_multiprocessing", "dataset_num_proc"),
)
# Not free, though their beginning is: these decide what a run goes on with.
KEPT = {"save_only_model"}
KEPT_WITH_THE_BEST = {"save_strategy", "save_steps"}
DERIVED = {"data_fingerprint", "labels", "reasons", "weights"}  # which the scripts add
# An optimizer goes on with what its checkpoint holds, whatever the flags say.
OF_THE_OPTIMIZER = {
    *("learning_rate", "weight_decay", "optim", "optim_args"),
    *("adam_beta1", "adam_beta2", "adam_epsilon"),
}


def run_settings(script_args: RowArguments, model_args: EncoderArguments, training_args: TrainingArguments) -> dict:
    """All flags of a run but those of the trainer that do not change its result.

    Args:
        script_args: The rows.
        model_args: The model.
        training_args: The trainer.

    Raises:
        ValueError: If `allow_change` names a setting that there is not.
    """
    kept = KEPT | (KEPT_WITH_THE_BEST if training_args.load_best_model_at_end else set())
    trainer = json.loads(training_args.to_json_string())
    trainer = {n: v for n, v in trainer.items() if n in kept or not n.startswith(FREE_TRAINER_PREFIXES)}
    chosen = {**asdict(script_args), **asdict(model_args)}
    del chosen["allow_change"]
    devices = training_args.world_size * max(1, training_args.n_gpu)
    settings = {**chosen, **trainer, "devices": devices}
    unknown = sorted(set(script_args.allow_change) - (settings.keys() | DERIVED))
    if unknown:
        raise ValueError(
            f"allow_change {', '.join(unknown)}: there are no such settings, or they do not affect the result."
        )
    return settings


def remember_run(settings: dict, script_args: RowArguments, training_args: TrainingArguments) -> None:
    """Keep the settings of a run in its folder, by the main process.

    Args:
        settings: See `run_settings`, and perhaps more.
        script_args: With the names of settings that may change, `allow_change`.
        training_args: With the folder.

    Raises:
        ValueError: If the folder holds another run, or checkpoints of an unknown one; or if `allow_change` names a
            setting that a checkpoint decides.
    """
    if training_args.process_index:
        return
    folder, allowed = Path(training_args.output_dir), set(script_args.allow_change)
    step = step_of_last_checkpoint(folder)
    if step and not (folder / SETTINGS).exists():
        raise ValueError(f"{folder} holds checkpoints, but no {SETTINGS} that tells of which run. {FRESH_START}")
    if step and allowed & OF_THE_OPTIMIZER:
        names = ", ".join(sorted(allowed & OF_THE_OPTIMIZER))
        raise ValueError(
            f"allow_change {names}: the optimizer goes on with what checkpoint-{step} holds. To train with another, "
            "begin a new run with these weights as the model."
        )
    remember_settings(settings, folder, "training", FREE_SETTINGS, allowed, step)


__all__ = ["remember_run", "run_settings"]
