"""How often a pass waits for the device: what each wait is for is told in docs/performance.md."""

import traceback
from collections import Counter
from pathlib import Path

import pytest
import torch
from tiny_models import PROMPTS, encode, tiny_config
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from textgenome import TextGenomeForConditionalGeneration
from textgenome.modeling_cache import CACHE_NAME
from textgenome.training.trainer import keep_supervised


# What copies a value to the host, or gives as many values as others say.
WAITS = {
    *("__bool__", "__int__", "__float__", "__index__", "__contains__", "item", "tolist", "cpu", "numpy", "equal"),
    *("nonzero", "unique", "unique_dim", "_unique2", "masked_select", "repeat_interleave"),
}


class CountWaits(TorchFunctionMode):
    """Counts what would wait for a device, by the function of this package that asks for it."""

    def __init__(self):
        super().__init__()
        self.waits = Counter()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name, index = func.__name__, args[1] if func.__name__ in ("__getitem__", "__setitem__") else None
        parts = index if isinstance(index, tuple) else (index,)
        by_mask = any(isinstance(part, torch.Tensor) and part.dtype == torch.bool for part in parts)
        if name in WAITS or by_mask:
            frames = [each for each in traceback.extract_stack() if Path(each.filename).stem.startswith("modeling_")]
            self.waits[frames[-1].name] += 1
        return func(*args, **(kwargs or {}))


class CountInGradients(TorchDispatchMode):
    """Counts the same in a backward pass, which calls no function of Python: operators, and indices that are masks."""

    def __init__(self):
        super().__init__()
        self.waits = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        indices = args[1] if "index" in name and len(args) > 1 else ()
        masks = isinstance(indices, list) and any(each is not None and each.dtype == torch.bool for each in indices)
        if masks or name in {"nonzero", "masked_select", "masked_scatter_backward", "_local_scalar_dense"}:
            self.waits[name] += 1
        return func(*args, **(kwargs or {}))


def count_in_gradients(output: torch.Tensor) -> Counter:
    with CountInGradients() as counted:
        output.sum().backward()
    return counted.waits


def test_masks_make_gradients_wait():
    values, mask = torch.ones(4, requires_grad=True), torch.tensor([True, False, True, False])
    assert count_in_gradients(values[mask])
    assert count_in_gradients(torch.zeros(4).masked_scatter(mask, values))
    assert not count_in_gradients(torch.zeros(4).index_copy(0, torch.arange(4), values))


@pytest.mark.parametrize("projector", ["linear", "pooled"])
def test_a_step_waits_for_what_shapes_depend_on_and_a_new_token_for_nothing(tiny_processor, projector, monkeypatch):
    monkeypatch.setattr(tiny_processor, "projector_type", projector)
    model = TextGenomeForConditionalGeneration(tiny_config(projector_type=projector))
    batch = encode(tiny_processor, PROMPTS, side="right")
    kept = keep_supervised({**batch, "labels": batch["input_ids"]})["kept_positions"]
    with CountWaits() as training:
        outputs = model.train()(**batch, kept_positions=kept)
    # Is there DNA, in which slots, how long is the longest, which are equal; then which states are features, and
    # whether they are as many as placeholders.
    expected = {"insert_dna": 3, "get_dna_features": 2, "encode_distinct_dna": 2}
    assert training.waits == expected | ({"forward": 1} if projector == "pooled" else {})
    assert not count_in_gradients(outputs.logits)

    prompt = encode(tiny_processor, PROMPTS)
    with torch.no_grad():
        cache = model.eval()(**prompt, use_cache=True)[CACHE_NAME]
        with CountWaits() as decoding:
            model(prompt["input_ids"][:, -1:], **{CACHE_NAME: cache})
    assert not decoding.waits


@pytest.mark.slow
def test_the_language_model_compiles_as_one_graph():
    decoder = TextGenomeForConditionalGeneration(tiny_config()).get_decoder().train()
    compiled, embeds = torch.compile(decoder, backend="eager", fullgraph=True), torch.randn(2, 9, 32)
    expected = decoder(inputs_embeds=embeds, use_cache=False).last_hidden_state
    torch.testing.assert_close(compiled(inputs_embeds=embeds, use_cache=False).last_hidden_state, expected)
