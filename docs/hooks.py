"""The site is built of the pages of the repository: README.md is its start, and links between pages are adapted."""

import re
import shutil
from pathlib import Path

from mkdocs.structure.files import File


ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / ".docs" / "textgenome"
# What lies outside of docs/, and its name on the site.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "SECURITY.md": "SECURITY.md",
    "configuration/recipes/sft/README.md": "recipes/sft.md",
    "configuration/recipes/dna/README.md": "recipes/dna.md",
}
LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)(#[^)]*)?\)")
FENCE = re.compile(r"(^```.*?^```)", re.DOTALL | re.MULTILINE)


def on_startup(command, dirty):
    """Lay the rooms of the repository out as they are imported, for the reference to be read from."""
    shutil.rmtree(PACKAGE.parent, ignore_errors=True)
    PACKAGE.mkdir(parents=True)
    for path in (ROOT / "modeling_textgenome").glob("*.py"):
        (PACKAGE / path.name).symlink_to(path)
    for room in ("configuration", "data", "evaluation", "genome", "hub_card", "inference", "processing", "training"):
        (PACKAGE / room).symlink_to(ROOT / room)


def on_files(files, config):
    """Add the pages outside of docs/, and files that pages link to."""
    for source, name in PAGES.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text(encoding="utf-8")))
    for source in _linked_files():
        files.append(File.generated(config, source, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Let links lead to the pages and files of the site."""
    places = {name: source for source, name in PAGES.items()}
    source = places.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    up = "../" * page.file.src_uri.count("/")

    def change(match: re.Match) -> str:
        target = (ROOT / source).parent.joinpath(match[1]).resolve().relative_to(ROOT).as_posix()
        name = PAGES.get(target) or target.removeprefix("docs/")
        return f"]({up}{name}{match[2] or ''})"

    parts = FENCE.split(markdown)
    return "".join(part if part.startswith("```") else LINK.sub(change, part) for part in parts)


def _linked_files() -> set[str]:
    """Files of the repository that are no pages, but that pages link to."""
    found = set()
    for page in [*(ROOT / "docs").glob("*.md"), *(ROOT / name for name in PAGES)]:
        for target, _ in LINK.findall(page.read_text(encoding="utf-8")):
            path = (page.parent / target).resolve()
            if path.is_file() and path.suffix != ".md":
                found.add(path.relative_to(ROOT).as_posix())
    return found
