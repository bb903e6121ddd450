"""Export: a flat folder that `Auto*.from_pretrained(..., trust_remote_code=True)` loads without this package."""

import re
import shutil
from pathlib import Path

from huggingface_hub import constants, snapshot_download
from transformers import PreTrainedModel, ProcessorMixin

from textgenome.configuration.configuration_remote_code import is_packaged, remote_sources
from textgenome.data.expression_rows import GENES_FILE
from textgenome.data.files import read_json, write_json, written_whole
from textgenome.data.rows import is_hub_id
from textgenome.hub_card.card import SOURCE, check_name, set_source, write_card
from textgenome.hub_card.probe import load
from textgenome.inference.checkpoints import (
    KINDS,
    find_kind,
    open_checkpoint,
    pin_revision,
    training_settings,
)
from textgenome.modeling_dna_encoder import DNA_ENCODERS


ADAPTER_WEIGHTS = "adapter_model.safetensors"
README = "README.md"
EVAL_RESULTS = ".eval_results/textgenome.yaml"
# What an export holds beside code. Nothing else is read from a repository.
FILES = [
    "model.safetensors",
    "model-*.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
    ADAPTER_WEIGHTS,
    "adapter_config.json",
    GENES_FILE,
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "dna_tokenizer/*.json",
    README,
    EVAL_RESULTS,
]
_COMMIT = re.compile(r"[0-9a-f]{40}")


def export_checkpoint(
    checkpoint: str | Path,
    folder: str | Path,
    revision: str | None = None,
    merge: bool = True,
    base: str | None = None,
    base_revision: str | None = None,
    metrics: Path | None = None,
    name: str | None = None,
) -> Path:
    """Export what a training run left, or any other checkpoint, with a model card.

    Args:
        checkpoint: Folder or repository of a model or an adapter. One that was exported before keeps its card; its
            code is written anew.
        folder: Where to. Must not be there.
        revision: Of a repository.
        merge: Whether to fold an adapter into its base. Without, it goes alone.
        base: For an adapter that goes alone, the repository of its base; by default the one it was trained on.
        base_revision: Branch, tag or commit of `base`.
        metrics: See `write_card`.
        name: What the card calls the model, by default as the folder.

    Raises:
        FileExistsError: If `folder` is there.
        FileNotFoundError: If `checkpoint` holds no safetensors, or the base of an adapter is not there.
        ValueError: If options and checkpoint do not fit (see `check_options`), or `checkpoint` holds links or code
            of others.
    """
    folder = Path(folder)
    check_name(name or folder.name)
    source = fetch(str(checkpoint), revision)
    described = open_checkpoint(source)
    goes_alone = described.is_adapter and not merge
    keeps_card = has_card(source) and not (described.is_adapter and merge)
    check_options(checkpoint, described.is_adapter, merge, keeps_card, base, base_revision, metrics)
    with written_whole(folder) as unfinished:
        if goes_alone:
            pinned = pin_base(source, base, base_revision)
            export_adapter(source, described.processor, unfinished, *pinned)
        else:
            export(*load_merged(source), unfinished)
        copy_files(source, unfinished, [GENES_FILE])
        refuse_foreign_code(source, unfinished)
        if keeps_card:
            copy_files(source, unfinished, [README, EVAL_RESULTS])
        else:
            base = (read_json(unfinished / "adapter_config.json") or {}).get("base_model_name_or_path")
            config, kind = described.config, described.kind
            write_card(unfinished, source, config, kind, name or folder.name, base=base, metrics=metrics)
        set_source(unfinished / README, name or folder.name, None)
    return folder


def check_options(
    checkpoint: str | Path,
    is_adapter: bool,
    merge: bool,
    keeps_card: bool,
    base: str | None,
    base_revision: str | None,
    metrics: Path | None,
) -> None:
    """Raise ValueError for options of `export_checkpoint` that do not fit the checkpoint."""
    if not merge and not is_adapter:
        raise ValueError(f"{checkpoint} is not an adapter: it has no {ADAPTER_WEIGHTS}.")
    if merge and (base or base_revision):
        raise ValueError("--base and --base_revision are for an adapter that goes alone, by --adapter.")
    if keeps_card and (metrics or base):
        raise ValueError(
            f"{checkpoint} was exported before and keeps its card and its base: it takes no --metrics and no --base. "
            "Export the training run again, or change README.md by hand."
        )


def copy_files(source: Path, folder: Path, patterns: list[str]) -> None:
    for path in [path for pattern in patterns for path in source.glob(pattern)]:
        (folder / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / path.relative_to(source))


def has_card(folder: Path) -> bool:
    """Whether there is a card to keep: one of ours, or what somebody wrote about a model outside of a training run."""
    readme = folder / README
    if not readme.exists():
        return False
    by_hand = (folder / "config.json").exists() and not training_settings(folder)
    return by_hand or SOURCE.search(readme.read_text(encoding="utf-8")) is not None


