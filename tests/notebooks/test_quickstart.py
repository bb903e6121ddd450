"""The quickstart notebook. Running it needs what `make train` left in `outputs/starter`."""

import re

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient


FOLDER = ROOT / "notebooks"


@pytest.fixture
def notebook():
    return nbformat.read(FOLDER / "quickstart.ipynb", as_version=4)


def printed(notebook) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")


def test_it_shows_what_it_printed_and_nothing_of_the_machine_it_ran_on(notebook):
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert outputs and not [output for output in outputs if output.get("name") == "stderr"]
    assert not re.search(r"(?<![\w.<])/(tmp|home|root|Users|usr|opt)/", nbformat.writes(notebook))
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.slow
def test_it_runs(notebook, monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel's own puts figures into the notebook
    shown = printed(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": FOLDER}}).execute()
    assert "Answer: splice acceptor loss" in printed(notebook)
    figures = [output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in str(output)]
    assert len(figures) == 4
    for text in (shown, printed(notebook)):
        accuracies = {name: float(value) for name, value in re.findall(r"^(\w[\w ]+?) +(0\.\d+|1\.0+)$", text, re.M)}
        assert accuracies["as is"] > 0.7
        assert accuracies["DNA exchanged"] < 0.5
