"""The model card: what the folder of a run tells about it, in the words of `model_card.md.jinja`."""

import html
import math
import re
from collections.abc import Iterable
from dataclasses import MISSING, fields
from importlib import metadata
from pathlib import Path

import yaml
from huggingface_hub import (
    EvalResult,
    EvalResultEntry,
    ModelCard,
    ModelCardData,
    eval_result_entries_to_yaml,
    model_info,
)
from huggingface_hub.errors import HTTPError
from jinja2 import Template
from safetensors import safe_open
from transformers import PreTrainedConfig
from transformers.utils import logging

from textgenome.configuration.arguments import DataArguments, ModelArguments
from textgenome.configuration.base_models import BASE_MODELS
from textgenome.data.built_in import BUILT_IN
from textgenome.data.files import read_json
from textgenome.data.rows import is_hub_id
from textgenome.inference.checkpoints import (
    Kind,
    fingerprint_weights,
    training_settings,
    without_path,
)


logger = logging.get_logger(__name__)


TEMPLATE = Path(__file__).parent / "model_card.md.jinja"
PARTS = Path(__file__).parent / "card_parts.md.jinja"
TAGS = ["custom_code", "textgenome", "dna", "genomics", "biology"]
NOT_KNOWN = "not known"
# What the Hub calls the metrics that go into `model-index`.
METRIC_TYPES = {
    "accuracy": "accuracy",
    "macro_f1": "f1",
    "mcc": "matthews_correlation",
    "auroc": "roc_auc",
    "auprc": "average_precision",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
    "r2": "r_squared",
}
NON_COMMERCIAL = re.compile(r"\bnc\b|non-?commercial", re.IGNORECASE)
# Of the trainer's settings, those that decide what comes out.
TRAINER_SETTINGS = (
    "max_steps",
    "num_train_epochs",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "learning_rate",
    "lr_scheduler_type",
    "lr_scheduler_kwargs",
    "warmup_steps",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "max_grad_norm",
    "optim",
    "bf16",
    "seed",
    # Of learning by reward.
    *("reward_weights", "num_generations", "num_iterations", "temperature", "beta", "epsilon", "loss_type"),
    "max_completion_length",
)
# The line of the card that says what to load.
SOURCE = re.compile(r"^name, revision = .*$", re.MULTILINE)


def write_card(
    folder: Path,
    checkpoint: Path,
    config: PreTrainedConfig,
    kind: Kind,
    name: str,
    base: str | None = None,
    metrics: Path | None = None,
) -> None:
    """Write `README.md`, and `.eval_results/` if the model was measured on a data set of the Hub.

    What is not known, the card says is not known; without `metrics.json` it says "not measured".

    Args:
        folder: An exported folder.
        checkpoint: What it was exported from, with what the training left in it.
        config: Configuration of the model.
        kind: Its kind.
        name: What to call the model.
        base: For an adapter, the repository of the base it was exported with.
        metrics: A `metrics.json`, by default that in `checkpoint/evaluation`.

    Raises:
        FileNotFoundError: If there is no such file as `metrics`.
        ValueError: If its figures are those of other weights.
    """
    settings, changes = trained_with(checkpoint)
    results = read_results(checkpoint, metrics)
    head, facts = origin(checkpoint, config, settings)
    if base:
        head |= {"base_model": [base], "base_model_relation": "adapter"}
    dataset = without_path(results.get("dataset_name"))
    evaluated = eval_results(results, dataset, kind.task)
    on_hub = is_hub_id(settings.get("dataset_name"))
    data = ModelCardData(
        model_name=name,
        library_name="peft" if base else "transformers",
        pipeline_tag=kind.pipeline_tag,
        language="en",
        **head,
        datasets=list(filter(is_hub_id, table_names(settings))) or None,
        metrics=sorted({result.metric_type for result in evaluated}) or None,
        tags=TAGS,
        eval_results=evaluated or None,
    )
    facts |= {
        "adapter_of": base,
        "parameters": count_parameters(folder),
        "on_hub": on_hub,
        "recipe": recipe(settings),
        "changes": changes,
        "training": read_json(checkpoint / "train_results.json") or {},
        "evaluated_on": as_text(dataset),
        "measured": measured_by_training(checkpoint),
        "files": sorted(path.name for path in folder.glob("*.py")),
    }
    facts |= {"settings": as_text(settings), "results": as_text(results), "training": as_text(facts["training"])}
    code = [facts["recipe"] or "", *(before for _, before in changes)]
    told = {"name": name, "config": config, "kind": kind, **facts, "fence": fence_of("".join(code))}
    ModelCard.from_template(data, template_path=TEMPLATE, **told).save(folder / "README.md")
    if evaluated and is_hub_id(results["dataset_name"]):
        write_eval_results(folder / ".eval_results" / "textgenome.yaml", results)


