import pytest
from conftest import random_dna, variant_row

from textgenome.data.rows import load_rows
from textgenome.evaluation.baselines import predict_baselines


def test_each_baseline_sees_only_its_part_of_the_row():
    genes = {"a": random_dna(300, seed=1), "b": random_dna(300, seed=2)}
    train = [
        variant_row(question=f"Gene {name.upper()}1?", answer=name, reference_sequence=dna)
        for name, dna in genes.items()
        for _ in range(3)
    ]
    train.append(variant_row(question="Gene A1?", answer="c", reference_sequence=random_dna(300, seed=3)))
    known = variant_row(question="Gene B1?", reference_sequence="N" + genes["a"][100:].lower(), answer="unread")
    unknown = variant_row(question="gene b1, and now?", reference_sequence=genes["b"][:200], answer="unread")
    assert predict_baselines(train, [known, unknown]) == {
        "majority": ["a", "a"],
        "question_lookup": ["b", "a"],
        "question_tfidf": ["b", "b"],
        "reference_16mers": ["a", "b"],
        "reference_6mers": ["a", "b"],
    }


def test_neighbours_that_tie_yield_to_the_first():
    dna = random_dna(100)
    train = [variant_row(answer=answer, reference_sequence=dna) for answer in ("first", "second", "second")]
    assert predict_baselines(train, [variant_row(reference_sequence=dna)])["reference_16mers"] == ["first"]


def test_distinct_kmers_count_once():
    dna, repeat = random_dna(60, seed=1), random_dna(16, seed=2)
    train = [
        variant_row(answer="repeat", reference_sequence=repeat * 20),
        variant_row(answer="stretch", reference_sequence=dna),
    ]
    asked = variant_row(reference_sequence=dna + repeat)
    assert predict_baselines(train, [asked])["reference_16mers"] == ["stretch"]


def test_a_single_answer_is_always_predicted():
    predictions = predict_baselines([variant_row(), variant_row(seed=1)], [variant_row(seed=2)] * 3)
    assert len(predictions) == 5
    assert all(answers == ["cancer"] * 3 for answers in predictions.values())


@pytest.mark.slow
def test_kegg_accuracies(kegg_folder):
    rows = load_rows(str(kegg_folder), "val").to_list()
    predictions = predict_baselines(load_rows(str(kegg_folder), "train").to_list(), rows)
    accuracies = {
        name: sum(answer == row["answer"] for answer, row in zip(answers, rows)) / len(rows)
        for name, answers in predictions.items()
    }
    expected = {
        "majority": 0.153,
        "question_lookup": 0.986,
        "question_tfidf": 0.986,
        "reference_16mers": 0.944,
        "reference_6mers": 0.91,
    }
    assert accuracies == pytest.approx(expected, abs=0.02)
