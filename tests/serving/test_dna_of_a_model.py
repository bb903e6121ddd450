"""Windows, VCF files, heads and explanations over HTTP."""

import copy
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import requests
from conftest import random_dna, variant_row
from fastapi.testclient import TestClient
from live_service import dense_head, serving, vcf_of

from textgenome import (
    TextGenomeDNAConfig,
    TextGenomeDNAForSequenceClassification,
    TextGenomeDNAForTokenClassification,
    TextGenomeDNAForTrackPrediction,
    TextGenomeDNAProcessor,
)
from textgenome.inference import classify, explain
from textgenome.inference.base_labels import label_bases
from textgenome.inference.tracks import predict_tracks
from textgenome.processing import build_dna_tokenizer
from textgenome.processing.processing_dna import variant_window
from textgenome.serving import heads
from textgenome.serving.app import create_app
from textgenome.serving.engine import Engine
from textgenome.serving.limits import Limits
from textgenome.serving.responses import Explained, HeadPrediction, VariantList, Windows


REFERENCE = random_dna(300)


def client_of(model, processor, **options) -> TestClient:
    limits = Limits(sequences=4, bases=1000, tokens=256)
    return TestClient(create_app(Engine(limits, model, processor), "tiny", **options), "http://127.0.0.1")


@pytest.fixture
def app(tiny_model, tiny_processor):
    with client_of(tiny_model, tiny_processor) as client:
        yield client


@pytest.fixture(scope="module")
def pair_classifier():
    sizes = {"d_model": 16, "d_inner": 16, "n_layer": 1, "max_seq_len": 64, "initializer_range": 0.4}
    model = TextGenomeDNAForSequenceClassification(TextGenomeDNAConfig(dna_config=sizes, id2label={0: "x", 1: "y"}))
    return model.eval(), TextGenomeDNAProcessor(build_dna_tokenizer("hyenadna", model_max_length=64), dna_window=40)


def pair_of(length: int = 40) -> dict:
    row = variant_row(length)
    return {"reference": row["reference_sequence"], "variant": row["variant_sequence"]}


@pytest.mark.parametrize(
    "start, lost, gained",
    [(150, 1, "A"), (5, 4, ""), (58, 0, "TTTTTT"), (100, 120, ""), (0, 64, ""), (200, 0, "C" * 64)],
)
def test_windows_are_those_of_the_processor(app, start, lost, gained):
    variant = REFERENCE[:start] + gained + REFERENCE[start + lost :]
    found = app.post("/window", json={"reference": REFERENCE.lower(), "variant": variant}).json()
    Windows.model_validate(found)
    parts = [found[name] for name in ("reference", "variant")]
    shown = tuple(part["before"] + part["changed"] + part["after"] for part in parts)
    assert shown == variant_window(REFERENCE, variant, 64)
    assert REFERENCE[found["start"] - 1 :].startswith(parts[0]["before"])
    assert found["start"] + len(parts[0]["before"]) == found["position"]
    assert found["added"] - found["removed"] == len(gained) - lost


def test_variants_of_a_vcf_file(tiny_model, tiny_processor, tmp_path):
    (tmp_path / "genome.fa").write_text(f">1\n{REFERENCE}\n")
    with client_of(tiny_model, tiny_processor, fasta=tmp_path / "genome.fa") as app:
        assert app.get("/v1/models").json()["data"][0]["takes_vcf"]
        found = app.post("/variants", json={"vcf": vcf_of(REFERENCE, 150, sample="0/1")}).json()
        VariantList.model_validate(found)
        changed = REFERENCE[:150] + found["data"][0]["name"][-1] + REFERENCE[151:]
        assert tuple(found["data"][0][name] for name in ("reference", "variant")) == variant_window(
            REFERENCE, changed, 64
        )
        assert found["data"][0]["name"].startswith("chr1:151:")
        wrong = vcf_of(REFERENCE.translate(str.maketrans("ACGT", "CGTA")), 150)
        for text, message in (
            ("ACGT", "it is not a VCF or BCF file"),
            (vcf_of(REFERENCE, 1, 2, 3), "more than 2 variants"),
            (wrong, "but the genome has"),
            (vcf_of(REFERENCE), "no variant with a sequence"),
            (vcf_of("N" * 300, 150), "must not have N"),
            (vcf_of(REFERENCE, 150).replace("\tA\t.", "\t" + "A" * 1000 + "\t."), "at most 1000"),
        ):
            error = app.post("/variants", json={"vcf": text}).json()["error"]
            assert error["param"] == "vcf" and message in error["message"]