def trained_with(checkpoint: Path) -> tuple[dict, list[tuple[int, str]]]:
    """The settings that the weights were trained with in the end, and what others were until which step, as YAML.

    What was changed for a start that trained no step of these weights counts for nothing.
    """
    settings = training_settings(checkpoint)
    # Of runs that do not have those of the trainer among their settings.
    settings = {**(settings.pop("trainer", None) or {}), **settings}
    steps = (read_json(checkpoint / "train_results.json") or {}).get("train_steps", math.inf)
    if number := re.fullmatch(r"checkpoint-(\d+)", checkpoint.resolve().name):
        steps = int(number[1])
    changes = settings.pop("changes", [])
    while changes and changes[-1]["step"] >= steps:
        settings |= changes.pop()["before"]
    told = [(each["step"], as_yaml(each["before"])) for each in changes if each["step"]]
    return settings, told


def read_results(checkpoint: Path, metrics: Path | None) -> dict:
    """The figures of the checkpoint; none if what lies beside it was measured before it was trained again."""
    if metrics is not None and not metrics.exists():
        raise FileNotFoundError(f"There is no {metrics}. `textgenome evaluate` writes one.")
    path = metrics or checkpoint / "evaluation" / "metrics.json"
    results = read_json(path) or {}
    if results.get("weights") in (None, fingerprint_weights(str(checkpoint))):
        return results
    message = f"{path} was measured with other weights than those in {checkpoint}. Run `textgenome evaluate` again."
    if metrics is not None:
        raise ValueError(message)
    logger.warning(f"{message} The card says that it is not measured.")
    return {}


def measured_by_training(checkpoint: Path) -> dict | None:
    """What training measured of its weights with generated answers: `rows`, and `accuracies` by condition."""
    found = read_json(checkpoint / "eval_results.json") or {}
    rows = found.get("rows")
    names = {"accuracy_as_is": "unchanged rows", "accuracy_dna_exchanged": "DNA exchanged between rows"}
    names["accuracy_dna_removed"] = "DNA removed"
    accuracies = {title: found[name] for name, title in names.items() if isinstance(found.get(name), float)}
    return {"rows": rows if isinstance(rows, int) else None, "accuracies": accuracies} if accuracies else None


def set_source(readme: Path, name: str, revision: str | None) -> None:
    """Say in a card what its example is to load."""
    line = f'name, revision = "{name}", ' + (f'"{revision}"' if revision else "None")
    readme.write_text(SOURCE.sub(lambda _: line, readme.read_text(encoding="utf-8")), encoding="utf-8")


def check_name(name: str) -> None:
    """Raise ValueError for a name that would break the code, the metadata or the text of a card."""
    wrong = re.search(r"""[\\"'<>`\x00-\x1f\x7f\u0085\u2028\u2029]""", name)
    if wrong:
        raise ValueError(f"{name!r}: a model cannot have the character {wrong[0]!r} in its name. Name another folder.")


def as_text(value):
    """Values of a file that may be a stranger's, for Markdown: on one line, and without meaning as HTML or a table."""
    if isinstance(value, str):
        return html.escape(" ".join(value.split()), quote=False).replace("|", "&#124;")
    if isinstance(value, dict):
        return {as_text(key): as_text(each) for key, each in value.items()}
    return [as_text(each) for each in value] if isinstance(value, list) else value


def fence_of(code: str) -> str:
    """A fence for a block of code that nothing in it can close."""
    return "`" * max(3, 1 + max((len(run) for run in re.findall("`+", code)), default=0))


def origin(checkpoint: Path, config: PreTrainedConfig, settings: dict) -> tuple[dict, dict]:
    """For the head of a card the licence and the base models, and for `card_parts.md.jinja` what it tells of them.

    Where no settings are, as in a folder that was exported before, its card tells licence and base models.
    """
    readme, told = checkpoint / "README.md", ModelCardData()
    if not settings and readme.exists():
        told = ModelCard.load(readme, ignore_metadata_errors=True).data
    named = [told.base_model] if isinstance(told.base_model, str) else told.base_model or []
    bases = base_models(config, settings, named)
    names = [each["name"] for each in bases if "/" in each["name"]]  # that of a folder has none
    head = {**card_license(bases, settings), "base_model": names or None}
    if told.license:
        head |= {"license": told.license, "license_name": told.license_name}
    non_commercial = [each["name"] for each in bases if NON_COMMERCIAL.search(license_of(each))]
    return head, {
        "bases": as_text(bases),
        "non_commercial": as_text(non_commercial),
        "trained_on": as_text(trained_on(settings)),
        "version": metadata.version("textgenome"),
        "parts": Template(PARTS.read_text(encoding="utf-8")).module,
    }


def table_names(settings: dict) -> list[str]:
    """The tables that a model was trained on: files, folders, ids on the Hub, or names of built-in rows."""
    names = [table["path"] for table in settings.get("datasets") or []] or [settings.get("dataset_name")]
    return [name for name in names if name]


def trained_on(settings: dict) -> str | None:
    """Their names without paths; `starter` if all are built in."""
    names = table_names(settings)
    if names and all(name in BUILT_IN for name in names):
        return "starter"
    return ", ".join(map(without_path, names)) or None


