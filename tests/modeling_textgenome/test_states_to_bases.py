import random

import pytest
import torch

from textgenome import TextGenomeDNAConfig, TextGenomeDNAModel
from textgenome.modeling_heads import states_to_bases


SPANS = {
    "bases": [1] * 20,
    "6-mers": [0, 6, 6, 1, 1, 6, 6, 1],
    "32 bases": [32, 32, 32, 5],
    "128 bases": [128, 128, 3],
}


def slowly(states, spans, bases):
    """The same base by base, of one row."""
    each = [state for state, span in zip(states, spans) for _ in range(span)]
    return torch.stack([torch.stack(each[i : i + bases]).mean(0) for i in range(0, len(each), bases)])


@pytest.mark.parametrize("bases", [1, 2, 6, 32, 100, 128])
@pytest.mark.parametrize("spans", SPANS.values(), ids=SPANS)
def test_states_are_repeated_or_averaged_base_by_base(spans, bases):
    states = torch.randn(1, len(spans), 3)
    found = states_to_bases(states, torch.tensor([spans]), bases)
    torch.testing.assert_close(found[0], slowly(states[0], spans, bases), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("bases", [1, 4, 32])
def test_padding_on_either_side_and_neighbours_change_nothing(bases):
    rows = random.Random(0)
    for _ in range(20):
        short = rows.choices([0, 1, 6, 32], k=5) + [1]
        long = rows.choices([1, 6, 32], k=9)
        states = torch.randn(2, 9, 2)
        for left in (0, 3):
            padded = torch.tensor([[0] * left + short + [0] * (3 - left), long])
            found = states_to_bases(states, padded, bases)
            expected = slowly(states[0, left : left + 6], short, bases)
            torch.testing.assert_close(found[0, : len(expected)], expected, atol=1e-5, rtol=1e-4)
            assert not found[0, len(expected) :].any()


@pytest.mark.parametrize("spans", SPANS.values(), ids=SPANS)
def test_a_label_at_one_base_reaches_the_state_that_covers_it(spans):
    for place in range(sum(spans)):
        states = torch.zeros(1, len(spans), 1, requires_grad=True)
        states_to_bases(states, torch.tensor([spans]))[0, place].sum().backward()
        (reached,) = states.grad[0, :, 0].nonzero()
        assert sum(spans[:reached]) <= place < sum(spans[: reached + 1])


@pytest.mark.parametrize("spans", SPANS.values(), ids=SPANS)
def test_gradients_are_shared_by_bases(spans):
    states = torch.randn(1, len(spans), 2, requires_grad=True, dtype=torch.float64)
    for bases in (1, 7):
        assert torch.autograd.gradcheck(states_to_bases, (states, torch.tensor([spans]), bases))


def test_states_of_several_bases_line_up_with_the_bases_of_a_batch():
    encoder = {"model_type": "enformer", "dim": 24, "depth": 1, "heads": 2, "attn_dim_key": 8, "num_downsamples": 7}
    encoder |= {"dim_divisible_by": 4, "max_position_embeddings": 512}
    model = TextGenomeDNAModel(TextGenomeDNAConfig(dna_config=encoder, pooling_num_heads=1)).eval()
    ids = torch.randint(0, 4, (2, 1, 300))
    mask = torch.ones_like(ids)
    mask[1, :, :50] = 0
    output = model(ids, mask, mask.clone())
    bases = states_to_bases(output.last_hidden_state[:, 0], output.state_spans[:, 0])
    assert output.state_spans[:, 0].tolist() == [[128, 128, 44], [128, 122, 0]]
    assert bases.shape[:2] == (2, 300)
    torch.testing.assert_close(bases[0, 255], output.last_hidden_state[0, 0, 1])
    torch.testing.assert_close(bases[0, 256], output.last_hidden_state[0, 0, 2])
    assert not bases[1, 250:].any()
