import csv

import numpy as np
import pytest
import torch
from conftest import random_dna, variant_row
from dna_language_models import tiny_language_model
from typer.testing import CliRunner

from textgenome import (
    TextGenomeDNAConfig,
    TextGenomeDNAForSequenceClassification,
    TextGenomeDNAForTokenClassification,
    TextGenomeDNAForTrackPrediction,
    TextGenomeDNAProcessor,
)
from textgenome.commands import app
from textgenome.inference import classify, explain, score_variants, write_explanation
from textgenome.inference.explaining import _explain
from textgenome.inference.mutagenesis import LETTERS, Scorer, cut_window
from textgenome.processing import build_dna_tokenizer


SIZES = {"d_model": 16, "d_inner": 16, "n_layer": 1, "max_seq_len": 64, "initializer_range": 0.4}
LABELS = ["cancer", "flu"]


def head(model_class, **fields):
    fields = {"id2label": {0: "x", 1: "y", 2: "z"}, **fields}
    model = model_class(TextGenomeDNAConfig(dna_config=SIZES, **fields)).eval()
    return model, TextGenomeDNAProcessor(build_dna_tokenizer("hyenadna", model_max_length=64), dna_window=40)


def changed(sequence: str, place: int, base: str) -> str:
    return sequence[:place] + base + sequence[place + 1 :]


def test_the_bases_of_a_planted_motif_carry_the_effect():
    sequence = random_dna(30).replace("TATA", "TCTA")
    reference = f"{sequence[:14]}TATAAA{sequence[14:]}"
    variant = changed(reference, 16, "G")
    scorer = Scorer(["box"], "score", lambda batch: [[float("TATAAA" in pair[0])] for pair in batch])
    found = _explain(cut_window(reference, variant, 24, 100), scorer, batch_size=8)
    assert found.sequence in reference and len(found.sequence) == 24
    assert reference[found.start : found.start + 24] == found.sequence
    motif = range(14 - found.start, 20 - found.start)
    assert [place for place, value in enumerate(found.importance()) if value] == list(motif)
    assert found.changed == (16 - found.start, 17 - found.start)
    place = 16 - found.start
    assert np.isnan(found.effects[place, LETTERS.index("G"), 0])  # no variant would be left
    assert found.effects[place, LETTERS.index("T"), 0] == 0


@pytest.mark.parametrize(
    "inserted, along", [("", "reference"), ("", "variant"), ("ACC", "reference"), ("ACC", "variant")]
)
def test_flanks_change_in_both_sequences_and_the_difference_in_one(inserted, along):
    reference = "GATTACAGGCATCATTG"
    variant = f"{reference[:8]}{inserted}{reference[8 + (not inserted) :]}"
    window = cut_window(reference, variant, 40, 100, along)
    own = window.windows[window.along]
    assert own == (reference if along == "reference" else variant)
    for mutant in window.mutants():
        first, second = mutant.windows
        assert changed(own, mutant.place, mutant.base) == mutant.windows[window.along] and first != second
        inside = window.changed[0] <= mutant.place < window.changed[1]
        other = (reference, variant)[1 - window.along]
        assert (mutant.windows[1 - window.along] == other) == inside


def test_of_a_long_sequence_the_middle_is_changed():
    window = cut_window(random_dna(50), None, 8, 10)
    assert (window.start, window.stop, len(window.windows[0])) == (20, 30, 50)
    assert len(list(window.mutants())) == 30


def test_a_classifier_of_pairs():
    model, processor = head(TextGenomeDNAForSequenceClassification)
    row = variant_row(40)
    found = explain(model, processor, row["reference_sequence"], row["variant_sequence"], batch_size=7)
    assert found.outputs == ["x", "y", "z"] and found.effects.shape == (40, 4, 3)
    assert found.shown == found.outputs[found.scores.argmax()]
    base = "A" if found.sequence[3] != "A" else "C"
    pair = {name: changed(row[name], 3, base) for name in ("reference_sequence", "variant_sequence")}
    (scores,) = classify(model, processor, [pair], are_windows=True)
    effect = found.effects[3, LETTERS.index(base)]
    np.testing.assert_allclose(found.scores + effect, list(scores.values()), atol=1e-5)
    assert found.gradients.shape == (40,) and np.abs(found.gradients).max() > 0
    with pytest.raises(ValueError, match="a pair: give reference and variant"):
        explain(model, processor, row["reference_sequence"])


def test_gradient_times_input_tells_what_shrinking_an_embedding_does():
    model, processor = head(
        TextGenomeDNAForSequenceClassification,
        num_sequences=1,
        pooling="mean",
        problem_type="regression",
        id2label={0: "value"},
    )
    for parameter in model.model.parameters():
        parameter.requires_grad_(False)  # gradients go through a frozen encoder
    sequence = random_dna(30)
    found = explain(model, processor, sequence)
    assert found.unit == "value" and found.shown == "value"
    inputs = processor(sequence, return_tensors="pt")
    embeds = model.model.dna_encoder.get_input_embeddings()(inputs["dna_input_ids"]).detach()
    # HyenaDNA's tokenizer adds a token after the bases.
    smaller = embeds.clone()
    smaller[0, 0, 5] *= 0.999
    with torch.no_grad():
        values = [model(**inputs, dna_inputs_embeds=each).logits.item() for each in (embeds, smaller)]
    assert (values[0] - values[1]) / 0.001 == pytest.approx(found.gradients[5], rel=0.05, abs=1e-3)


