import random

import numpy as np
import pytest
from conftest import random_dna
from sklearn.metrics import average_precision_score, roc_auc_score

from textgenome.data.sequences import SequenceRow
from textgenome.evaluation.variant_scores import MODEL, format_scores, judge, measure_scores, number_loci, read_labels
from textgenome.genome.intervals import Interval


def variant(reference: str, place: int, base: str, contig: str | None = "1", start: int = 0) -> SequenceRow:
    at = None if contig is None else Interval(contig, start, start + 1)
    return SequenceRow("name", reference, reference[:place] + base + reference[place + 1 :], place=at)


def rows_of(number: int) -> list[SequenceRow]:
    rows = []
    for i in range(number):
        dna = random_dna(41, i)
        rows.append(variant(dna, 20, "ACGT"["CGTA".index(dna[20])], start=1000 * i))
    return rows


def test_loci_are_windows_that_overlap_on_the_genome():
    dna = random_dna(100)
    places = [("1", 500), ("2", 500), ("1", 100), ("1", 199), ("1", 299), ("1", 399), ("1", 400)]
    rows = [variant(dna, 49, "N", *place) for place in places]
    # Windows of 100 bases: those at 100 and 199 have a base in common, those at 199 and 299 touch each other.
    assert number_loci(rows).tolist() == [3, 4, 0, 0, 1, 2, 2]


def test_rows_without_a_place_are_one_locus_if_they_share_a_64_mer():
    dna = random_dna(300)
    rows = [variant(dna[i : i + 100], 50, "N", None) for i in (0, 30, 200)]
    locus = number_loci(rows)
    assert locus[0] == locus[1] != locus[2]


def test_figures_are_those_of_scikit_learn_and_trivial_rows_know_their_changes():
    rows = rows_of(60)
    draw = random.Random(0)
    truths = [draw.random() < 0.4 for _ in rows]
    scores = [draw.gauss(-truth, 1) for truth in truths]
    summaries = measure_scores(rows, scores, truths, {"CADD": [float(i) for i in range(60)]})
    assert summaries[MODEL]["auroc"] == pytest.approx(roc_auc_score(truths, [-score for score in scores]))
    assert summaries[MODEL]["auprc"] == pytest.approx(average_precision_score(truths, [-score for score in scores]))
    assert summaries["CADD"]["auroc"] == pytest.approx(roc_auc_score(truths, range(60)))
    assert summaries[MODEL]["loci"] == summaries[MODEL]["rows"] == 60
    assert "inserted bases" not in summaries
    # Each base becomes the next one of ACGT, which is never a transition.
    assert summaries["transversion"]["auroc"] == summaries["CpG transition"]["auroc"] == 0.5


def test_cpg_transitions_are_found_on_both_strands():
    context = [variant("ACGA", 1, "T"), variant("ACGA", 2, "A"), variant("ACCA", 1, "T"), variant("ACGA", 1, "A")]
    kinds = [measure_scores([row, context[2]], [0, 0], [True, False]) for row in context]
    assert [each["CpG transition"]["auroc"] for each in kinds] == [1, 1, 0.5, 0.5]
    assert [each["transversion"]["auroc"] for each in kinds] == [0.5, 0.5, 0.5, 1]


def test_insertions_get_rows_of_their_own():
    rows = rows_of(20)
    dna = random_dna(41, 99)
    rows.append(SequenceRow("name", dna, dna[:20] + "ACGT" + dna[20:], place=Interval("9", 5, 6)))
    summaries = measure_scores(rows, [0.0] * 20 + [-9.0], [i % 2 == 0 for i in range(21)])
    assert summaries["inserted bases"]["auroc"] == summaries[MODEL]["auroc"] > 0.5
    assert summaries["model, substitutions alone"]["rows"] == 20
    assert "auroc_difference" not in summaries["model, substitutions alone"]


@pytest.mark.parametrize(
    "shift, sentence",
    [
        (0, "not distinguishable from chance: AUROC"),
        (-3, "rank labels better than chance and than each of the other rows"),
        (3, "rank the labels the wrong way round"),
    ],
)
def test_the_sentence_says_what_the_interval_says(shift, sentence):
    rows = rows_of(100)
    generator = np.random.default_rng(0)
    truths = generator.random(100) < 0.5
    summaries = measure_scores(rows, generator.normal(size=100) + shift * truths, truths)
    assert sentence in judge(summaries)
    table = format_scores(summaries)
    assert f"By chance AUROC is 0.5 and AUPRC {truths.mean():.3f}" in table
    low, high = summaries[MODEL]["auroc_interval"]
    assert f"{summaries[MODEL]['auroc']:.3f} [{low:.3f}, {high:.3f}]" in table


def test_one_locus_has_no_interval():
    dna = random_dna(100)
    rows = [variant(dna, place, "N", "1", place) for place in range(20, 60)]
    summaries = measure_scores(rows, list(range(40)), [i % 2 == 0 for i in range(40)])
    assert judge(summaries).startswith("All variants are at one locus: there is no interval")
    assert "model" in format_scores(summaries)


def test_labels():
    assert read_labels(["Benign", None, "Pathogenic"])[0] == [False, None, True]
    assert read_labels(["0", "1"])[1] == {True: ["1"], False: ["0"]}
    values = ["VUS", "Benign", "Pathogenic", "Likely_pathogenic"]
    assert read_labels(values, ["Pathogenic", "Likely_pathogenic"], ["Benign"])[0] == [None, False, True, True]
    assert read_labels(values, ["Pathogenic"])[0] == [False, False, True, False]
    with pytest.raises(ValueError, match=r"There are 4 labels \(.*\), not two: say by --positive"):
        read_labels(values)
    with pytest.raises(ValueError, match="No row has the label 'benign'"):
        read_labels(values, ["Pathogenic"], ["benign"])
    with pytest.raises(ValueError, match="All labels are positive"):
        read_labels(["x", "x"], ["x"])
