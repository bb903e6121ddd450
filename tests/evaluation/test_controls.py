import random
from collections import Counter
from itertools import pairwise

import pytest
from conftest import random_dna, variant_row
from hypothesis import given
from hypothesis import strategies as st

from textgenome.data import row_to_messages
from textgenome.data.conversations import DNA_COLUMNS
from textgenome.data.descriptions import Description
from textgenome.data.prompts import as_prompt, cut_windows
from textgenome.data.sequences import reverse_complement
from textgenome.evaluation.controls import (
    CONTROLS,
    SEQUENCE_CONTROLS,
    ask_constant_question,
    exchange_dna,
    mask_genes,
    shuffle_dinucleotides,
)


QUESTION = (
    "Network Definition of the pathway: PDE11A* // cAMP -> (PRKAR1A+PRKACA) -> CREB => STAR -> Cortisol\n"
    "Genes in the pathway: PDE11A; phosphodiesterase 11A | PRKAR1A; protein kinase A | PRKACA; protein kinase C | "
    "CREB1; cAMP responsive element binding protein 1 | STAR; regulatory protein\n\n"
    "Given this context, what is the biological effect of this PDE11A allele, specifically what disease?"
)


@pytest.fixture
def rows():
    return cut_windows([variant_row(100, seed=i, answer=str(i)) for i in range(9)], dna_window=64)


def test_as_is_is_asked_as_in_training():
    row = variant_row(100, question=" Why? ")
    options = {"dna_window": 32}
    assert as_prompt(cut_windows([row], **options)[0]) != row_to_messages(row, **options)[:-1]
    (shown,) = (block for block in as_prompt(cut_windows([row], **options)[0])[0]["content"] if "variant" in block)
    assert len(shown["reference"]) == 32 and shown["reference"] in row["reference_sequence"]
    for options in ({"dna": "none"}, {"dna_window": 100}):
        assert as_prompt(cut_windows([row], **options)[0]) == row_to_messages(row, **options)[:-1]


def test_a_bad_row_is_named():
    with pytest.raises(ValueError, match="Row 1, column 'variant_sequence'"):
        cut_windows([variant_row(), {**variant_row(), "variant_sequence": variant_row()["reference_sequence"]}])
    with pytest.raises(ValueError, match="Row 0, column 'messages'"):
        cut_windows([{"messages": []}])


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_changes_nothing_else(rows, name):
    changed = list(CONTROLS[name](rows, 3))
    touched = {"question"} if name in ("constant_question", "genes_masked") else set(DNA_COLUMNS)
    assert len(changed) == len(rows)
    for before, after in zip(rows, changed):
        assert {key for key in before if before[key] != after[key]} <= touched
        as_prompt(after)
    assert list(CONTROLS[name](rows, 3)) == changed


def test_exchanged_rows_get_the_pair_of_another_row(rows):
    exchanged = list(exchange_dna(rows, seed=3))
    assert exchanged != list(exchange_dna(rows, seed=4))
    pairs, given_pairs = ([tuple(row[name] for name in DNA_COLUMNS) for row in each] for each in (rows, exchanged))
    assert sorted(given_pairs) == sorted(pairs)
    assert all(pair != other for pair, other in zip(pairs, given_pairs))
    assert list(exchange_dna(rows[:1])) == rows[:1]


def test_what_each_shows(rows):
    row = rows[0]
    reference, variant = (row[name] for name in DNA_COLUMNS)
    shown = {
        name: tuple(next(iter(control(rows, 0)))[column] for column in DNA_COLUMNS)
        for name, control in CONTROLS.items()
    }
    assert shown["dna_removed"] == (None, None)
    assert shown["pair_swapped"] == (variant, reference)
    assert shown["reverse_complement"] == (reverse_complement(reference), reverse_complement(variant))
    assert shown["reference_only"] == (reference, reference)
    assert [Counter(each) for each in shown["dna_shuffled"]] == [Counter(reference), Counter(variant)]
    assert shown["dna_shuffled"] != (reference, variant)
    assert shown["constant_question"] == shown["genes_masked"] == (reference, variant)


@pytest.mark.parametrize("name", SEQUENCE_CONTROLS)
def test_one_sequence_a_row_is_changed_as_pairs_are(name):
    rows = [{"sequence": random_dna(50, seed=i), "label": i} for i in range(5)]
    changed = list(CONTROLS[name](rows, 0))
    assert [row["label"] for row in changed] == list(range(5)) and set(changed[0]) == {"sequence", "label"}
    assert all(row["sequence"] != other["sequence"] for row, other in zip(rows, changed))
    given, shown = (sorted("".join(sorted(row["sequence"])) for row in each) for each in (rows, changed))
    assert (given == shown) == (name != "reverse_complement")


