"""Projections with 8-bit floats."""

import pytest
import torch
from tiny_evo2 import DIRECT, golden_model, seeded_ids
from torch.nn import functional as F

from textgenome import Evo2Config, Evo2Model
from textgenome.modeling_evo2 import Evo2Projection, RoundToE4M3


# All values of the type, by its definition: 4 bits of exponent (bias 7), 3 of mantissa, one code is NaN.
POSITIVE = torch.tensor(
    [
        mantissa / 8 * 2**-6 if exponent == 0 else (1 + mantissa / 8) * 2.0 ** (exponent - 7)
        for exponent in range(16)
        for mantissa in range(8)
    ][:-1]
)


def nearest(values: torch.Tensor) -> torch.Tensor:
    """Rounded by search in the table: the nearer one, of two equally near ones that with an even code."""
    size = values.abs().clamp(max=448.0)
    upper = torch.searchsorted(POSITIVE, size).clamp(max=len(POSITIVE) - 1)
    lower = (upper - 1).clamp(min=0)
    below, above = size - POSITIVE[lower], POSITIVE[upper] - size
    even = torch.where(lower % 2 == 0, lower, upper)
    code = torch.where(below < above, lower, torch.where(below > above, upper, even))
    return torch.copysign(POSITIVE[code], values)


def bits(values: torch.Tensor) -> torch.Tensor:
    return values.view(torch.int32)


def test_every_bfloat16_is_rounded_to_even_and_saturates():
    values = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16).float()
    values = values[~values.isnan()]
    rounded = RoundToE4M3.apply(values)
    assert torch.equal(bits(rounded), bits(nearest(values)))
    native = values.clamp(-448, 448).to(torch.float8_e4m3fn)
    assert torch.equal(rounded.to(torch.float8_e4m3fn).view(torch.uint8), native.view(torch.uint8))
    assert rounded.max() == 448 and rounded.min() == -448


def test_ties_and_their_neighbours():
    ties = (POSITIVE[1:] + POSITIVE[:-1]) / 2
    values = torch.cat([ties, torch.nextafter(ties, torch.tensor(0.0)), torch.nextafter(ties, torch.tensor(1e9))])
    assert torch.equal(RoundToE4M3.apply(values), nearest(values))
    assert torch.equal(RoundToE4M3.apply(-values), -nearest(values))
    assert RoundToE4M3.apply(torch.tensor(float("nan"))).isnan()


def projection(scales: list[float] | None = None, **kwargs) -> Evo2Projection:
    config = Evo2Config(
        hidden_size=128, num_hidden_layers=1, num_attention_heads=2, projection_quantization="fp8_e4m3",
        projection_scales=None if scales is None else [scales], **kwargs
    )  # fmt: skip
    layer = Evo2Projection(config, 0)
    torch.nn.init.normal_(layer.weight, std=0.05)
    return layer


def test_stored_scales_cut_off_what_exceeds_them():
    layer, states = projection([300.0, 2000.0]), torch.randn(2, 5, 128) * 2
    expected = F.linear(nearest(states * 300.0).double(), nearest(layer.weight * 2000.0).double()) / (300.0 * 2000.0)
    output = layer(states)
    torch.testing.assert_close(output.double(), expected, atol=1e-5, rtol=1e-5)
    cut = states.clamp(-448 / 300, 448 / 300)
    assert (cut != states).float().mean() > 0.1
    torch.testing.assert_close(layer(cut), output)


def test_without_stored_scales_every_token_fits():
    layer, states = projection(), torch.randn(3, 7, 128) * torch.logspace(-4, 4, 7)[:, None]
    output, exact = layer(states), F.linear(states, layer.weight)
    errors = (output - exact).norm(dim=-1) / exact.norm(dim=-1)
    assert 0.01 < errors.max() < 0.06
    torch.testing.assert_close(layer(states[1:2, 2:3]), output[1:2, 2:3])
    assert torch.equal(layer(torch.zeros(1, 1, 128)), torch.zeros(1, 1, 384))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision(dtype):
    layer, states = projection(), torch.randn(2, 5, 128)
    expected = layer(states.to(dtype).float())
    output = layer.to(dtype)(states.to(dtype))
    assert output.dtype == dtype
    assert ((output.float() - expected).norm() / expected.norm()) < 0.02


def test_the_gradient_passes_as_if_nothing_was_rounded():
    layer, states = projection(), torch.randn(2, 5, 128, requires_grad=True)
    weights = torch.randn(2, 5, 384)
    (layer(states) * weights).sum().backward()
    exact = weights.flatten(0, 1) @ layer.weight
    assert F.cosine_similarity(states.grad.flatten(), exact.flatten(), dim=0) > 0.99
    assert (states.grad.norm() / exact.norm()).item() == pytest.approx(1, abs=0.05)


@torch.no_grad()
def test_a_model_with_8_bit_projections_also_generates_with_its_cache():
    scales = [None if kind == "attention" else [64.0, 128.0] for kind in DIRECT.block_types]
    values = DIRECT.to_dict() | {"projection_quantization": "fp8_e4m3", "projection_scales": scales}
    model, ids = golden_model(Evo2Config(**values)), seeded_ids(1, 2, 60)
    expected = model(ids).logits
    assert (expected - golden_model()(ids).logits).abs().max() > 0.01
    first = model(ids[:, :50], use_cache=True)
    last = model(ids[:, 50:], past_key_values=first.past_key_values).logits
    torch.testing.assert_close(last, expected[:, 50:], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("quantization, warned", [("none", 1), ("fp8_e4m3", 0)])
def test_a_1b_model_without_them_warns_of_the_published_loss(caplog, quantization, warned):
    sizes = {"hidden_size": 1920, "intermediate_size": 8, "num_hidden_layers": 1}
    model = Evo2Model(Evo2Config(**sizes, projection_quantization=quantization))
    for _ in range(2):
        model(torch.ones(1, 4, dtype=torch.long), use_cache=False)
    messages = [record.getMessage() for record in caplog.records if "1.248" in record.getMessage()]
    assert len(messages) == warned
    assert all("0.502" in message and "evo2_1b_base" in message for message in messages)