def base_models(config: PreTrainedConfig, settings: dict, named: Iterable[str] = ()) -> list[dict[str, str]]:
    """Of the models that this one was made from the name, the revision and what `find_license` returns.

    There are none if it began with random weights.
    """
    keys = ("model_name_or_path", "text_model", "dna_model")
    revisions = dict.fromkeys([*named, *(settings[key] for key in keys if settings.get(key))])
    if settings.get("model_name_or_path"):
        revisions[settings["model_name_or_path"]] = settings.get("model_revision")
    revisions |= getattr(config, "base_models", None) or {}
    return [
        {
            "name": without_path(name),
            "revision": revision or NOT_KNOWN,
            **((is_hub_id(name) and find_license(name, revision)) or {"license": NOT_KNOWN}),
        }
        for name, revision in revisions.items()
    ]


def find_license(hub_id: str, revision: str | None = None) -> dict[str, str] | None:
    """The licence that a model's card on the Hub gives; if that is out of reach, what this package knows.

    Returns:
        `license`, for the Hub, and where that is `other`, `license_name`.
    """
    try:
        card = model_info(hub_id, revision=revision, timeout=10).card_data or {}
    except (HTTPError, OSError):
        card = {}
    if card.get("license") == "other" and card.get("license_name"):
        return {"license": "other", "license_name": card["license_name"]}
    license = card.get("license") if card.get("license") != "other" else None
    license = license or BASE_MODELS.get(hub_id, {}).get("license")
    return {"license": license} if license else None


def card_license(bases: list[dict[str, str]], settings: dict) -> dict[str, str]:
    """The licence of the card: the common one of the base models, a non-commercial one if there is any.

    Weights that began at random have that of this package; unknown ones have `unknown`.
    """
    if not bases:
        return {"license": "apache-2.0" if settings else "unknown"}
    licenses = {license_of(each): each for each in bases}
    binding = [name for name in licenses if NON_COMMERCIAL.search(name)] or [*licenses]
    if len(binding) == 1 and NOT_KNOWN not in binding:
        return {key: value for key, value in licenses[binding[0]].items() if key.startswith("license")}
    return {"license": "other", "license_name": "see-base-models"}


def license_of(base: dict[str, str]) -> str:
    return base.get("license_name") or base["license"]


def recipe(settings: dict) -> str | None:
    """The settings that are not at their default, and the trainer's, as a recipe for the script that trained."""
    chosen = {}
    for each in (*fields(DataArguments), *fields(ModelArguments)):
        default = each.default if each.default_factory is MISSING else each.default_factory()
        if settings.get(each.name, default) != default:
            chosen[each.name] = settings[each.name]
    chosen |= {"rewards": settings["rewards"]} if "rewards" in settings else {}
    chosen |= {name: settings[name] for name in TRAINER_SETTINGS if settings.get(name) not in (None, {}, "")}
    if "max_steps" in chosen:
        chosen.pop("num_train_epochs" if chosen["max_steps"] > 0 else "max_steps", None)
    return as_yaml(chosen) if chosen else None


def as_yaml(settings: dict) -> str:
    """Settings as lines of a recipe, without what says something about this machine."""
    named = ("dataset_name", "model_name_or_path", "text_model", "dna_model", "dna_tokenizer")
    names = {name: without_path(settings[name]) for name in named if name in settings}
    if settings.get("datasets"):
        names["datasets"] = [{**table, "path": without_path(table["path"])} for table in settings["datasets"]]
    return yaml.safe_dump({**settings, **names}, sort_keys=False).strip()


def eval_results(results: dict, dataset: str, task: str) -> list[EvalResult]:
    """What goes into `model-index`: the figures of the model on the unchanged rows."""
    scores = results.get("conditions", {}).get("as_is")
    if scores is None:
        return []
    common = {
        "task_type": task,
        "dataset_type": dataset,
        "dataset_name": dataset,
        "dataset_split": results["split"],
    }
    metrics = results.get("metrics", {})
    return [
        EvalResult(
            **common,
            metric_type=METRIC_TYPES.get(name, name),
            metric_name=metrics[name]["title"],
            metric_value=scores[name],
        )
        for name in metrics
        if (name in METRIC_TYPES or name == results["metric"]) and scores.get(name) is not None
    ]


def write_eval_results(path: Path, results: dict) -> None:
    name, scores = results["metric"], results["conditions"]["as_is"]
    rows = f"{scores.get('rows') or scores['units']} {results['unit']}s"
    entry = EvalResultEntry(
        dataset_id=results["dataset_name"],
        task_id="default",
        value=scores[name],
        date=results["date"],
        notes=f"{results['metrics'][name]['title']} on {rows} of the split {results['split']}",
    )
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False), encoding="utf-8")


def count_parameters(folder: Path) -> int:
    """How many numbers the safetensors in a folder hold."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            total += sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())
    return total


__all__ = ["find_license", "set_source", "write_card"]
