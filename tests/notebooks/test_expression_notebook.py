"""The notebook about people and what they express. It makes its data and trains its model."""

import re

import pytest
from stored_notebooks import check_stored, count_figures, printed, read_notebook, run


def check(notebook):
    text = printed(notebook)
    assert count_figures(notebook) == 3
    rows = re.findall(r"^(\S.*?)  +(-?0\.\d+)  ", text, re.MULTILINE)
    r = {name: float(value) for name, value in rows}
    assert r["unchanged"] > 0.8 * max(r["elastic net, same window"], r["elastic net, 500 kb on either side"])
    assert max(map(abs, (r["elastic net, people permuted"], r["DNA exchanged"]))) < 0.15
    none, one, both = (float(value) for value in re.findall(r"^\d broken: ([+-]\d\.\d+)$", text, re.MULTILINE))
    assert none > one + 0.3 > both + 0.6
    inside, outside = re.search(r"TATA box ([+-]\d\.\d+), others ([+-]\d\.\d+)", text).groups()
    assert float(inside) < -0.5 and abs(float(outside)) < 0.3


def test_it_shows_what_it_printed_and_nothing_of_the_machine_it_ran_on():
    notebook = read_notebook("expression")
    check_stored(notebook)
    check(notebook)


@pytest.mark.slow
def test_it_runs(monkeypatch):
    notebook = read_notebook("expression")
    run(notebook, monkeypatch)
    check(notebook)
