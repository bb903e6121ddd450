import math

import pytest
import torch
from conftest import variant_row

from textgenome import TextGenomeDNAConfig, TextGenomeDNAForSequenceClassification, TextGenomeDNAProcessor
from textgenome.inference import classify
from textgenome.inference.classification import classify_batches
from textgenome.processing import build_dna_tokenizer, variant_window


@pytest.fixture
def model():
    dna_config = {"d_model": 16, "d_inner": 16, "n_layer": 1, "max_seq_len": 64, "initializer_range": 0.3}
    config = TextGenomeDNAConfig(dna_config=dna_config, id2label={0: "x", 1: "y", 2: "z"})
    return TextGenomeDNAForSequenceClassification(config)


@pytest.fixture
def processor():
    return TextGenomeDNAProcessor(build_dna_tokenizer("hyenadna", model_max_length=64), dna_window=32)


def test_log_probabilities_by_label(model, processor):
    rows = [variant_row(30 + 5 * i, seed=i) for i in range(5)]
    predictions = classify(model.train(), processor, rows, batch_size=2)
    assert model.training and len(predictions) == 5
    inputs = processor(rows[4]["reference_sequence"], rows[4]["variant_sequence"], return_tensors="pt")
    expected = model.eval()(**inputs).logits[0].log_softmax(-1)
    assert list(predictions[4]) == ["x", "y", "z"]
    torch.testing.assert_close(torch.tensor(list(predictions[4].values())), expected, atol=1e-5, rtol=1e-5)
    for prediction in predictions:
        assert sum(map(math.exp, prediction.values())) == pytest.approx(1, abs=1e-5)


def test_windows_and_a_control_that_shows_the_reference_twice(model, processor):
    row = variant_row(60)
    reference, variant = variant_window(row["reference_sequence"], row["variant_sequence"], 32)
    window = {"reference_sequence": reference, "variant_sequence": variant}
    as_is = classify(model, processor, [row])[0]
    assert classify(model, processor, [window], are_windows=True)[0] == pytest.approx(as_is, abs=1e-6)
    twice = {"reference_sequence": reference, "variant_sequence": reference}
    control = classify(model, processor, [twice], are_windows=True)[0]
    assert max(abs(control[label] - as_is[label]) for label in as_is) > 1e-4
    with pytest.raises(ValueError, match="are equal"):
        classify(model, processor, [twice])


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_restored_when_stopped_early(model, processor, training):
    model.train(training)
    for _ in classify_batches(model, processor, [variant_row(seed=i) for i in range(3)], batch_size=1):
        assert not model.training
        break
    assert model.training is training
    with pytest.raises(ValueError, match="are equal"):
        classify(model, processor, [{"reference_sequence": "ACGT", "variant_sequence": "ACGT"}])
    assert model.training is training
