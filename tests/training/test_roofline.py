import pytest
import torch

from textgenome import TextGenomeConfig, TextGenomeForConditionalGeneration
from textgenome.training.roofline import GPUS, MATMULS, step_operations, step_seconds


SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
SIZES |= {"num_key_value_heads": 2, "head_dim": 16}
TEXT = {"model_type": "qwen3", "vocab_size": 128, **SIZES}
DNA = {"model_type": "llama", "vocab_size": 12, **SIZES}


def test_operations_are_those_of_both_networks_and_the_head():
    with torch.device("meta"):
        model = TextGenomeForConditionalGeneration(TextGenomeConfig(text_config=TEXT, dna_config=DNA))
    model.model.dna_encoder.requires_grad_(False)
    # A layer: q and o of 64 x 64, k and v of 64 x 32, three of 64 x 128.
    layers, attention = 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128), 2 * 64
    tokens, window, labels, rows = 300, 100, 40, 2
    dna = 2 * layers * 2 * rows * window + 2 * attention * 2 * rows * window**2
    text = 6 * layers * rows * tokens + 6 * attention * rows * tokens**2
    head = 4 * 64 * 128 * rows * labels
    needed, done = step_operations(model, model.config, (tokens, window, labels), rows, checkpointing=False)
    assert needed == done == dna + text + head
    needed, done = step_operations(model, model.config, (tokens, window, labels), rows, checkpointing=True)
    assert done - needed == 2 * layers * rows * tokens + 2 * attention * rows * tokens**2


@pytest.mark.parametrize("gpu", GPUS)
def test_time_is_that_of_products_and_of_traffic(gpu):
    flops, bandwidth = GPUS[gpu]
    assert step_seconds(gpu, flops, 0, False) == pytest.approx(1 / MATMULS)
    traffic = [step_seconds(gpu, 0, bandwidth, checkpointing) for checkpointing in (False, True)]
    assert 4 < traffic[0] < 5 and traffic[1] == pytest.approx(1.5 * traffic[0])
