"""The notebook about DNA models by themselves. It makes its data and its model."""

import re

import pytest
from stored_notebooks import check_stored, count_figures, printed, read_notebook, run


def check(notebook):
    text = printed(notebook)
    assert count_figures(notebook) == 3
    bits = dict(re.findall(r"^(model|6-mer counts) +(\d\.\d\d) bits", text, re.MULTILINE))
    assert all(float(value) < 1.9 for value in bits.values()) and len(bits) == 2
    assert int(re.search(r"neighbour of the same class: (\d+)%", text)[1]) > 70
    costs = re.findall(r"changes cost (-?\d+\.\d) in the signal, (-?\d+\.\d) around it", text)
    assert len(costs) == 3 and all(float(inside) > 3 > float(outside) for inside, outside in costs)
    written, random_dna = (int(share) for share in re.findall(r"with a signal (\d+)%", text))
    assert written > 50 > random_dna
    assert all(float(value) < 0.9 for value in re.findall(r"seen: (\d\.\d\d) identical", text))


def test_it_shows_what_it_printed_and_nothing_of_the_machine_it_ran_on():
    notebook = read_notebook("dna_models")
    check_stored(notebook)
    check(notebook)


@pytest.mark.slow
def test_it_runs(monkeypatch):
    notebook = read_notebook("dna_models")
    run(notebook, monkeypatch)
    check(notebook)
