"""Checkpoints: the one place that tells their kinds apart, and how each is opened and loaded."""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import transformers
from huggingface_hub import resolve_revision
from huggingface_hub.errors import HFValidationError, RevisionResolutionError
from huggingface_hub.utils import validate_repo_id
from transformers import AutoConfig, AutoProcessor, PreTrainedConfig, PreTrainedModel, ProcessorMixin
from transformers.utils import find_adapter_config_file

from textgenome.data.conversations import BadRow, row_to_messages
from textgenome.data.files import read_json
from textgenome.data.labels import check_labelled
from textgenome.data.rows import is_hub_id
from textgenome.data.settings import read_settings
from textgenome.modeling_textgenome import TextGenomeForConditionalGeneration
from textgenome.modeling_textgenome_dna import TextGenomeDNAForSequenceClassification
from textgenome.modeling_textgenome_dna_tokens import TextGenomeDNAForTokenClassification
from textgenome.modeling_textgenome_dna_tracks import TextGenomeDNAForTrackPrediction
from textgenome.processing.processing_textgenome import TextGenomeProcessor
from textgenome.processing.processing_textgenome_dna import TextGenomeDNAProcessor


FINGERPRINTED = 2**20  # bytes at either end of a file


@dataclass(frozen=True)
class Kind:
    """A kind of model: what loads it, exports it, puts it on a card and evaluates it.

    Args:
        model_class: Its class. The first of its `auto_class_names` loads it.
        processor_class: Its processor.
        check: Raises `BadRow` for a row that the model cannot read.
        writes_text: Whether the model generates an answer; else it scores its labels.
        task: Task of the model on the Hub, for its results.
        pipeline_tag: Task on the Hub under which the model is listed, or None where no pipeline takes its inputs.
    """

    model_class: type
    processor_class: type
    check: Callable
    writes_text: bool
    task: str
    pipeline_tag: str | None = None

    @property
    def auto_class(self) -> str:
        return self.model_class.auto_class_names[0]


def refuse_rows(row: Mapping) -> None:
    """For models that predict along a genome: their training measures them on the regions that it holds out.

    Raises:
        BadRow: Always.
    """
    raise BadRow("The model predicts along a genome, not for the rows of a table.")


KINDS = [
    Kind(
        model_class=TextGenomeForConditionalGeneration,
        processor_class=TextGenomeProcessor,
        check=row_to_messages,
        writes_text=True,
        task="text-generation",
        pipeline_tag="any-to-any",
    ),
    Kind(
        model_class=TextGenomeDNAForSequenceClassification,
        processor_class=TextGenomeDNAProcessor,
        check=check_labelled,
        writes_text=False,
        task="text-classification",
    ),
    Kind(
        model_class=TextGenomeDNAForTrackPrediction,
        processor_class=TextGenomeDNAProcessor,
        check=refuse_rows,
        writes_text=False,
        task="other",
    ),
    Kind(
        model_class=TextGenomeDNAForTokenClassification,
        processor_class=TextGenomeDNAProcessor,
        check=refuse_rows,
        writes_text=False,
        task="token-classification",
    ),
]


@dataclass(frozen=True)
class Checkpoint:
    """A model or an adapter, in a folder or on the Hub, of which no weights are loaded.

    Args:
        name: Folder or Hub id.
        revision: Its commit on the Hub; of a folder whatever was given.
        config: Configuration of the model, of an adapter that of its base.
        kind: What kind of model it is.
        is_adapter: Whether it is an adapter, which is loaded with its base.
    """

    name: str
    revision: str | None
    config: PreTrainedConfig
    kind: Kind
    is_adapter: bool

    @cached_property
    def processor(self) -> ProcessorMixin:
        return AutoProcessor.from_pretrained(self.name, revision=self.revision, trust_remote_code=False)

    def load(self, dtype: str = "auto") -> PreTrainedModel:
        """The model, in evaluation mode. `dtype` is the data type of its weights."""
        auto_class = getattr(transformers, self.kind.auto_class)
        options = {"revision": self.revision, "dtype": dtype, "trust_remote_code": False}
        return auto_class.from_pretrained(self.name, **options).eval()