@given(st.text("ACGTN", min_size=1, max_size=80), st.integers(0, 9))
def test_shuffling_keeps_dinucleotides(sequence, seed):
    shuffled = shuffle_dinucleotides(sequence, random.Random(seed))
    assert Counter(pairwise(shuffled)) == Counter(pairwise(sequence))
    assert (shuffled[0], shuffled[-1]) == (sequence[0], sequence[-1])


def test_shuffling_shuffles():
    sequence = random_dna(200)
    shuffled = [shuffle_dinucleotides(sequence, random.Random(i)) for i in range(20)]
    assert len({sequence, *shuffled}) == 21
    # From the first to the last letter, no place keeps its own much more often than random bases would.
    kept = sum(a == b for each in shuffled for a, b in zip(each, sequence)) / (20 * 200)
    assert 0.15 < kept < 0.35


def test_genes_are_masked_by_symbols_of_the_row():
    first, second = (row["question"] for row in mask_genes([{"question": QUESTION}] * 2))
    for gene in ("PDE11A", "PRKAR1A", "PRKACA", "CREB", "STAR", "phosphodiesterase", "protein kinase"):
        assert gene not in first
    for word in ("cAMP", "Cortisol", "Given this context", "allele, specifically what disease?"):
        assert word in first
    assert first != second
    # One symbol for a gene, wherever it stands.
    masked = first.partition("of this ")[2].partition(" allele")[0]
    assert first.count(masked) == 4
    assert list(mask_genes([{"question": "What is lost?"}])) == [{"question": "What is lost?"}]


def test_other_tables_name_their_genes_and_their_question():
    row = {"question": "Is TP53 c.215C>G in exon 4 of TP53 harmful?", "symbol": "TP53"}
    assert list(mask_genes([row])) == [row]
    for names in ({"locus_column": "symbol"}, {"locus_pattern": r"Is (\w+) "}):
        (masked,) = mask_genes([row], description=Description(**names))
        assert masked["question"].startswith("Is ") and "TP53" not in masked["question"]
        assert masked["question"].endswith(" harmful?") and masked["symbol"] == "TP53"
    assert next(ask_constant_question([row]))["question"] == Description().constant_question
    (asked,) = ask_constant_question([row], description=Description(constant_question="Harmful?"))
    assert asked["question"] == "Harmful?"


def test_no_gene_of_the_public_rows_stays(kegg_folder):
    from textgenome.data.rows import load_rows

    rows = load_rows(str(kegg_folder), "val").to_list()
    for before, after in zip(rows, mask_genes(rows)):
        gene = before["question"].partition("of this ")[2].partition(" allele")[0]
        assert gene and gene not in after["question"].replace(";", " ").split()


def test_rows_about_one_sequence_are_asked_as_in_training_and_changed_as_pairs_are():
    rows = [{"question": "Why?", "sequence": random_dna(20, seed=i).lower(), "answer": str(i)} for i in range(4)]
    windows = cut_windows(rows)
    assert [as_prompt(row) for row in windows] == [
        row_to_messages({**row, "sequence": row["sequence"].upper()})[:-1] for row in rows
    ]
    for name in SEQUENCE_CONTROLS:
        assert [row["sequence"] for row in CONTROLS[name](windows, 0)] != [row["sequence"] for row in windows]
    text_only = [row_to_messages(row, dna="none")[:-1] for row in rows]
    assert [as_prompt(row) for row in CONTROLS["dna_removed"](windows, 0)] == text_only
    assert [as_prompt(row) for row in cut_windows(rows, dna="none")] == text_only


def test_dna_is_exchanged_between_rows_of_one_job():
    sequences = [{"sequence": random_dna(20, seed=i), "job": "AB"[i % 2]} for i in range(8)]
    pairs = [{**variant_row(seed=i), "sequence": None, "job": "B"} for i in range(4)]
    rows = [{**dict.fromkeys(DNA_COLUMNS), **row} for row in (*sequences, *pairs)]
    changed = list(exchange_dna(rows, 1))
    for before, after in zip(rows, changed):
        (donor,) = (row for row in rows if all(row[name] == after[name] for name in ("sequence", *DNA_COLUMNS)))
        assert donor is not before and donor["job"] == before["job"]
        assert (donor["sequence"] is None) == (before["sequence"] is None)
