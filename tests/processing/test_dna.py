import logging

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from textgenome.processing import normalize_dna, truncate_dna, variant_window


dna = st.text("ACGT", min_size=1, max_size=60)


def test_normalize_folds_case_whitespace_uracil_and_ambiguity():
    assert normalize_dna(" acgt\nUu\tRYSWKMBDHVn ") == "ACGTTTNNNNNNNNNNN"


@pytest.mark.parametrize(
    "sequence, character, position",
    [
        ("ACGX", "X", 4),
        (" a c\n-", "-", 6),
        ("AC>", ">", 3),
        ("*", r"\*", 1),
        ("ACÄ", "Ä", 3),
        ("ac\nJ", "J", 4),
        ("ACſ", "ſ", 3),
        ("\u212a", "\u212a", 1),
    ],
)
def test_other_characters_are_refused_with_their_position(sequence, character, position):
    with pytest.raises(ValueError, match=f"{character}.* at position {position} "):
        normalize_dna(sequence)


@pytest.mark.parametrize("sequence", ["", " \n"])
def test_empty_sequences_are_refused(sequence):
    with pytest.raises(ValueError, match="empty"):
        normalize_dna(sequence)


def test_what_is_no_string_is_refused():
    with pytest.raises(TypeError, match="NoneType"):
        normalize_dna(None)


@pytest.mark.parametrize(
    "reference, variant, size, windows",
    [
        ("AAAACCCC", "AAAAGCCC", 4, ("ACCC", "AGCC")),  # SNV
        ("AAAACCCC", "AAAATTCCCC", 4, ("AC", "ATTC")),  # insertion
        ("AAAATTCCCC", "AAAACCCC", 4, ("ATTC", "AC")),  # deletion
        ("AAAATTCCCC", "AAAAGGGCCCC", 5, ("ATTC", "AGGGC")),  # several bases
        ("TAAAAAAA", "GAAAAAAA", 4, ("TAAA", "GAAA")),  # at the start
        ("AAAAAAAT", "AAAAAAAG", 4, ("AAAT", "AAAG")),  # at the end
        ("ACGT", "ACTT", 64, ("ACGT", "ACTT")),  # shorter than the window
        ("CAAAAG", "CAAAG", 2, ("AG", "G")),  # in a repeat the last A goes
        ("GGTT", "GGAAAATT", 4, ("GGTT", "AAAA")),  # an insertion that fills its window
        ("GATTACA", "gattaca t", 64, ("GATTACA", "GATTACAT")),  # other length, other case
    ],
)
def test_variant_window(reference, variant, size, windows):
    assert variant_window(reference, variant, size) == windows


def test_change_in_a_repeat_stands_right_most():
    # Of the four equal A the last is taken to be the one that goes: two of the others are its left flank.
    assert variant_window("GCAAAATTTTTTTT", "GCAAATTTTTTTT", 6) == ("AAATTT", "AATTT")


@given(prefix=st.text("ACGT", max_size=80), suffix=st.text("ACGT", max_size=80), segments=st.tuples(dna, dna))
@settings(max_examples=300, deadline=None)
def test_windows_differ_and_fit_and_come_from_the_sequences(prefix, suffix, segments):
    reference, variant = (prefix + segment + suffix for segment in segments)
    assume(reference != variant)
    for size in (8, 32, 64, 1000):
        windows = variant_window(reference, variant, size)
        assert windows[0] != windows[1]
        assert max(map(len, windows)) <= size
        assert windows[0] in reference and windows[1] in variant
        if max(len(reference), len(variant)) <= size:
            assert windows == (reference, variant)


@given(sequence=st.text("ACGT", min_size=100, max_size=200), place=st.integers(0, 99), size=st.integers(2, 64))
@settings(max_examples=200, deadline=None)
def test_window_of_an_snv_is_full_and_centred(sequence, place, size):
    new = "A" if sequence[place] != "A" else "C"
    variant = sequence[:place] + new + sequence[place + 1 :]
    reference_window, variant_window_ = variant_window(sequence, variant, size)
    changed = [i for i, (a, b) in enumerate(zip(reference_window, variant_window_)) if a != b]
    assert len(reference_window) == len(variant_window_) == size
    assert len(changed) == 1
    assert changed[0] == place or changed[0] in ((size - 1) // 2, size // 2) or sequence.endswith(reference_window)


def test_change_longer_than_the_window_shows_its_start(caplog):
    reference, variant = "ACGT" * 10 + "C" * 5, "ACGT" * 10 + "G" * 500 + "C" * 5
    with caplog.at_level(logging.WARNING):
        from transformers.utils import logging as transformers_logging

        transformers_logging.enable_propagation()
        windows = variant_window(reference, variant, 20)
        assert variant_window(reference, variant, 20) == windows
        transformers_logging.disable_propagation()
    assert windows == ("GTACGTACGT" + "CCCCC", "GTACGTACGT" + "G" * 10)
    assert caplog.text.count("500 bases is longer than the window of 20") == 1
    assert "ACGT" not in caplog.text


@pytest.mark.parametrize("pair", [("ACGT", "ACGT"), ("acgt", "AC GT"), ("ACGU", "ACGT"), ("ACGR", "ACGN")])
def test_equal_sequences_are_refused(pair):
    with pytest.raises(ValueError, match="equal"):
        variant_window(*pair, 64)


@pytest.mark.parametrize("size, message", [(0, "at least one base"), (1, "too small")])
def test_too_small_windows_are_refused(size, message):
    with pytest.raises(ValueError, match=message):
        variant_window("A", "AA", size)


def test_truncate_dna_cuts_both_sequences_alike():
    row = {"reference_sequence": "A" * 3000, "variant_sequence": "C" * 2049, "answer": "x"}
    cut = truncate_dna(row)
    assert len(cut["reference_sequence"]) == 3000 - 2 * 1024
    assert len(cut["variant_sequence"]) == 2049 - 2 * 1024
    assert cut["answer"] == "x" and len(row["reference_sequence"]) == 3000


def test_truncate_dna_takes_a_quarter_of_a_short_pair_at_either_end():
    row = {"reference_sequence": "aaaacccc\nggggtttt", "variant_sequence": "AAAACCCCA"}
    assert truncate_dna(row) == {"reference_sequence": "AACCCCGGGGTT", "variant_sequence": "AACCC"}
    assert truncate_dna(row, truncate_dna_per_side=1) == {
        "reference_sequence": "AAACCCCGGGGTTT",
        "variant_sequence": "AAACCCC",
    }


@pytest.mark.parametrize("size", [2048, 512])
def test_every_kegg_pair_differs_in_its_windows(kegg_folder, size):
    import pyarrow.parquet

    rows = 0
    for file in sorted(kegg_folder.glob("*.parquet")):
        for row in pyarrow.parquet.read_table(file).to_pylist():
            windows = variant_window(row["reference_sequence"], row["variant_sequence"], size)
            assert windows[0] != windows[1]
            assert max(map(len, windows)) <= size
            rows += 1
    assert rows == 1303
