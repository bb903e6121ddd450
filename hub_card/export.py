"""Export: a flat folder that `Auto*.from_pretrained(..., trust_remote_code=True)` loads without this package."""

import inspect
import re
import shutil
import sys
from pathlib import Path

from huggingface_hub import snapshot_download
from transformers import AutoProcessor, PreTrainedModel, ProcessorMixin

from textgenome.data.files import read_json, write_json, written_whole
from textgenome.hub_card.card import SOURCE, set_source, write_card
from textgenome.hub_card.probe import load
from textgenome.inference.checkpoints import (
    KINDS,
    NOTICE_MODULE,
    find_kind,
    is_hub_id,
    open_checkpoint,
    pin_revision,
    set_auto_map,
)
from textgenome.modeling_dna_encoder import DNA_ENCODERS


ADAPTER_WEIGHTS = "adapter_model.safetensors"
README = "README.md"
EVAL_RESULTS = ".eval_results/textgenome.yaml"
# What an export holds beside code. Nothing else is taken from a repository or a folder that was exported before.
FILES = [
    "model.safetensors",
    "model-*.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
    ADAPTER_WEIGHTS,
    "adapter_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "dna_tokenizer/*.json",
    README,
    EVAL_RESULTS,
]
_PACKAGE_IMPORT = re.compile(r"^from textgenome(?:\.\w+)*\.(\w+) import ", re.MULTILINE)
_PACKAGE_MODULE = re.compile(r"^from (textgenome[\w.]*) import ", re.MULTILINE)


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
        checkpoint: Folder or repository of a model or an adapter. A folder that was exported before is copied, card
            and all; of a repository the card is kept, but not the code.
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
        ValueError: If it is no adapter but to go as one, if `base` is given for what does not go as an adapter, if the
            base of an adapter is in no repository, or if what keeps its card is to get metrics or a base.
    """
    local = Path(checkpoint).is_dir()
    source, folder = fetch(str(checkpoint), revision), Path(folder)
    described = open_checkpoint(source)
    adapter = described.is_adapter
    if not merge and not adapter:
        raise ValueError(f"{checkpoint} is no adapter: it has no {ADAPTER_WEIGHTS}.")
    if merge and (base or base_revision):
        raise ValueError("--base and --base_revision are for an adapter that goes alone, by --adapter.")
    exported = local and is_exported(source) and not (adapter and merge)
    keeps_card = has_card(source, exported) and not (adapter and merge)
    if keeps_card and (metrics or base):
        raise ValueError(
            f"{checkpoint} was exported before and keeps its card and its base: it takes no --metrics and no --base. "
            "Export the training run again, or change README.md by hand."
        )
    with written_whole(folder) as unfinished:
        if exported:
            copy_files(source, unfinished, [*FILES, *remote_files()])
        elif merge:
            export(*load_merged(source), unfinished)
        else:
            pinned = pin_base(source, base, base_revision)
            export_adapter(source, AutoProcessor.from_pretrained(source), unfinished, *pinned)
        if keeps_card:
            copy_files(source, unfinished, [README, EVAL_RESULTS])
        else:
            base = (read_json(unfinished / "adapter_config.json") or {}).get("base_model_name_or_path")
            config, kind = described.config, described.kind
            write_card(unfinished, source, config, kind, name or folder.name, base=base, metrics=metrics)
        set_source(unfinished / README, name or folder.name, None)
    return folder


def copy_files(source: Path, folder: Path, patterns: list[str]) -> None:
    for path in [path for pattern in patterns for path in source.glob(pattern)]:
        (folder / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / path.relative_to(source))


def has_card(folder: Path, exported: bool) -> bool:
    """Whether there is a card: one of ours, or what somebody has made of it in an exported folder."""
    readme = folder / README
    return readme.exists() and (exported or SOURCE.search(readme.read_text(encoding="utf-8")) is not None)


def remote_files() -> list[str]:
    """Names of all files of code that any export may hold."""
    encoders = [each for encoder in DNA_ENCODERS for each in (encoder, encoder.config_class) if is_ours(each)]
    classes = [each for kind in KINDS for each in (*kind.auto_classes.values(), kind.processor_class)] + encoders
    return [f"{module}.py" for module in remote_sources(*classes)]


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
    return base, pin_revision(base, revision)


def remote_sources(*classes: type) -> dict[str, str]:
    """The files of a flat folder that define the classes: what they import from the package are their neighbours.

    Returns:
        Sources by the name of the module.

    Raises:
        ValueError: If a module imports from the package in another form than `from textgenome.x.y import z`, or two
            modules have the same name but for their folder.
    """
    sources, modules, waiting = {}, {}, [each.__module__ for each in classes]
    while waiting:
        module = waiting.pop()
        name = module.rpartition(".")[2]
        if modules.setdefault(name, module) != module:
            raise ValueError(f"{modules[name]} and {module} would both be {name}.py in a flat folder: rename one.")
        if name in sources:
            continue
        source = inspect.getsource(sys.modules[module])
        waiting += _PACKAGE_MODULE.findall(source)
        sources[name] = _PACKAGE_IMPORT.sub(r"from .\1 import ", source)
        if re.search(r"^\s*(from|import) textgenome\b", sources[name], re.MULTILINE):
            raise ValueError(f"{module} imports from the package in a form that cannot go to the Hub.")
    return sources


def model_sources(model: PreTrainedModel, processor: ProcessorMixin) -> dict[str, str]:
    """The files of a flat folder that load a model and its processor, with the DNA encoder it uses and no other.

    The modules of a model name no encoder: encoders register themselves. So its modules are made to import this one.
    """
    encoder = model.base_model.dna_encoder
    uses = {type(model.config): type(encoder.config), type(model): type(encoder)}
    uses = {user: used for user, used in uses.items() if is_ours(used)}
    sources = remote_sources(type(model.config), type(model), type(processor), *uses.values())
    for user, used in uses.items():
        sources[_module(user)] += f"\nfrom .{_module(used)} import {used.__name__}  # noqa\n"
    return sources


def is_ours(kind: type) -> bool:
    """Whether a class is defined in this package."""
    return kind.__module__.partition(".")[0] == "textgenome"


def fetch(name: str, revision: str | None = None) -> Path:
    """The folder of a checkpoint: a local one, or a download of what is safe of a repository, which code is not.

    Raises:
        FileNotFoundError: If there are no safetensors in it.
        OSError: If there is no such folder or repository.
    """
    folder = Path(name)
    if not folder.is_dir():
        folder = Path(snapshot_download(name, revision=pin_revision(name, revision), allow_patterns=FILES))
    if not list(folder.glob("*.safetensors")):
        others = [path.name for path in sorted(folder.glob("*")) if path.suffix in (".bin", ".pt", ".pth", ".ckpt")]
        found = f", only {', '.join(others)}, which would have to be unpickled" if others else ""
        raise FileNotFoundError(f"{name} holds no weights in safetensors{found}. Save the model in safetensors first.")
    return folder


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
        ValueError: If it is no model of this package.
    """
    folder = Path(folder)
    kind = find_kind(type(model).__name__)
    for part in model.config.sub_configs:
        getattr(model.config, part)._name_or_path = ""  # may be a path of this machine
    model.save_pretrained(folder)
    auto_map = {"AutoConfig": _reference(type(model.config)), "AutoProcessor": _reference(type(processor))}
    auto_map |= {name: _reference(each) for name, each in kind.auto_classes.items()}
    set_auto_map(folder / "config.json", auto_map)
    _write_processor(processor, folder)
    _write_sources(model_sources(model, processor), folder)
    return folder


def export_adapter(checkpoint: Path, processor: ProcessorMixin, folder: Path, base: str, commit: str) -> None:
    """Write an adapter alone, its processor and the code of that; it knows its base by repository and commit."""
    pinned = {"base_model_name_or_path": base, "revision": commit}
    write_json(folder / "adapter_config.json", {**read_json(checkpoint / "adapter_config.json"), **pinned})
    shutil.copyfile(checkpoint / ADAPTER_WEIGHTS, folder / ADAPTER_WEIGHTS)
    _write_processor(processor, folder)
    _write_sources(remote_sources(type(processor)), folder)


def is_exported(folder: Path) -> bool:
    """Whether a folder brings its code along."""
    auto_map = (read_json(folder / "processor_config.json") or {}).get("auto_map", {})
    modules = {each.partition(".")[0] for each in auto_map.values()} - {NOTICE_MODULE}
    return bool(modules) and all((folder / f"{module}.py").exists() for module in modules)


def _module(kind: type) -> str:
    return kind.__module__.rpartition(".")[2]


def _reference(each: type) -> str:
    return f"{_module(each)}.{each.__name__}"


def _write_processor(processor: ProcessorMixin, folder: Path) -> None:
    processor.save_pretrained(folder)
    set_auto_map(folder / "processor_config.json", {"AutoProcessor": _reference(type(processor))})
    for path in folder.glob("**/tokenizer_config.json"):
        tokenizer = read_json(path)
        tokenizer.pop("auto_map", None)  # of a repository; the tokenizers here need no code
        write_json(path, tokenizer)


def _write_sources(sources: dict[str, str], folder: Path) -> None:
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
