import pytest

from textgenome.genome.intervals import match_contigs, printable


@pytest.mark.parametrize(
    "names, meanings",
    [
        (("chr1", "chrM"), {"1": "chr1", "chr1": "chr1", "MT": "chrM", "chrM": "chrM"}),
        (("1", "MT"), {"1": "1", "MT": "MT"}),
        (("chr1", "1", "chrM", "MT"), {"chr1": "chr1", "1": "1", "chrM": "chrM", "MT": "MT"}),
        (("chrM", "chrMT"), {"chrM": "chrM", "chrMT": "chrMT"}),
    ],
)
def test_a_spelling_means_one_contig(names, meanings):
    assert match_contigs(names) == meanings


@pytest.mark.parametrize(
    "text, shown",
    [
        ("chr1_KI270706v1_random", "chr1_KI270706v1_random"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\rb\x07\x7f\x9b\u2028\u202e", "a\\rb\\x07\\x7f\\x9b\\u2028\\u202e"),
        ("Lef\udce8vre", "Lef\\udce8vre"),
        ("two\nlines\tä", "two\nlines\tä"),
    ],
)
def test_control_characters_do_not_reach_a_terminal(text, shown):
    assert printable(text) == shown
