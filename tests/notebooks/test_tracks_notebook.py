"""The notebook about signals along a genome. It makes its genome and its model."""

import re

import pytest
from stored_notebooks import check_stored, count_figures, printed, read_notebook, run


def check(notebook):
    text = printed(notebook)
    assert count_figures(notebook) == 3
    r = dict(re.findall(r"^(model|DNA exchanged|2-3-mers) +(-?\d\.\d\d)", text, re.MULTILINE))
    assert float(r["model"]) > 0.3 and float(r["model"]) > float(r["2-3-mers"])
    assert abs(float(r["DNA exchanged"])) < 0.15
    with_site, without = map(float, re.search(r"at the site (\d+\.\d+), without it (\d+\.\d+)", text).groups())
    assert with_site > 2 * without


def test_it_shows_what_it_printed_and_nothing_of_the_machine_it_ran_on():
    notebook = read_notebook("tracks")
    check_stored(notebook)
    check(notebook)


@pytest.mark.slow
def test_it_runs(monkeypatch):
    notebook = read_notebook("tracks")
    run(notebook, monkeypatch)
    check(notebook)
