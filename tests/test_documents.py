"""Documents for users and contributors: links lead somewhere, forms are readable, and names are those of the code."""

import configparser
import importlib
import re
import runpy

import pytest
import yaml
from conftest import ROOT


PAGES = [path for folder in (ROOT, ROOT / "docs") for path in sorted(folder.glob("*.md"))]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert not [target for target in local if not (page.parent / target).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_import_what_exists(page):
    found = re.findall(r"^from (textgenome[\w.]*) import (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    for module, names in found:
        assert all(hasattr(importlib.import_module(module), name) for name in names.split(", ")), (module, names)


def test_the_architecture_names_every_folder_of_the_package():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    folders = {line.split("=")[1].strip() for line in setup["options"]["package_dir"].split("\n") if line}
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE))
    assert named == {folder for folder in folders if "/" not in folder}
    rows = re.findall(r"^\| \d \| (.*) \|$", text, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == named


def test_the_form_for_bugs_asks_for_the_environment():
    forms = {path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in FORMS}
    fields = {field["id"]: field for field in forms["bug_report.yml"]["body"] if "id" in field}
    assert "`textgenome env`" in fields["environment"]["attributes"]["description"]
    assert fields["environment"]["validations"]["required"]
    assert all({"name", "description", "body"} <= set(form) for name, form in forms.items() if name != "config.yml")


@pytest.mark.parametrize("url", [None, "https://example.org/OWNER/NAME"])
def test_the_description_on_a_package_index_has_no_relative_link(monkeypatch, url):
    monkeypatch.setattr("setuptools.setup", lambda **settings: None)
    describe = runpy.run_path(str(ROOT / "setup.py"))["describe"]
    described = describe((ROOT / "README.md").read_text(encoding="utf-8"), url)
    links = re.findall(r"\]\((?!#)([^)\s]+)\)", described)
    assert all(link.startswith("https://") for link in links) and bool(links) == bool(url)
    assert "| [tables](" in described if url else "| tables |" in described


def test_the_citation_has_what_readers_of_the_format_require():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["license"] == "Apache-2.0"
