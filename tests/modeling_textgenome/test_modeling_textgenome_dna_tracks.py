"""Tracks along DNA: heads, losses, scaling, and where bins are."""

import copy
import math

import pytest
import torch
from conftest import random_dna
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import ENCODERS, SEVERAL_BASES
from transformers import AutoModel
from transformers.models.esm import EsmConfig

from textgenome import TextGenomeDNAConfig, TextGenomeDNAForTrackPrediction, TextGenomeDNAProcessor
from textgenome.modeling_textgenome_dna_tracks import scale_signal, track_loss, unscale_signal
from textgenome.processing import build_dna_tokenizer


SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SIX_MERS = EsmConfig(vocab_size=4105, pad_token_id=1, mask_token_id=2, max_position_embeddings=66, **SIZES)
ALL = {**ENCODERS, **SEVERAL_BASES, "six-mers": SIX_MERS}
HEADS = ("dilated", "genos", "linear")


def tiny_model(encoder="hyenadna", **kwargs) -> TextGenomeDNAForTrackPrediction:
    config = {"dna_config": copy.deepcopy(ALL[encoder]), "id2label": {0: "a", 1: "b"}, "pooling_num_heads": 1}
    config |= {"track_width": 8, "track_layers": 2}
    return TextGenomeDNAForTrackPrediction(TextGenomeDNAConfig(**{**config, **kwargs})).eval()


def batch_of(*sequences, encoder="hyenadna", **padding):
    vocabulary = {"six-mers": "nucleotide_transformer", **dict.fromkeys(SEVERAL_BASES, "enformer")}
    processor = TextGenomeDNAProcessor(build_dna_tokenizer(vocabulary.get(encoder, "hyenadna"), 1024))
    return processor(list(sequences), return_tensors="pt", **padding)


def test_the_head_of_genos_has_the_published_number_of_parameters():
    config = TextGenomeDNAConfig(
        dna_config={"model_type": "hyenadna", "d_model": 1024, "n_layer": 1}, id2label={0: "a"}, track_head="genos"
    )
    with torch.device("meta"):
        head = TextGenomeDNAForTrackPrediction(config).head
    assert sum(each.numel() for each in head.parameters()) == 836_610


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("encoder", ALL)
def test_any_encoder_trains_a_step_and_loads_the_same(tmp_path, encoder, head):
    model = tiny_model(encoder, track_head=head, track_resolution=4).train()
    batch = batch_of(random_dna(40, 1), random_dna(23, 2), encoder=encoder)
    labels = torch.rand(2, 10, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(2):
        loss = model(**batch, labels=labels).loss
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
        optimizer.zero_grad()
    assert losses[0] != losses[1] and math.isfinite(losses[1])
    model.eval().save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path).eval()
    assert type(again) is TextGenomeDNAForTrackPrediction
    torch.testing.assert_close(again(**batch).logits, model(**batch).logits)
    assert model(**batch).logits.shape == (2, 10, 2)


@pytest.mark.parametrize("head", HEADS)
@settings(max_examples=5, deadline=None)
@given(length=st.integers(1, 40), others=st.lists(st.integers(1, 60), max_size=2), resolution=st.integers(1, 9))
def test_padding_and_neighbours_change_nothing(head, length, others, resolution):
    model = tiny_model(track_head=head, track_resolution=resolution)
    sequence = random_dna(length)
    alone = model(**batch_of(sequence)).logits[0]
    for side in ("left", "right"):
        batch = batch_of(sequence, *map(random_dna, others), padding_side=side)
        together = model(**batch).logits[0]
        torch.testing.assert_close(together[: len(alone)], alone, atol=1e-5, rtol=1e-4)
        assert not together[len(alone) :].any() and len(alone) == math.ceil(length / resolution)


