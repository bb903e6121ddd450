"""What the two training scripts share: reading settings, the first lines and the last."""

import os
import sys
from argparse import ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import yaml
from transformers import Trainer, TrainingArguments, set_seed
from transformers.utils import logging
from trl import TrlParser

from textgenome.configuration.arguments import EncoderArguments, RowArguments
from textgenome.configuration.recipe_paths import RECIPES, find_recipe
from textgenome.data.locks import Lock, locked
from textgenome.data.tables import table_format
from textgenome.training.pushing import push_trained, take_over_push


STARTER = "starter"  # the built-in rows
# Of a recipe: with these it could send the model, and the login with it, to anywhere.
REFUSED = {
    "env": "Set variables of the environment in the shell.",
    "hub_token": "Log in by `hf auth login`, or set HF_TOKEN.",
}


class HelpFormatter(RawDescriptionHelpFormatter, ArgumentDefaultsHelpFormatter):
    """Shows defaults, and the lines of a description as they are."""


class RecipeParser(TrlParser):
    """Reads flags and a recipe, of which lines may be left out."""

    left_out: frozenset[str] | set[str] = frozenset()

    def set_defaults_with_config(self, **settings) -> list[str]:
        kept = {name: value for name, value in settings.items() if name not in self.left_out}
        return super().set_defaults_with_config(**kept)


def parse_arguments(
    kinds: Sequence[type], script: str, description: str, argv: Sequence[str] | None = None, prog: str | None = None
) -> tuple[RowArguments, TrainingArguments, EncoderArguments]:
    """Read flags and the recipe that `--config` names.

    Args:
        kinds: Classes of the settings: of the rows, the trainer and the model.
        script: `sft`, `dna` or `grpo`: whose recipes `--config` knows by name.
        description: For `--help`.
        argv: The flags, by default those of the command line.
        prog: What `--help` calls the script.

    Raises:
        FileNotFoundError: If there is no such recipe.
        ValueError: If settings do not fit together, or are none that a recipe may have.
    """
    argv, recipe, path = list(sys.argv[1:] if argv is None else argv), {}, None
    usage = "%(prog)s --config RECIPE [--FLAG VALUE ...]"  # there are too many to name them twice
    parser = RecipeParser(kinds, description=description, prog=prog, usage=usage, formatter_class=HelpFormatter)
    if "--config" in argv:
        place = argv.index("--config") + 1
        if place == len(argv):
            parser.error("argument --config: expected a file or the name of a recipe")
        path = find_recipe(argv[place], script)
        argv[place], recipe = str(path), read_recipe(path)
    flags = {word.split("=")[0] for word in argv}
    if script == "dna" and flags & {"--dna_model", "--model_name_or_path"} and "--dna_config" not in flags:
        argv += ["--dna_config", "null"]  # a model that is named takes the place of what a recipe builds
    # Rows that are named take the place of those of a recipe.
    if "--datasets" in flags:
        parser.left_out = {"dataset_name", "question", "columns"}
    elif "--dataset_name" in flags:
        parser.left_out = {"datasets"}
    parser.set_defaults(output_dir="")  # in place of transformers' default, which is one for all runs
    script_args, training_args, model_args = parser.parse_args_and_config(argv)
    if script == "dna" and "--test_contigs" in flags and path and RECIPES in path.parents:
        # Contigs that are named take the place of the regions of our recipes, which are those of another genome.
        for name in {"--regions", "--test_regions"} - flags:
            setattr(script_args, name.removeprefix("--"), None)
    other_rows = recipe.get("dataset_name") == STARTER != script_args.dataset_name
    other_rows |= "datasets" in recipe and bool(flags & {"--datasets", "--dataset_name"})
    if other_rows and "--output_dir" not in argv:
        training_args.output_dir = ""  # that of the recipe is for the built-in rows
    if "--saved_examples" not in flags and hasattr(script_args, "saved_examples"):
        # Our recipes save built-in rows, which are nobody's DNA, if the test split is read.
        reads_test = training_args.do_eval or getattr(script_args, "generation_rows", 0)
        if other_rows or (path and RECIPES in path.parents and not reads_test):
            script_args.saved_examples = 0
    training_args.output_dir = training_args.output_dir or name_output_dir(script_args, model_args)
    return script_args, training_args, model_args


def read_recipe(path: Path) -> dict:
    """The settings of a recipe, if it does no more than settings of a run can: it may be a stranger's.

    Raises:
        ValueError: If it is not a mapping in YAML, or sets variables of the environment or the login.
    """
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(recipe, dict):
        raise ValueError(f"{path} is not a recipe: it must have lines `setting: value`.")
    for name in REFUSED.keys() & recipe.keys():
        raise ValueError(f"{path} sets {name}, which no recipe may. {REFUSED[name]}")
    return recipe


def name_output_dir(script_args: RowArguments, model_args: EncoderArguments) -> str:
    """A folder named after the rows, or the task, and the models, such as `outputs/kegg_qwen3-4b_genos-1.2b`."""
    name = script_args.dataset_name or getattr(script_args, "task", None)
    name = name or "-".join(table.name for table in script_args.datasets)
    rows, *models = (Path(name).resolve() for name in (name, *model_args.base_models))
    ending = table_format(rows)
    name = rows.name[: rows.name.lower().rindex(ending)] if ending else rows.name
    return os.path.join("outputs", "_".join([name, *(model.name.lower() for model in models)]))


def run_locked(
    train: Callable[..., Trainer],
    script_args: RowArguments,
    training_args: TrainingArguments,
    model_args: EncoderArguments,
) -> None:
    """Set up, train in an output folder that is locked, and push.

    Args:
        train: The part of a script that trains and measures. It also gets the lock of the folder.
        script_args: For `train`, like the following.
        training_args: The trainer.
        model_args: The model.
    """
    pushes = begin_run(training_args)
    with lock_run(training_args) as lock:
        trainer = train(script_args, training_args, model_args, lock)
    end_run(trainer, pushes)


def begin_run(training_args: TrainingArguments) -> bool:
    """Set up logging and seeds. Returns whether to push the model at the end.

    Raises:
        ValueError: If the run is to go on with a checkpoint of another one.
    """
    logging.set_verbosity(training_args.get_process_log_level())
    set_seed(training_args.seed)
    checkpoint, folder = training_args.resume_from_checkpoint, Path(training_args.output_dir)
    if checkpoint and Path(checkpoint).resolve().parent != folder.resolve():
        raise ValueError(
            f"resume_from_checkpoint: {checkpoint} is not a checkpoint in {folder}. A run goes on in its own folder; "
            "a new one begins with the weights of another as its model."
        )
    return take_over_push(training_args)


def lock_run(training_args: TrainingArguments) -> AbstractContextManager[Lock | None]:
    """The lock of the output folder, which the main process holds for all of the run."""
    return nullcontext() if training_args.process_index else locked(Path(training_args.output_dir))


def end_run(trainer: Trainer, pushes: bool) -> None:
    """Leave the other processes, and push the model if it was asked for."""
    trainer.accelerator.wait_for_everyone()  # one that leaves while another still writes may be aborted
    trainer.end()
    if pushes and trainer.args.process_index == 0:
        push_trained(trainer.args)


__all__ = [
    "name_output_dir",
    "parse_arguments",
    "run_locked",
]
