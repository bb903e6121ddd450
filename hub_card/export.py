"""Export: a flat folder that `Auto*.from_pretrained(..., trust_remote_code=True)` loads without this package."""

import inspect
import json
import re
from pathlib import Path
from types import ModuleType

from transformers import PreTrainedModel, ProcessorMixin

from textgenome import (
    modeling_dna_encoder,
    modeling_hyenadna,
    modeling_projector,
    modeling_textgenome,
    modeling_textgenome_dna,
)
from textgenome.configuration import configuration_hyenadna, configuration_textgenome, configuration_textgenome_dna
from textgenome.processing import processing_dna, processing_textgenome, processing_textgenome_dna


REMOTE_MODULES = (
    configuration_hyenadna,
    configuration_textgenome,
    configuration_textgenome_dna,
    modeling_dna_encoder,
    modeling_hyenadna,
    modeling_projector,
    modeling_textgenome,
    modeling_textgenome_dna,
    processing_dna,
    processing_textgenome,
    processing_textgenome_dna,
)
MODEL_CLASS = "modeling_textgenome.TextGenomeForConditionalGeneration"
AUTO_MAPS = {
    "textgenome": {
        "AutoConfig": "configuration_textgenome.TextGenomeConfig",
        "AutoModel": MODEL_CLASS,
        "AutoModelForCausalLM": MODEL_CLASS,
        "AutoModelForImageTextToText": MODEL_CLASS,
        "AutoModelForMultimodalLM": MODEL_CLASS,
        "AutoProcessor": "processing_textgenome.TextGenomeProcessor",
    },
    "textgenome_dna": {
        "AutoConfig": "configuration_textgenome_dna.TextGenomeDNAConfig",
        "AutoModelForSequenceClassification": "modeling_textgenome_dna.TextGenomeForSequenceClassification",
        "AutoProcessor": "processing_textgenome_dna.TextGenomeDNAProcessor",
    },
}
_PACKAGE_IMPORT = re.compile(r"^from textgenome(?:\.\w+)*\.(\w+) import ", re.MULTILINE)


def remote_source(module: ModuleType) -> str:
    """The source of a module as it stands in a flat folder: what it imports from the package are its neighbours.

    Raises:
        ValueError: If the module imports from the package in another form.
    """
    source = _PACKAGE_IMPORT.sub(r"from .\1 import ", inspect.getsource(module))
    if re.search(r"^\s*(from|import) textgenome\b", source, re.MULTILINE):
        raise ValueError(f"{module.__name__} imports from the package in a form that cannot go to the Hub.")
    return source


def export(model: PreTrainedModel, processor: ProcessorMixin, folder: str | Path) -> Path:
    """Write weights, configuration, processor and code.

    Args:
        model: The fused model, adapters merged, or the DNA-only one.
        processor: Its processor.
        folder: Where to. Created if it is not there.
    """
    folder = Path(folder)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    for module in REMOTE_MODULES:
        name = module.__name__.rpartition(".")[2]
        (folder / f"{name}.py").write_text(remote_source(module), encoding="utf-8")
    auto_map = AUTO_MAPS[model.config.model_type]
    _add(folder / "config.json", auto_map)
    _add(folder / "processor_config.json", {"AutoProcessor": auto_map["AutoProcessor"]})
    return folder


def _add(path: Path, auto_map: dict[str, str]) -> None:
    content = {**json.loads(path.read_text(encoding="utf-8")), "auto_map": auto_map}
    path.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


__all__ = ["REMOTE_MODULES", "export", "remote_source"]
