"""What the tests of the notebooks share: reading, checking and running one."""

import re

import nbformat
from conftest import ROOT
from nbclient import NotebookClient
from nbformat import NotebookNode


FOLDER = ROOT / "notebooks"


def read_notebook(name: str) -> NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def outputs_of(notebook: NotebookNode) -> list[NotebookNode]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def printed(notebook: NotebookNode) -> str:
    streams = (output for output in outputs_of(notebook) if output.output_type == "stream")
    return "".join(output.text for output in streams if output.name == "stdout")


def count_figures(notebook: NotebookNode) -> int:
    return sum("image/png" in output.get("data", {}) for output in outputs_of(notebook))


def check_stored(notebook: NotebookNode) -> None:
    """It was run from top to bottom, without warnings, and shows nothing of the machine it ran on."""
    assert outputs_of(notebook) and not [each for each in outputs_of(notebook) if each.get("name") == "stderr"]
    assert not re.search(r"(?<![\w.<])/(tmp|home|root|Users|usr|opt)/", nbformat.writes(notebook))
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")


def run(notebook: NotebookNode, monkeypatch) -> None:
    """Run it anew; its outputs are then those of this run."""
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel's own puts figures into the notebook
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": FOLDER}}).execute()