def open_checkpoint(name: str | Path, revision: str | None = "main") -> Checkpoint:
    """Find out what a checkpoint is, without loading its weights. Code of a repository is never run.

    Args:
        name: Folder or Hub id of a model, or of an adapter.
        revision: Branch, tag or commit on the Hub.

    Raises:
        OSError: If there is no such model, or no base of an adapter.
        ValueError: If it is not a model of textgenome.
    """
    revision = pin_revision(str(name), revision)
    config, is_adapter = read_config(name, revision)
    try:
        kind = find_kind((config.architectures or [f"A {config.model_type} model"])[0])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return Checkpoint(str(name), revision, config, kind, is_adapter)


def load_checkpoint(
    name: str | Path, revision: str | None = "main", dtype: str = "auto"
) -> tuple[PreTrainedModel, ProcessorMixin]:
    """Load a model and its processor. See `open_checkpoint` and `Checkpoint.load`."""
    checkpoint = open_checkpoint(name, revision)
    return checkpoint.load(dtype), checkpoint.processor


def read_config(name: str | Path, revision: str | None = None) -> tuple[PreTrainedConfig, bool]:
    """Configuration of a model, of an adapter that of its base; and whether it is an adapter.

    Raises:
        FileNotFoundError: If the base of an adapter is a folder that is not there.
    """
    is_adapter = find_adapter_config_file(str(name), revision=revision) is not None
    if is_adapter:
        from peft import PeftConfig

        adapter = PeftConfig.from_pretrained(str(name), revision=revision)
        base, revision = adapter.base_model_name_or_path, adapter.revision or "main"
        if Path(base).is_absolute() and not Path(base).is_dir():
            raise FileNotFoundError(f"{name} is an adapter of {base}, which is not there.")
        name = base
    return AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False), is_adapter


def find_kind(class_name: str) -> Kind:
    """The kind of the models of a class. By its name, since remote code has classes of its own.

    Raises:
        ValueError: If it is not a class of textgenome.
    """
    for kind in KINDS:
        if kind.model_class.__name__ == class_name:
            return kind
    raise ValueError(f"{class_name} is not a model of textgenome.")


def training_settings(name: str | Path) -> dict:
    """The settings that a training run left beside its model or, of a checkpoint, in the folder above."""
    path = Path(name).resolve()  # "." has neither name nor parent
    for folder in (path, path.parent):
        settings = read_settings(folder, "training")
        if settings and (folder == path or path.name.startswith("checkpoint-")):
            return {**settings, "trainer": read_json(folder / "training_arguments.json")}
    return {}


def check_models(names: Iterable[str]) -> None:
    """Raise FileNotFoundError for a name that is not a folder and cannot be a model on the Hub."""
    for name in names:
        if not Path(name).exists():
            try:
                validate_repo_id(name)
            except HFValidationError as error:
                raise FileNotFoundError(f"{name}: there is no such folder.") from error


def pin_revision(model: str, revision: str | None) -> str | None:
    """The commit that a revision names on the Hub: a branch may move before a run is resumed.

    Raises:
        OSError: If there is no such model, in a folder or on the Hub.
    """
    if Path(model).exists():
        return revision
    check_models([model])
    try:
        return resolve_revision(model, revision=revision).resolved
    except RevisionResolutionError as error:
        raise OSError(f"{model}: there is no such folder. {error}") from error


def fingerprint_weights(model: str) -> str | None:
    """See `fingerprint_files`: enough to see that the weights in a folder were trained again; None if it has none."""
    files = sorted(Path(model).glob("*.safetensors"))
    return fingerprint_files(files) if files else None


def fingerprint_files(paths: Iterable[Path]) -> str:
    """SHA-256 of names, sizes, first and last bytes of files."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            for start in (0, max(0, size - FINGERPRINTED)):
                file.seek(start)
                digest.update(f"{path.name} {size}".encode() + file.read(FINGERPRINTED))
    return digest.hexdigest()


def without_path(name: str | None) -> str | None:
    """A name on the Hub as it is; of a file or folder what says nothing about this machine."""
    return name if name is None or is_hub_id(name) else os.path.basename(os.path.abspath(name))


def find_revisions(names: Iterable[str]) -> dict[str, str | None]:
    """The commits of base models on the Hub now. Of a local folder only its name is kept."""
    return {without_path(name): pin_revision(name, "main") if is_hub_id(name) else None for name in names}


__all__ = [
    "KINDS",
    "Checkpoint",
    "Kind",
    "check_models",
    "find_kind",
    "find_revisions",
    "fingerprint_files",
    "fingerprint_weights",
    "load_checkpoint",
    "open_checkpoint",
    "pin_revision",
    "read_config",
    "without_path",
]