def refuse_foreign_code(source: Path, exported: Path) -> None:
    """Raise ValueError if a folder names, or brings in place of ours, code that this version does not write.

    Nothing of it was run or copied. But whoever made the folder meant other code to run than what would go out.
    """
    configs = [read_json(source / name) or {} for name in ("config.json", "processor_config.json")]
    named = {each.partition(".")[0] for config in configs for each in (config.get("auto_map") or {}).values()}
    named |= {path.stem for path in exported.glob("*.py")}
    foreign = [
        path.name
        for path in sorted(source.glob("*.py"))
        if path.stem in named
        and (not (exported / path.name).exists() or (exported / path.name).read_bytes() != path.read_bytes())
    ]
    if foreign:
        raise ValueError(
            f"{source} holds code that this version of textgenome does not write: {', '.join(foreign)}. If it is of "
            "another version and you trust the weights, remove these files: the export writes its own."
        )


def remote_files() -> list[str]:
    """Names of all files of code that any export may hold."""
    classes = [each for kind in KINDS for each in (kind.model_class, kind.model_class.config_class)]
    classes += [kind.processor_class for kind in KINDS]
    classes += [each for encoder in DNA_ENCODERS for each in (encoder, encoder.config_class)]
    return [f"{module}.py" for module in remote_sources(*(each for each in classes if is_packaged(each)))]


def pin_base(adapter: Path, base: str | None, revision: str | None) -> tuple[str, str]:
    """Repository and commit of an adapter's base, where anybody can load it from."""
    if base is None:
        config = read_json(adapter / "adapter_config.json")
        base, revision = config["base_model_name_or_path"], config.get("revision")
    if not is_hub_id(base):
        raise ValueError(
            f"{adapter} is an adapter of {base}, which is on this machine only. Push that first, and name the "
            "repository by --base; or merge the two by --merge."
        )
    return base, revision if _COMMIT.fullmatch(revision or "") else pin_revision(base, revision)


def fetch(name: str, revision: str | None = None) -> Path:
    """The folder of a checkpoint: a local one, or a download of what is safe of a repository, which code is not.

    Raises:
        FileNotFoundError: If there are no safetensors in it.
        OSError: If there is no such folder or repository.
        ValueError: If a file in it is a link to somewhere else.
    """
    folder = Path(name)
    if folder.is_dir():
        refuse_links(folder)
    else:
        folder = Path(snapshot_download(name, revision=pin_revision(name, revision), allow_patterns=FILES))
    if not [path for path in folder.glob("*.safetensors") if path.name != GENES_FILE]:
        others = [path.name for path in sorted(folder.glob("*")) if path.suffix in (".bin", ".pt", ".pth", ".ckpt")]
        found = f", only {', '.join(others)}, which would have to be unpickled" if others else ""
        raise FileNotFoundError(f"{name} holds no weights in safetensors{found}. Save the model in safetensors first.")
    return folder


def refuse_links(folder: Path) -> None:
    """Raise ValueError if a file that an export reads lies elsewhere: a link could send out any file of this machine.

    The cache of the Hub is made of links, which lead to its own files.
    """
    homes = (folder.resolve(), Path(constants.HF_HUB_CACHE).resolve())
    paths = {path for pattern in ["*.py", "*.json", "*.jinja", *FILES] for path in folder.glob(pattern)}
    for path in sorted(paths):
        if not any(path.resolve().is_relative_to(home) for home in homes) or not path.is_file():
            raise ValueError(f"{path} is not a file of this folder: it leads to another place. Remove it.")


def load_merged(folder: Path) -> tuple[PreTrainedModel, ProcessorMixin]:
    """Model and processor in a folder. Of an adapter, its base with the adapter folded in."""
    checkpoint = open_checkpoint(folder)
    model, processor = load(folder, None, checkpoint.kind.auto_class, checkpoint.is_adapter)
    return (model.merge_and_unload(safe_merge=True) if checkpoint.is_adapter else model), processor


def export(model: PreTrainedModel, processor: ProcessorMixin, folder: str | Path) -> Path:
    """Write weights, configuration, processor and code.

    Args:
        model: A model of this package, adapters merged.
        processor: Its processor.
        folder: Where to. Created if it is not there.

    Raises:
        ValueError: If it is not a model of this package.
    """
    folder = Path(folder)
    find_kind(type(model).__name__)
    for part in model.config.sub_configs:
        getattr(model.config, part)._name_or_path = ""  # may be a path of this machine
    model.save_pretrained(folder)
    save_processor(processor, folder)
    return folder


def export_adapter(checkpoint: Path, processor: ProcessorMixin, folder: Path, base: str, commit: str) -> None:
    """Write an adapter alone, its processor and the code of that; it knows its base by repository and commit."""
    pinned = {"base_model_name_or_path": base, "revision": commit}
    write_json(folder / "adapter_config.json", {**read_json(checkpoint / "adapter_config.json"), **pinned})
    shutil.copyfile(checkpoint / ADAPTER_WEIGHTS, folder / ADAPTER_WEIGHTS)
    save_processor(processor, folder)


def save_processor(processor: ProcessorMixin, folder: Path) -> None:
    processor.save_pretrained(folder)
    for path in folder.glob("**/tokenizer_config.json"):
        tokenizer = read_json(path)
        tokenizer.pop("auto_map", None)  # of a repository; the tokenizers here need no code
        write_json(path, tokenizer)


__all__ = ["export", "export_checkpoint"]
