"""Checkpoints: what is known of one without loading its weights."""

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from huggingface_hub import resolve_revision
from huggingface_hub.errors import RevisionResolutionError

from textgenome.data.files import read_json, write_json
from textgenome.data.rows import READERS


FINGERPRINTED = 2**20  # bytes at either end of a file
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
NOTICE_MODULE = "textgenome_is_not_installed"
NOTICE = """This is a checkpoint of textgenome, a language model that reads DNA. Its code is not in this folder.

To load it here, install the package textgenome, and import textgenome first.
To load it anywhere, let whoever has the package write a folder that brings its code along:

    textgenome export {folder} OUT      (or: textgenome push {folder} USER/NAME)

Then load OUT, or USER/NAME, with trust_remote_code=True. Research use only, not for diagnosis.
"""


def pin_revision(model: str, revision: str | None) -> str | None:
    """The commit behind a revision on the Hub: a branch may move before a run is resumed.

    Raises:
        OSError: If there is no such model, in a folder or on the Hub.
    """
    if Path(model).exists():
        return revision
    try:
        return resolve_revision(model, revision=revision).resolved
    except RevisionResolutionError as error:
        raise OSError(f"{model}: there is no such folder. {error}") from error


def training_settings(model: str) -> dict:
    """The settings that the training script left beside the model or, of a checkpoint, in the folder above."""
    path = Path(model).resolve()  # "." has neither name nor parent
    for folder in (path, path.parent):
        settings = read_json(folder / "settings.json")
        if settings is not None and (folder == path or path.name.startswith("checkpoint-")):
            return {**settings, "trainer": read_json(folder / "training_arguments.json")}
    return {}


def shown_in_training(model: str) -> dict[str, str]:
    """How the model was shown the DNA: `dna` and `dna_truncation`, as far as that is known."""
    settings = training_settings(model)
    return {name: settings[name] for name in ("dna", "dna_truncation") if name in settings}


def thinks(model: str, enable_thinking: bool | None) -> bool:
    """Whether the model is to reason first: as asked for, or as it was trained, or else yes."""
    return training_settings(model).get("reasons", True) if enable_thinking is None else enable_thinking


def fingerprint_weights(model: str) -> str | None:
    """SHA-256 of sizes, first and last bytes of the weights in a folder: enough to see that it was trained again."""
    digest, files = hashlib.sha256(), sorted(Path(model).glob("*.safetensors"))
    for path in files:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            for start in (0, max(0, size - FINGERPRINTED)):
                file.seek(start)
                digest.update(f"{path.name} {size}".encode() + file.read(FINGERPRINTED))
    return digest.hexdigest() if files else None


def is_hub_id(name: str | None) -> bool:
    """Whether a name can only be one on the Hub: of the form `owner/name`, and no file or folder."""
    if not name or Path(name).suffix in READERS or Path(name).exists():
        return False
    return HUB_ID.fullmatch(name) is not None


def without_path(name: str | None) -> str | None:
    """A name on the Hub as it is; of a file or folder what says nothing about this machine."""
    return name if name is None or is_hub_id(name) else os.path.basename(os.path.abspath(name))


def find_revisions(names: Iterable[str]) -> dict[str, str | None]:
    """The commits at which base models stand on the Hub now. Of a local folder only its name is kept."""
    return {without_path(name): pin_revision(name, "main") if is_hub_id(name) else None for name in names}


def mark_checkpoint(folder: Path) -> None:
    """Leave word in a checkpoint: loaded without this package, it says what is missing and how to export it."""
    notice = NOTICE.format(folder=folder)
    (folder / "README.md").write_text(f"# Checkpoint of a training run\n\n{notice}", encoding="utf-8")
    (folder / f"{NOTICE_MODULE}.py").write_text(f"raise ImportError({notice!r})\n", encoding="utf-8")
    for name, auto_class in (("config.json", "AutoConfig"), ("processor_config.json", "AutoProcessor")):
        if (folder / name).exists():  # an adapter has no config.json: its base is loaded first
            set_auto_map(folder / name, {auto_class: f"{NOTICE_MODULE}.{auto_class}"})


def set_auto_map(path: Path, auto_map: dict[str, str]) -> None:
    write_json(path, {**read_json(path), "auto_map": auto_map})


__all__ = [
    "NOTICE_MODULE",
    "find_revisions",
    "fingerprint_weights",
    "is_hub_id",
    "mark_checkpoint",
    "pin_revision",
    "set_auto_map",
    "shown_in_training",
    "thinks",
    "training_settings",
    "without_path",
]
