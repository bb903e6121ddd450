"""Load a model as anybody would, by the Auto classes, and ask it one question.

As a script it does so where this package cannot be imported, and writes what it got in safetensors:

    python -P hub_card/probe.py REPOSITORY REVISION model|adapter OUT
"""

import sys
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel
from safetensors.torch import save_file
from transformers import (
    AutoConfig,
    AutoModelForMultimodalLM,
    AutoModelForSequenceClassification,
    AutoProcessor,
    PreTrainedConfig,
    PreTrainedModel,
    ProcessorMixin,
)


REFERENCE = "GATTACAGATTACAGCATTACAGA"  # made up
VARIANT = {"type": "variant", "reference": REFERENCE, "variant": REFERENCE.replace("GC", "GT")}
MESSAGES = [{"role": "user", "content": [VARIANT, {"type": "text", "text": "What does this variant change?"}]}]


def auto_class(config: PreTrainedConfig) -> type:
    """The Auto class that loads a model: of a fused one, or of one that classifies DNA without a language model."""
    return AutoModelForMultimodalLM if hasattr(config, "text_config") else AutoModelForSequenceClassification


def load(
    name: str | Path, revision: str | None = "main", adapter: bool = False, trust_remote_code: bool = False
) -> tuple[PreTrainedModel | PeftModel, ProcessorMixin]:
    """Model and processor in a folder or repository. An adapter is put on the base that it names.

    Raises:
        FileNotFoundError: If that base is not there.
        ValueError: If it is no model of textgenome.
    """
    base, base_revision = name, revision
    if adapter:
        config = PeftConfig.from_pretrained(name, revision=revision)
        base, base_revision = config.base_model_name_or_path, config.revision or "main"
        if Path(base).is_absolute() and not Path(base).is_dir():
            raise FileNotFoundError(f"{name} is an adapter of {base}, which is not there.")
    options = {"revision": base_revision, "trust_remote_code": trust_remote_code}
    model_config = AutoConfig.from_pretrained(base, **options)
    if not model_config.model_type.startswith("textgenome"):
        raise ValueError(f"{base} is a {model_config.model_type} model, and none of textgenome.")
    processor = AutoProcessor.from_pretrained(name, revision=revision, trust_remote_code=trust_remote_code)
    model = auto_class(model_config).from_pretrained(base, **options, use_safetensors=True)
    if adapter:
        model = PeftModel.from_pretrained(model, name, revision=revision)
    return model.eval(), processor


@torch.no_grad()
def ask(model: PreTrainedModel | PeftModel, processor: ProcessorMixin) -> dict[str, torch.Tensor]:
    """Ask about a made-up variant.

    Returns:
        `logits`, float32: of the prompt, `(1, length, vocab_size)`, or of the classes, `(1, num_labels)`.
        `answer`: the tokens of the greedy answer, or the class.
    """
    if auto_class(model.config) is AutoModelForSequenceClassification:
        inputs = processor(VARIANT["reference"], VARIANT["variant"], return_tensors="pt").to(model.device)
        logits = model(**inputs).logits
        return {"logits": logits.float().cpu(), "answer": logits.argmax(-1).cpu()}
    inputs = processor.apply_chat_template(
        MESSAGES, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    ).to(model.device)
    logits = model(**inputs).logits
    tokens = model.generate(**inputs, do_sample=False, max_new_tokens=32)[0, inputs["input_ids"].shape[1] :]
    return {"logits": logits.float().cpu(), "answer": tokens.cpu()}


if __name__ == "__main__":
    sys.modules["textgenome"] = None
    name, revision, kind, out = sys.argv[1:]
    save_file(ask(*load(name, revision, kind == "adapter", trust_remote_code=True)), out)
