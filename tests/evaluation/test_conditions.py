import re

import pytest
from conftest import ROOT, random_dna, variant_row

from textgenome.evaluation.baselines import predict_baselines
from textgenome.evaluation.conditions import AS_IS, CONDITIONS, TEXT_ONLY
from textgenome.evaluation.controls import CONTROLS
from textgenome.evaluation.sequence_baselines import LABELS_SHUFFLED


def of_kind(kind):
    return [name for name, condition in CONDITIONS.items() if condition.kind == kind]


def test_every_condition_has_words_and_only_those():
    assert [name for name in of_kind("control") if name != LABELS_SHUFFLED] == list(CONTROLS)
    train = [variant_row(answer=answer, reference_sequence=random_dna(99, seed=answer)) for answer in "ab"]
    of_sequences = {"mean", "substitution", "kmers", "small_cnn"}
    assert [name for name in of_kind("baseline") if name not in of_sequences] == list(predict_baselines(train, train))
    assert of_sequences < set(of_kind("baseline"))
    assert (of_kind("model"), of_kind("text-only")) == ([AS_IS], [TEXT_ONLY])


@pytest.mark.parametrize("name", CONDITIONS)
def test_names_suit_flags_and_titles_suit_tables(name):
    assert re.fullmatch(r"[a-z0-9_]+", name)
    assert len(CONDITIONS[name].title) < 24  # the width of the column in a terminal


@pytest.mark.parametrize("name", [*CONTROLS, TEXT_ONLY])
def test_the_page_on_evaluation_says_the_same(name):
    title, _, meaning = CONDITIONS[name]
    assert f"| `{name}` | {title} | {meaning} |" in (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
