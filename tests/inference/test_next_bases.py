import math

import pytest
import torch

from textgenome.inference.next_bases import measure_next_bases, read_prompts
from textgenome.processing import build_dna_tokenizer


class Repeats(torch.nn.Module):
    """Predicts that each base comes again, with the odds of the logit 2 against 0 for the other tokens."""

    device = torch.device("cpu")

    def forward(self, ids):
        logits = 2.0 * torch.nn.functional.one_hot(ids, 128)
        return type("Output", (), {"logits": logits})


def test_loss_and_accuracy_are_means_over_sequences():
    loss, accuracy = measure_next_bases(Repeats(), build_dna_tokenizer("bytes"), ["AAAA", "AC"])
    again, other = (math.log(math.e**2 + 127) - logit for logit in (2, 0))
    assert loss == pytest.approx((again + other) / 2, abs=1e-5)
    assert accuracy == 0.5


def test_prompts_are_the_first_column_below_a_header(tmp_path):
    path = tmp_path / "prompts.csv"
    path.write_text("sequence,name\nacgt,x\nGGGG,y\n")
    assert read_prompts(path) == ["ACGT", "GGGG"]
    path.write_text("sequence\nACGT\nhello\n")
    with pytest.raises(ValueError, match=r"prompts.csv, line 3: "):
        read_prompts(path)
    path.write_text("sequence\n")
    with pytest.raises(ValueError, match="there is no sequence below the header"):
        read_prompts(path)