@pytest.mark.parametrize("model_class", [TextGenomeDNAForTokenClassification, TextGenomeDNAForTrackPrediction])
def test_dense_heads(model_class):
    fields = {"track_means": [1.0] * 3} if model_class is TextGenomeDNAForTrackPrediction else {}
    model, processor = head(model_class, num_sequences=1, pooling="mean", **fields)
    found = explain(model, processor, random_dna(30), bases=6, position=12 if not fields else None)
    assert found.effects.shape == (6, 4, 3) and found.start == 12 and not np.isnan(found.effects).any()
    assert found.gradients.shape == (6,)
    if not fields:
        with pytest.raises(ValueError, match="Base 31 is not in the sequence, which has 30"):
            explain(model, processor, random_dna(30), position=30)


def test_an_encoder_without_embeddings_gives_no_gradients():
    enformer = {"model_type": "enformer", "dim": 24, "depth": 1, "heads": 2, "attn_dim_key": 8, "num_downsamples": 3}
    enformer |= {"dim_divisible_by": 4, "max_position_embeddings": 128}
    config = TextGenomeDNAConfig(dna_config=enformer, id2label={0: "x"}, num_sequences=1, track_means=[1.0])
    processor = TextGenomeDNAProcessor(build_dna_tokenizer("enformer", model_max_length=128))
    found = explain(TextGenomeDNAForTrackPrediction(config).eval(), processor, random_dna(128), bases=2)
    assert found.gradients is None and np.isfinite(found.scores).all()


def test_a_model_that_writes(tiny_model, tiny_processor):
    row = variant_row(30)
    given = (row["reference_sequence"], row["variant_sequence"], "What?")
    by_label = explain(
        tiny_model, tiny_processor, *given, labels=LABELS, bases=4, enable_thinking=False, max_new_tokens=0
    )
    assert by_label.outputs == LABELS and np.exp(by_label.scores).sum() == pytest.approx(1)
    written = explain(tiny_model, tiny_processor, *given, bases=4, max_new_tokens=3)
    assert len(written.outputs) == 1 and written.scores[0] < 0
    for found in (by_label, written):
        assert found.effects.shape[:2] == (4, 4) and found.gradients.shape == (4,)
        assert np.nanmax(np.abs(found.effects)) > 0
    with pytest.raises(ValueError, match="needs a question"):
        explain(tiny_model, tiny_processor, *given[:2])
    with pytest.raises(ValueError, match="compares a pair"):
        explain(tiny_model, tiny_processor, given[0], None, "What?")


def test_a_language_model_of_dna():
    language_model = tiny_language_model("hyenadna")
    sequence = random_dna(40)
    found = explain(language_model, None, sequence, bases=5)
    base = "G" if sequence[19] != "G" else "T"
    (ratio,) = score_variants(language_model, [(sequence, changed(sequence, 19, base))])
    assert found.effects[19 - found.start, LETTERS.index(base), 0] == pytest.approx(ratio, abs=1e-5)
    assert found.gradients is None and found.scores.tolist() == [0]


def test_the_command_writes_pictures_pages_and_tables(tmp_path):
    model, processor = head(TextGenomeDNAForSequenceClassification)
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    row = variant_row(30)
    words = ["explain", str(tmp_path / "model"), "--bases", "6", "--show", "y"]
    words += ["--reference", row["reference_sequence"], "--variant", row["variant_sequence"]]
    for name in ("out.png", "out.html", "out.tsv"):
        result = CliRunner().invoke(app, [*words, "--output", str(tmp_path / name)])
        assert result.exit_code == 0, result.output
        assert "score of y" in result.output and "Research use only" in result.output
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "out.html").read_text()
    assert page.count("<svg") == 3 and "Largest effects" in page and "Research use only, not for diagnosis." in page
    rows = list(csv.DictReader((tmp_path / "out.tsv").open(), delimiter="\t"))
    assert list(rows[0]) == ["position", "base", "changed_to", "output", "score", "effect"]
    assert {row["output"] for row in rows} == {"x", "y", "z"} and len(rows) >= 3 * 17
    assert row["reference_sequence"][int(rows[0]["position"]) - 1] == rows[0]["base"]
    again = CliRunner().invoke(app, [*words, "--output", str(tmp_path / "out.png")])
    assert again.exit_code == 1 and "is there already" in again.stderr
    with pytest.raises(ValueError, match=r"\.txt"):
        write_explanation(None, tmp_path / "out.txt")
