"""Load a model as anybody would, by the Auto classes, and take one answer of it to compare with.

As a script it does so where this package cannot be imported, and writes the answer in safetensors:

    python -P hub_card/probe.py REPOSITORY REVISION AUTO_CLASS model|adapter OUT
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import torch
import transformers
from peft import PeftConfig, PeftModel
from safetensors.torch import save_file
from transformers import AutoProcessor, PreTrainedModel, ProcessorMixin


REFERENCE = "GATTACAGATTACAGCATTACAGA"  # made up
VARIANT = {"type": "variant", "reference": REFERENCE, "variant": REFERENCE.replace("GC", "GT")}
TOWER_REPEATS = 200  # so that there are the states that a tower needs, whatever an encoder makes of the reference
MESSAGES = [{"role": "user", "content": [VARIANT, {"type": "text", "text": "What does this variant change?"}]}]


def load(
    name: str | Path,
    revision: str | None,
    auto_class: str,
    adapter: bool = False,
    trust_remote_code: bool = False,
) -> tuple[PreTrainedModel | PeftModel, ProcessorMixin]:
    """Model and processor in a folder or repository. An adapter is put on the base that it names.

    Args:
        name: Folder or Hub id.
        revision: Branch, tag or commit on the Hub.
        auto_class: Name of the Auto class that loads the model.
        adapter: Whether it is an adapter.
        trust_remote_code: Whether to run the code that the repository holds.
    """
    base, base_revision = name, revision
    if adapter:
        config = PeftConfig.from_pretrained(name, revision=revision)
        base, base_revision = config.base_model_name_or_path, config.revision or "main"
    processor = AutoProcessor.from_pretrained(name, revision=revision, trust_remote_code=trust_remote_code)
    model = getattr(transformers, auto_class).from_pretrained(
        base, revision=base_revision, trust_remote_code=trust_remote_code, use_safetensors=True
    )
    if adapter:
        model = PeftModel.from_pretrained(model, name, revision=revision)
    return model.eval(), processor


@torch.no_grad()
def answer(model: PreTrainedModel | PeftModel, processor: ProcessorMixin) -> dict[str, torch.Tensor]:
    """What a model says of a made-up variant.

    Returns:
        `logits`, float32: of the prompt, `(1, length, vocab_size)`, of the classes, `(1, num_labels)`, or of a
            model along DNA, `(1, positions, num_labels)`.
        `answer`: the tokens of the greedy answer, or the class.
    """
    if not model.can_generate():
        sequences = (VARIANT["reference"], VARIANT["variant"])[: model.config.num_sequences]
        inputs = processor(*sequences, return_tensors="pt").to(model.device)
        logits = read_states(model, inputs) if model.config.pooling == "tower" else model(**inputs).logits
        return {"logits": logits.float().cpu(), "answer": logits.argmax(-1).cpu()}
    inputs = processor.apply_chat_template(
        MESSAGES, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    ).to(model.device)
    logits = model(**inputs).logits
    tokens = model.generate(**inputs, do_sample=False, max_new_tokens=32)[0, inputs["input_ids"].shape[1] :]
    return {"logits": logits.float().cpu(), "answer": tokens.cpu()}


def read_states(model: PreTrainedModel | PeftModel, inputs: Mapping) -> torch.Tensor:
    """What a tower says of states that are repeated: it reads longer windows than its encoder may."""
    model = model.get_base_model() if isinstance(model, PeftModel) else model
    states = model.model(**inputs).last_hidden_state[0].repeat(1, TOWER_REPEATS, 1)
    return model(dna_features=states, dna_windows=torch.tensor([[0, 1]], device=states.device)).logits


if __name__ == "__main__":
    sys.modules["textgenome"] = None
    name, revision, auto_class, kind, out = sys.argv[1:]
    save_file(answer(*load(name, revision, auto_class, kind == "adapter", trust_remote_code=True)), out)
