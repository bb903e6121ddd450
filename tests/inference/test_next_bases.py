import math
from itertools import chain

import pytest
import torch
from conftest import random_dna
from dna_language_models import CAUSAL, tiny_language_model

from textgenome.inference.language_models import DNALanguageModel
from textgenome.inference.next_bases import BaseSampler, generate_bases, measure_next_bases, read_prompts
from textgenome.processing import build_dna_tokenizer


class Repeats(torch.nn.Module):
    """Predicts that each base comes again, with the odds of the logit 2 against 0 for the other tokens."""

    device, config = torch.device("cpu"), None

    def forward(self, ids, attention_mask):
        logits = 2.0 * torch.nn.functional.one_hot(ids, 128)
        return type("Output", (), {"logits": logits})


def test_loss_and_accuracy_are_means_over_sequences():
    language_model = DNALanguageModel("repeats", Repeats(), build_dna_tokenizer("bytes"), True)
    loss, accuracy = measure_next_bases(language_model, ["AAAA", "AC"])
    again, other = (math.log(math.e**2 + 127) - logit for logit in (2, 0))
    assert loss == pytest.approx((again + other) / 2, abs=1e-5)
    assert accuracy == 0.5
    assert measure_next_bases(language_model, ["AANC", "N"])[1] == 0.5  # N is not predicted, but read
    with pytest.raises(ValueError, match="No bases to predict"):
        measure_next_bases(language_model, ["A", "AN"])


@pytest.mark.parametrize("kind", CAUSAL)
def test_with_a_cache_and_without_the_same_is_written(kind):
    language_model = tiny_language_model(kind)
    prompts = [random_dna(20), random_dna(31, 1)]
    options = {"length": 12, "num": 3, "temperature": 0.9, "seed": 5}
    cached = generate_bases(language_model, prompts, **options)
    plain = generate_bases(language_model, prompts, **options, use_cache=False)
    for one, other in zip(chain(*cached), chain(*plain), strict=True):
        assert one[:3] == other[:3]
        assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-4)
    assert len({one.bases for one in cached[0]}) == 3
    assert {len(one.bases) for one in cached[0]} == {12}


@pytest.mark.parametrize("kind", CAUSAL)
def test_the_likelihood_is_that_of_the_new_bases(kind):
    language_model = tiny_language_model(kind)
    prompt = random_dna(25)
    one = generate_bases(language_model, [prompt], length=10, temperature=2)[0][0]
    ids = language_model.tokenizer(prompt + one.bases)["input_ids"]
    with torch.no_grad():
        log_probs = language_model.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    expected = sum(log_probs[i - 1, ids[i]].item() for i in range(25, 35))
    assert one.log_likelihood == pytest.approx(expected, abs=1e-4)
    assert one.bits_per_base == pytest.approx(-expected / 10 / math.log(2), abs=1e-4)


def test_what_is_drawn_depends_on_the_seed_alone():
    language_model = tiny_language_model("hyenadna")
    prompts = [random_dna(20), random_dna(31, 1), "N" * 5 + random_dna(9, 2)]
    one = generate_bases(language_model, prompts, num=2, length=8, batch_size=1)
    assert [[each.bases for each in row] for row in one] == [
        [each.bases for each in row] for row in generate_bases(language_model, prompts, num=2, length=8)
    ]
    assert one != generate_bases(language_model, prompts, num=2, length=8, seed=1)
    greedy = generate_bases(language_model, prompts, num=2, length=8, temperature=0)
    assert all(first.bases == second.bases for first, second in greedy)


def test_draws_follow_the_probabilities():
    scores = torch.tensor([[5.0, 1.0, 0.0, -1.0, 2.0]]).repeat(4000, 1)
    drawn = BaseSampler([1, 2, 3, 4], 0.5, range(4000))(None, scores).argmax(-1)
    shares = drawn.bincount(minlength=5) / 4000
    expected = torch.tensor([0.0, *(scores[0, 1:] / 0.5).softmax(-1)])
    torch.testing.assert_close(shares, expected, atol=0.03, rtol=0)


def test_models_that_write_no_single_bases_and_long_prompts_are_refused():
    with pytest.raises(ValueError, match="predicts masked tokens, not the next one"):
        generate_bases(tiny_language_model("caduceus"), ["ACGT"])
    with pytest.raises(ValueError, match=r"Prompt 1 has 100 bases, with 29 new ones 129, but .* reads at most 128"):
        generate_bases(tiny_language_model("hyenadna"), ["ACGT", random_dna(100)], length=29)


def test_prompts_are_the_first_column_below_a_header(tmp_path):
    path = tmp_path / "prompts.csv"
    path.write_text("sequence,name\nacgt,x\nGGGG,y\n")
    assert read_prompts(path) == ["ACGT", "GGGG"]
    path.write_text("sequence\nACGT\nhello\n")
    with pytest.raises(ValueError, match=r"prompts.csv, line 3: "):
        read_prompts(path)
    path.write_text("sequence\n")
    with pytest.raises(ValueError, match="no sequences follow the header"):
        read_prompts(path)
