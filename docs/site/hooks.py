"""Brings the documents at the root of the repository into the site, and links to them into order.

On the site they are pages next to index.md. Links in the sources are those of the repository, so that they
work where the files are read as they are.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent.parent
#: At the root of the repository, and pages of the site.
PAGES = ("SECURITY.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")

_LINK = re.compile(r"(?<=\]\()([^)#:\s]+)(?=[)#])")


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages."""
    for name in PAGES:
        files.append(File.generated(config, name, content=(ROOT / name).read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turns links of the repository into links of the site."""
    source = page.file.src_uri
    # Where the file is in the repository, and where its links lead from there.
    folder = posixpath.dirname(source if source in PAGES else f"docs/{source}")

    def moved(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[1]))
        if target in PAGES:
            there = target
        elif target.startswith("docs/"):
            there = target.removeprefix("docs/")
        else:
            return link[1]
        return posixpath.relpath(there, posixpath.dirname(source) or ".")

    return _LINK.sub(moved, markdown)
