"""The code that is saved with a model or a processor, so that it loads where this package is not installed."""

import inspect
import json
import re
import sys
from pathlib import Path


PACKAGE = "textgenome"
_PACKAGE_IMPORT = re.compile(rf"^from {PACKAGE}(?:\.\w+)*\.(\w+) import ", re.MULTILINE)
_PACKAGE_MODULE = re.compile(rf"^from ({PACKAGE}[\w.]*) import ", re.MULTILINE)


class SavesCodeMixin:
    """For a processor: `save_pretrained` and `push_to_hub` write its code beside it. See `SavesModelCodeMixin` for a
    model.

    Loaded by `Auto*.from_pretrained(..., trust_remote_code=True)`, a class is not of this package any more, and the
    library copies its code itself.
    """

    auto_map_file = "processor_config.json"

    def auto_classes(self) -> dict[str, type]:
        """Which class each Auto class is to load, by the name of the Auto class."""
        return {"AutoProcessor": packaged_class(self)}

    def remote_code(self) -> dict[str, str]:
        """Sources by the name of their module."""
        return remote_sources(*self.auto_classes().values())

    def save_pretrained(self, save_directory: str | Path, push_to_hub: bool = False, **kwargs):
        """See the method of the library. The folder also gets the code that loads it."""
        if not is_packaged(packaged_class(self)):
            return super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)
        push = {name: kwargs.pop(name) for name in PUSH_OPTIONS if name in kwargs} if push_to_hub else {}
        written = super().save_pretrained(save_directory, **kwargs)
        if kwargs.get("is_main_process", True):
            folder = Path(save_directory)
            write_code(self.remote_code(), folder)
            set_auto_map(folder / self.auto_map_file, self.auto_classes())
        if push_to_hub:
            # By itself, since the library would upload before the code is there.
            self.push_to_hub(push.pop("repo_id", Path(save_directory).name), **push)
        return written


PUSH_OPTIONS = ("repo_id", "commit_message", "commit_description", "private", "token", "revision", "create_pr", "tags")


def packaged_class(instance) -> type:
    """The class of an instance, without what a wrapper such as FSDP put on top of it."""
    return next((each for each in type(instance).__mro__ if is_packaged(each)), type(instance))


def is_packaged(each: type) -> bool:
    """Whether a class is defined in this package, and not in the code of a repository."""
    return each.__module__.partition(".")[0] == PACKAGE


def module_name(each: type) -> str:
    return each.__module__.rpartition(".")[2]


def reference(each: type) -> str:
    """How an `auto_map` names a class."""
    return f"{module_name(each)}.{each.__name__}"


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
        if re.search(rf"^\s*(from|import) {PACKAGE}\b", sources[name], re.MULTILINE):
            raise ValueError(f"{module} imports from the package in a form that cannot go to the Hub.")
    return sources


def write_code(sources: dict[str, str], folder: Path) -> None:
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source, encoding="utf-8")


def set_auto_map(path: Path, auto_classes: dict[str, type]) -> None:
    """Say in a configuration file which class each Auto class is to load, whatever it said before."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content["auto_map"] = {name: reference(each) for name, each in auto_classes.items()}
    path.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


__all__ = [
    "SavesCodeMixin",
    "is_packaged",
    "module_name",
    "packaged_class",
    "reference",
    "remote_sources",
    "set_auto_map",
    "write_code",
]
