"""What setup.cfg cannot say: the description on a package index, where relative links of README.md lead nowhere.

With the `url` of the repository in the section `metadata` of setup.cfg, they become absolute. Otherwise their text is
kept, and pictures are left out.
"""

import configparser
import re
from pathlib import Path

from setuptools import setup


ROOT = Path(__file__).parent
LINK = re.compile(r"(!?)\[([^]]*)\]\((?!\w+:|#)([^)\s]+)\)")


def describe(readme: str, url: str | None) -> str:
    """The text of README.md for a page elsewhere.

    Args:
        readme: Its Markdown.
        url: Of the repository, such as `https://github.com/OWNER/NAME`.
    """

    def change(link: re.Match) -> str:
        mark, text, target = link.groups()
        if url:
            return f"{mark}[{text}]({url}/{'raw' if mark else 'blob'}/main/{target})"
        return "" if mark else text

    return LINK.sub(change, readme)


settings = configparser.ConfigParser()
settings.read(ROOT / "setup.cfg", encoding="utf-8")
readme = (ROOT / "README.md").read_text(encoding="utf-8")
setup(
    long_description=describe(readme, settings["metadata"].get("url")), long_description_content_type="text/markdown"
)
