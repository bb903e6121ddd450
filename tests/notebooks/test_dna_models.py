"""The notebook about DNA models by themselves. It makes its data and its model."""

import re

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient


FOLDER = ROOT / "notebooks"


@pytest.fixture
def notebook():
    return nbformat.read(FOLDER / "dna_models.ipynb", as_version=4)


def printed(notebook) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")


def check(notebook):
    text = printed(notebook)
    figures = [output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in str(output)]
    assert len(figures) == 3
    bits = dict(re.findall(r"^(model|6-mer counts) +(\d\.\d\d) bits", text, re.MULTILINE))
    assert all(float(value) < 1.9 for value in bits.values()) and len(bits) == 2
    assert int(re.search(r"neighbour of the same class: (\d+)%", text)[1]) > 70
    costs = re.findall(r"changes cost (-?\d+\.\d) in the signal, (-?\d+\.\d) around it", text)
    assert len(costs) == 3 and all(float(inside) > 3 > float(outside) for inside, outside in costs)
    written, random_dna = (int(share) for share in re.findall(r"with a signal (\d+)%", text))
    assert written > 50 > random_dna
    assert all(float(value) < 0.9 for value in re.findall(r"seen: (\d\.\d\d) identical", text))


def test_it_shows_what_it_printed_and_nothing_of_the_machine_it_ran_on(notebook):
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert outputs and not [output for output in outputs if output.get("name") == "stderr"]
    assert not re.search(r"(?<![\w.<])/(tmp|home|root|Users|usr|opt)/", nbformat.writes(notebook))
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    check(notebook)


@pytest.mark.slow
def test_it_runs(notebook, monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel's own puts figures into the notebook
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": FOLDER}}).execute()
    check(notebook)
