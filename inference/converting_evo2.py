"""From the published Evo2 files, which are pickles, to a folder of safetensors that `from_pretrained` loads."""

import copy
import io
import pickle
import re
from pathlib import Path

import torch
from transformers.utils import logging

from textgenome.configuration.base_models import BASE_MODELS, base_model_config
from textgenome.configuration.configuration_evo2 import Evo2Config
from textgenome.modeling_evo2 import Evo2ForCausalLM, Evo2Model
from textgenome.processing.dna_tokenizers import build_dna_tokenizer


logger = logging.get_logger(__name__)

# Of the published files: a second name of the embedding, what follows from the sizes, and traces of training.
DROPPED = re.compile(r"unembed\.weight|.*\.filter\.t|.*\.rotary_emb\.inv_freq|.*\._extra_state")
FLOAT32 = ("log_poles", "residues")
RECIPE = "transformer_engine.common.recipe."


class Ignored:
    """Takes the place of the settings that Transformer Engine keeps beside its scales. Does nothing with them."""

    def __init__(self, *args, **kwargs):
        pass


def convert_evo2(checkpoint: str | Path, folder: str | Path, config: Evo2Config | None = None) -> Path:
    """Convert a published Evo2 file, such as `evo2_1b_base.pt`.

    The file is read with an allow-list: nothing in it is executed, and anything but tensors is refused.

    Args:
        checkpoint: The file.
        folder: Where to. It gets bfloat16 weights of `Evo2ForCausalLM` in safetensors, poles and residues in float32,
            the configuration and the tokenizer. Must not be there.
        config: Its sizes. By default those of the base model of this name. With 8-bit projections, the scales in the
            file go into it.

    Raises:
        FileExistsError: If `folder` is there.
        FileNotFoundError: If there is no such file.
        ValueError: If no `config` is given and no base model has the name of the file; or if it holds code, objects or
            other values than tensors, or tensors other than those of `config`.
    """
    checkpoint, folder = Path(checkpoint), Path(folder)
    if folder.exists():
        raise FileExistsError(f"{folder} is there already. Remove it, or name another folder.")
    config = copy.deepcopy(config) if config else config_by_name(checkpoint)
    values = load_tensors(checkpoint)
    config.projection_scales = read_scales(values, config)
    weights = {name: value for name, value in values.items() if not DROPPED.fullmatch(name)}
    check_weights(weights, config, checkpoint)
    for name, value in weights.items():
        if name.endswith(".Wqkv.weight"):
            value = group_rows(value, config.num_attention_heads)
        weights[name] = value.to(torch.float32 if name.endswith(FLOAT32) else torch.bfloat16)
    model = Evo2ForCausalLM.from_pretrained(None, config=config, state_dict=weights, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer = build_dna_tokenizer("bytes", model_max_length=config.max_position_embeddings)
    tokenizer.save_pretrained(folder)
    return folder


def config_by_name(checkpoint: Path) -> Evo2Config:
    names = {hub_id.partition("/")[2]: hub_id for hub_id in BASE_MODELS if "/evo2_" in hub_id}
    if checkpoint.stem not in names:
        raise ValueError(
            f"{checkpoint.name}: the sizes of {', '.join(names)} are known here. For another, give a config."
        )
    return base_model_config(names[checkpoint.stem])


def load_tensors(checkpoint: Path) -> dict[str, torch.Tensor | io.BytesIO | None]:
    """What a file holds by name: tensors, and as `_extra_state` also bytes or None."""
    if not checkpoint.exists():
        parts = len(list(checkpoint.parent.glob(f"{checkpoint.name}.part*")))
        joined = f" It is there in {parts} parts: join them with `cat {checkpoint.name}.part{{0..{parts - 1}}}`."
        raise FileNotFoundError(f"File {checkpoint} does not exist.{joined if parts else ''}")
    values = load_allowed(checkpoint, checkpoint, [io.BytesIO], mmap=True)
    if not isinstance(values, dict):
        raise ValueError(f"{checkpoint} holds a {type(values).__name__}, not tensors by name.")
    for name, value in values.items():
        allowed = (torch.Tensor, io.BytesIO, type(None)) if str(name).endswith("._extra_state") else torch.Tensor
        if not isinstance(value, allowed):
            raise ValueError(f"{checkpoint} holds a {type(value).__name__} as {name!r}, not a tensor.")
    return values


def load_allowed(file: Path | io.BytesIO, name: str | Path, allowed: list, **kwargs):
    """What a file of torch holds, if that is tensors, containers, numbers, text and what is allowed."""
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(file, map_location="cpu", weights_only=True, **kwargs)
    except pickle.UnpicklingError as error:
        # Not the message of torch, which goes on to say how to load the file all the same.
        found = re.search(r"GLOBAL (\S+)", str(error))
        what = found[1] if found else "what cannot be told"
        raise ValueError(f"{name} holds {what} and is not read: only tensors are.") from None


def check_weights(weights: dict[str, torch.Tensor], config: Evo2Config, checkpoint: Path) -> None:
    with torch.device("meta"):
        expected = {name: value.shape for name, value in Evo2Model(config).state_dict().items()}
    for names, what in ((expected.keys() - weights, "lacks"), (weights.keys() - expected, "has beside the network")):
        if names:
            raise ValueError(f"{checkpoint} {what} {len(names)} tensors, {min(names)!r} the first: wrong config?")
    for name, shape in expected.items():
        if weights[name].shape != shape:
            raise ValueError(f"{checkpoint}: {name} is {tuple(weights[name].shape)}, but should be {tuple(shape)}.")


def group_rows(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows that are query, key and value of one head after the other become all queries, all keys, all values."""
    return weight.unflatten(0, (heads, 3, -1)).transpose(0, 1).flatten(0, 2)


def read_scales(values: dict, config: Evo2Config) -> list[list[float] | None] | None:
    """The scales of input and weight of each block's projection, if the model has 8-bit projections."""
    if config.projection_quantization == "none":
        return None
    scales, missing = [], []
    for block, kind in enumerate(config.block_types):
        name = f"blocks.{block}.projections._extra_state"
        scales.append(None if kind == "attention" else read_scale(values.get(name), name))
        if kind != "attention" and scales[-1] is None:
            missing.append(block)
    if missing:
        logger.warning(
            f"The file has no scales of the 8-bit projections of blocks {missing}: there, each input state and each "
            "weight will be scaled to fit, which is not what the model was trained with."
        )
    return scales if any(scales) else None


def read_scale(state: torch.Tensor | io.BytesIO | None, name: str) -> list[float] | None:
    """Scales of input and weight in what Transformer Engine 1 stores with a linear layer, a file within the file."""
    if not isinstance(state, io.BytesIO):
        return None  # version 2 stores a raw pickle in a tensor of bytes, which is not read
    state.seek(0)
    ignored = [(Ignored, RECIPE + name) for name in ("DelayedScaling", "Format", "_FormatHelper")]
    content = load_allowed(state, name, ignored)
    scale = content.get("scale_fwd") if isinstance(content, dict) else None
    # In the order of `FP8FwdTensors` of Transformer Engine: input, weight, output.
    return None if scale is None else scale.float()[:2].tolist()


__all__ = ["convert_evo2"]
