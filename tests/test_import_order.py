"""Imports run one way through the rooms, so that a change in one cannot break those before it."""

import ast
import subprocess
import sys

import pytest
from conftest import ROOT


# The room, and all it may import from.
BELOW = {
    "configuration": (),
    "genome": (),
    "modeling_textgenome": ("configuration", "processing"),  # its __init__ registers the processors
    "processing": ("configuration",),
    "data": ("configuration", "genome", "processing"),
}
BELOW["inference"] = (*BELOW["data"], "data", "modeling_textgenome")
WING = (*BELOW["inference"], "inference")
BELOW |= {"training": (*WING, "evaluation"), "evaluation": WING, "hub_card": WING, "serving": WING}
BELOW["commands"] = (*BELOW["training"], "training", "hub_card", "serving")
PACKAGES = {"torch", "transformers"}


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names)


def room_of(module: str) -> str:
    """`textgenome.data.rows` is in `data`; `textgenome.modeling_projector` and `textgenome` itself are flat."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (ROOT / parts[1]).is_dir() else "modeling_textgenome"


@pytest.mark.parametrize("room", BELOW)
def test_imports_run_one_way(room):
    wrong = [
        f"{path.relative_to(ROOT)}: {module}"
        for path in sorted((ROOT / room).rglob("*.py"))
        if path.name != "__main__.py"  # starts the commands
        for module in imported_modules(path)
        if module.split(".")[0] == "textgenome" and room_of(module) not in (room, *BELOW[room])
    ]
    assert not wrong


def test_networks_import_no_processing_and_processing_no_networks():
    networks = [path for path in (ROOT / "modeling_textgenome").glob("*.py") if path.name != "__init__.py"]
    assert not [
        path.name for path in networks for each in imported_modules(path) if "processing" in each.split(".")[1:2]
    ]
    assert len(networks) > 3


def test_genome_knows_neither_torch_nor_transformers():
    wrong = [
        (path.name, module)
        for path in (ROOT / "genome").rglob("*.py")
        for module in imported_modules(path)
        if module.split(".")[0] in PACKAGES
    ]
    assert not wrong


def test_what_only_unix_has_is_imported_where_it_is_used():
    top = [
        path.relative_to(ROOT)
        for room in BELOW
        for path in sorted((ROOT / room).rglob("*.py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Import) and {"resource", "fcntl"} & {each.name for each in node.names}
    ]
    assert not top


def test_importing_the_package_or_asking_about_a_pair_brings_in_neither_training_nor_tables():
    heavy = {"datasets", "trl", "peft", "sklearn", "pandas", "fastapi", "matplotlib"}
    code = (
        f"import sys, textgenome; print({heavy | {'pysam'}} & sys.modules.keys())\n"
        f"import textgenome.inference.asking; print({heavy} & sys.modules.keys())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == ["set()", "set()"]