@pytest.mark.parametrize("encoder", ["hyenadna", "six-mers", "enformer"])
def test_what_is_planted_at_one_base_shows_in_its_bin(encoder):
    model = tiny_model(encoder, track_head="linear", track_resolution=8)
    sequence = random_dna(60, 3)
    for place in (0, 7, 8, 33, 59):
        changed = sequence[:place] + ("A" if sequence[place] != "A" else "C") + sequence[place + 1 :]
        before, after = (model(**batch_of(each, encoder=encoder)).logits[0] for each in (sequence, changed))
        difference = (after - before).abs().sum(-1)
        # A token of six bases may have more of its bases in the next bin; convolutions reach further.
        reach = 0 if encoder == "hyenadna" else 1
        assert len(difference) == 8 and abs(int(difference.argmax()) - place // 8) <= reach
        assert encoder != "hyenadna" or not difference[: place // 8].any()  # it is causal


@pytest.mark.parametrize("head", ["dilated", "genos"])
def test_a_new_head_starts_at_the_means_of_the_tracks(head):
    model = tiny_model(track_head=head)
    model.head.start_at(torch.tensor([0.004, 30.0]))
    predicted = model(**batch_of(random_dna(60, 1))).logits[0].mean(0)
    torch.testing.assert_close(predicted, torch.tensor([0.004, 30.0]), rtol=0.3, atol=0)


def test_a_bin_is_the_mean_of_the_states_of_its_bases():
    model, fine = (tiny_model(track_head="linear", track_resolution=bases) for bases in (5, 1))
    fine.load_state_dict(model.state_dict())
    batch = batch_of(random_dna(17))
    logits = [each(**batch).logits[0].expm1().log() for each in (model, fine)]
    expected = [logits[1][start : start + 5].mean(0) for start in range(0, 17, 5)]
    torch.testing.assert_close(logits[0], torch.stack(expected), atol=1e-4, rtol=1e-4)


@given(
    signal=st.lists(st.floats(0, 1e6, width=32), min_size=1, max_size=20),
    mean=st.floats(0.01, 1e3),
)
def test_scaling_and_its_inverse(signal, mean):
    signal, means = torch.tensor(signal, dtype=torch.float64)[:, None], torch.tensor([mean], dtype=torch.float64)
    scaled = scale_signal(signal, means)
    torch.testing.assert_close(unscale_signal(scaled, means), signal, rtol=1e-6, atol=1e-9)
    order = signal[:, 0].argsort()
    assert (scaled[order].diff(dim=0) >= -1e-9).all()  # equal ones may differ in their last bits


def test_scaling_is_that_of_borzoi():
    signal = torch.tensor([0.0, 2.0, 200.0, float("nan")])[:, None]
    power = 100**0.75
    expected = [0.0, 1.0, 2 * math.sqrt(10 * power) - 10]
    scaled = scale_signal(signal, torch.tensor([2.0]))[:, 0]
    assert scaled[:3].tolist() == pytest.approx(expected, rel=1e-5) and scaled[3].isnan()


def test_predictions_are_in_the_units_of_the_labels():
    plain, scaled = tiny_model(), tiny_model(track_means=[3.0, 50.0])
    scaled.load_state_dict(plain.state_dict())
    batch = batch_of(random_dna(12))
    expected = unscale_signal(plain(**batch).logits.detach(), torch.tensor([3.0, 50.0]))
    torch.testing.assert_close(scaled(**batch).logits, expected)
    # The loss compares on the scale of training, on which such labels are those that the plain model predicts.
    assert scaled(**batch, labels=expected).loss.item() == pytest.approx(
        plain(**batch, labels=plain(**batch).logits.detach()).loss.item(), rel=1e-4
    )


def loss_of(name, predicted, signal, **fields):
    config = tiny_model().config
    config.track_loss = name
    for field, value in fields.items():
        setattr(config, field, value)
    return track_loss(torch.tensor(predicted)[None, :, None], torch.tensor(signal)[None, :, None], config).item()


def test_losses_are_what_they_are_called():
    predicted, signal = [0.5, 2.0, 4.0], [0.0, 3.0, 5.0]
    pairs = [*zip(predicted, signal)]
    assert loss_of("mse", predicted, signal) == pytest.approx(sum((p - y) ** 2 for p, y in pairs) / 3)
    poisson = sum(p - y * math.log(p) for p, y in pairs) / 3
    assert loss_of("poisson", predicted, signal) == pytest.approx(poisson, rel=1e-4)
    tweedie = sum(-y * p ** (1 - 1.3) / (1 - 1.3) + p ** (2 - 1.3) / (2 - 1.3) for p, y in pairs) / 3
    assert loss_of("tweedie", predicted, signal, tweedie_power=1.3) == pytest.approx(tweedie, rel=1e-4)
    total = 6.5 - 8 * math.log(6.5)
    profile = -sum(y * math.log(p / 6.5) for p, y in pairs)
    together = loss_of("poisson_multinomial", predicted, signal, track_total_weight=0.2)
    assert together == pytest.approx((0.2 * total + profile) / 3, rel=1e-4)
    # Equally weighted, sum and profile are the Poisson loss of each position.
    assert loss_of("poisson_multinomial", predicted, signal, track_total_weight=1) == pytest.approx(poisson, rel=1e-4)


@pytest.mark.parametrize("loss", ["mse", "poisson", "tweedie", "poisson_multinomial"])
def test_what_is_unknown_and_what_is_padding_has_no_part_in_the_loss(loss):
    model = tiny_model(track_loss=loss)
    labels = torch.rand(2, 9, 2)
    labels[0, 3:] = float("nan")
    batch = batch_of(random_dna(9), random_dna(5))
    expected = model(**batch, labels=labels).loss
    labels[1, 5:] = 1000
    assert model(**batch, labels=labels).loss == expected and expected.isfinite()
    assert model(**batch, labels=torch.full((2, 9, 2), float("nan"))).loss == 0


def test_what_does_not_fit_is_refused():
    model, batch = tiny_model(track_resolution=4), batch_of(random_dna(9))
    with pytest.raises(ValueError, match=r"here at most \(1, 3, 2\), got \(1, 4, 2\)"):
        model(**batch, labels=torch.zeros(1, 4, 2))
    pairs = {name: value.expand(1, 2, 9) for name, value in batch.items()}
    with pytest.raises(ValueError, match=r"one sequence for each row.*got \(1, 2, 9\)"):
        model(**pairs)
    for field, value in {
        "track_resolution": 129,
        "tweedie_power": 2.0,
        "track_means": [1.0],
        "track_partners": [1, 1],
    }.items():
        with pytest.raises(ValueError, match=f"'{field}'"):
            tiny_model(**{field: value})