def test_a_repeat_is_looked_through_as_far_as_sequences_may_be_long(tiny_model, tiny_processor, tmp_path):
    (tmp_path / "genome.fa").write_text(f">1\n{'A' * 5000}\n")
    inserted = vcf_of("A" * 300, 100).replace("\tA\tC\t", "\tA\tAA\t")
    with client_of(tiny_model, tiny_processor, fasta=tmp_path / "genome.fa") as app:
        error = app.post("/variants", json={"vcf": inserted}).json()["error"]
        assert "in a repeat of more than 1000 bases" in error["message"]


def test_a_genome_that_cannot_be_read_keeps_its_place_to_itself(tiny_model, tiny_processor, tmp_path):
    with client_of(tiny_model, tiny_processor, fasta=tmp_path / "gone.fa") as app:
        refused = app.post("/variants", json={"vcf": vcf_of(REFERENCE, 1)})
        assert refused.status_code == 500 and "cannot read its genome" in refused.json()["error"]["message"]
        assert "gone.fa" not in refused.text


def test_a_service_without_a_genome_reads_no_vcf_file(app):
    refused = app.post("/variants", json={"vcf": vcf_of(REFERENCE, 1)})
    assert refused.status_code == 404 and "--fasta" in refused.json()["error"]["message"]


def test_a_classifier_of_pairs(pair_classifier):
    model, processor = pair_classifier
    with client_of(model, processor) as app:
        about = app.get("/v1/models").json()["data"][0]
        assert (about["task"], about["sequences"], about["labels"]) == ("classification", 2, ["x", "y"])
        found = app.post("/dna", json=pair_of(100)).json()
        HeadPrediction.model_validate(found)
        row = dict(zip(("reference_sequence", "variant_sequence"), pair_of(100).values()))
        (expected,) = classify(model, processor, [row])
        assert found["label_scores"] == pytest.approx({name: math.exp(score) for name, score in expected.items()})
        assert found["answer"] == max(expected, key=expected.get)
        alone = app.post("/dna", json={"reference": REFERENCE[:40]})
        assert alone.status_code == 400 and alone.json()["error"]["param"] == "variant"
        asked = app.post("/predict", json={"reference_sequence": "A", "variant_sequence": "C", "question": "?"})
        assert asked.status_code == 400 and "writes no text" in asked.json()["error"]["message"]


def test_tracks_with_a_picture():
    model, processor = dense_head(TextGenomeDNAForTrackPrediction, track_means=[1.0, 2.0])
    with client_of(model, processor) as app:
        found = app.post("/dna", json={"reference": REFERENCE[:100]}).json()
        HeadPrediction.model_validate(found)
        (expected,) = predict_tracks(model, processor, [REFERENCE[:100]])
        means = np.array([found["track_means"][name][0] for name in ("one", "two")])
        np.testing.assert_allclose(means, expected.mean(0), rtol=1e-5)
        assert found["picture"].startswith("<svg") and REFERENCE[:20] not in found["picture"]
        both = app.post("/dna", json={"reference": REFERENCE[:100], "variant": REFERENCE[:99]}).json()
        (shorter,) = predict_tracks(model, processor, [REFERENCE[:99]])
        np.testing.assert_allclose(
            both["track_means"]["one"], [expected[:, 0].mean(), shorter[:, 0].mean()], rtol=1e-5
        )
        long = app.post("/dna", json={"reference": REFERENCE})
        assert long.status_code == 400 and "the model reads" in long.json()["error"]["message"]


def test_labels_of_bases_are_stretches_counted_from_1():
    model, processor = dense_head(
        TextGenomeDNAForTokenClassification, problem_type="multi_label_classification", label_thresholds=[0.5, 0.4]
    )
    with client_of(model, processor) as app:
        found = app.post("/dna", json={"reference": REFERENCE[:100]}).json()
        HeadPrediction.model_validate(found)
        (expected,) = label_bases(model, processor, [REFERENCE[:100]])
        labelled = np.zeros((100, 2), bool)
        for each in (each for each in found["stretches"] if each["strand"] == "+"):
            labelled[each["start"] - 1 : each["end"], ["one", "two"].index(each["label"])] = True
        assert labelled.any() and (labelled == (expected.astype(np.float16) >= [0.5, 0.4])).all()
        explained = app.post("/explain", json={"reference": REFERENCE[:100], "bases": 4, "position": 9}).json()
        Explained.model_validate(explained)
        there = explain(model, processor, REFERENCE[:100], bases=4, position=8)
        effects = [row["effect"] for row in there.rows() if row["output"] == explained["shown"]]
        assert [row["effect"] for row in explained["changes"]] == pytest.approx(effects, abs=1e-4)


def test_of_too_much_the_most_is_told_and_drawn_where_it_is(monkeypatch):
    drawn = []
    monkeypatch.setattr(heads, "as_svg", lambda figure: drawn.append(figure) or "<svg>")
    monkeypatch.setattr(heads, "MOST_LANES", 2)
    model, processor = dense_head(
        TextGenomeDNAForTokenClassification, problem_type="multi_label_classification", label_thresholds=[0.5, 0.4]
    )
    pair = {"reference": REFERENCE[:100], "variant": REFERENCE[:60]}
    with client_of(model, processor) as app:
        every = app.post("/dna", json=pair).json()
        monkeypatch.setattr(heads, "MOST_STRETCHES", 3)
        found = app.post("/dna", json=pair).json()
    lengths = sorted((each["end"] - each["start"] for each in every["stretches"]), reverse=True)
    assert [each["end"] - each["start"] for each in found["stretches"]] == lengths[:3]
    assert (found["stretches_left_out"], found["lanes_left_out"]) == (
        len(lengths) - 3,
        len(model.config.id2label) * 2 - 1,
    )
    reference, variant = drawn[-1].axes
    assert variant.get_xlim() == (1, 101)
    shown = [axis.patches[0].get_data() for axis in (reference, variant)]
    assert [int(np.isfinite(each.values).sum()) for each in shown] == [100, 60]
    assert shown[0].edges.tolist() == shown[1].edges.tolist() == [*range(1, 102)]


def test_labels_are_explained_and_drawn_as_they_are_written(tiny_model, tiny_processor):
    processor = copy.copy(tiny_processor)
    processor.reasons = False
    labels = [r"$\foo$", "a long answer " * 10]
    body = {**pair_of(), "question": "What?", "labels": labels, "show": labels[0], "bases": 1}
    with client_of(tiny_model, processor) as app:
        assert app.post("/explain", json=body).json()["picture"].startswith("<svg")
        refused = app.post("/explain", json={**body, "show": "c"}).json()["error"]
        assert refused["param"] == "show" and "choose from $" in refused["message"]


def test_an_explanation_takes_turns_with_answers(tiny_model, tiny_processor):
    body = {**pair_of(64), "question": "What?", "max_tokens": 2}
    asked = {"messages": [{"role": "user", "content": "Why?"}], "max_tokens": 40}
    with serving(tiny_model, tiny_processor, Limits(batch_size=1)) as service, ThreadPoolExecutor(1) as pool:
        explained = pool.submit(requests.post, f"{service.url}/explain", json=body, timeout=60)
        service.wait_until(lambda: service.engine.jobs)
        assert requests.post(f"{service.url}/v1/chat/completions", json=asked, timeout=60).ok
        assert not explained.done()
        assert len(explained.result().json()["changes"]) > 150


def test_what_the_answer_depends_on(app, tiny_model, tiny_processor):
    pair = pair_of(200)
    body = {**pair, "question": "What is lost?", "max_tokens": 4, "bases": 6}
    found = app.post("/explain", json=body).json()
    Explained.model_validate(found)
    expected = explain(tiny_model, tiny_processor, *pair.values(), "What is lost?", bases=6, max_new_tokens=4)
    rows = [{name: row[name] for name in ("position", "base", "changed_to")} for row in expected.rows()]
    assert [{name: row[name] for name in ("position", "base", "changed_to")} for row in found["changes"]] == rows
    effects = [row["effect"] for row in expected.rows()]
    assert [row["effect"] for row in found["changes"]] == pytest.approx(effects, abs=1e-4)
    assert pair["reference"][rows[0]["position"] - 1] == rows[0]["base"]
    assert found["picture"].startswith("<svg") and found["notice"]


@pytest.mark.parametrize(
    "change, field, message",
    [
        ({"question": None}, "question", "needs a question"),
        ({"variant": None}, "variant", "needs a question about a reference and a variant"),
        ({"reference": "AJ"}, "reference", "'J' at position 2"),
        ({"labels": ["a"]}, "labels", "at least 2 items"),
        ({"labels": ["a", "b"]}, "labels", "reason anew about each change"),
        ({"show": "c"}, "show", "give labels to choose from"),
        ({"position": 3}, "position", "label bases"),
        ({"bases": 101}, "bases", "less than or equal to 100"),
        ({"question": "why " * 400}, "question", "prompt and answer may have 256 together"),
    ],
)
def test_explanations_that_are_refused(app, change, field, message):
    response = app.post("/explain", json={**pair_of(), "question": "What?", "max_tokens": 4, **change})
    error = response.json()["error"]
    assert response.status_code == 400 and error["param"] == field and message in error["message"]


def test_without_saved_examples_and_labels_there_are_none(app):
    assert app.get("/v1/models").json()["data"][0]["examples"] == []
    assert app.get("/v1/models").json()["data"][0]["labels"] is None
