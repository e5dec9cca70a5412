"""The pages of README, the root and docs/: links lead somewhere, the site has all, references are complete.

`make docs` builds the site, with warnings as errors. These are quick.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import lumocrypt
from lumocrypt.cli import cli
from lumocrypt.cli.exitcodes import exit_code

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), ROOT / "tests" / "README.md"])


def anchors(path: Path) -> set[str]:
    """What headings can be linked to by."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip()) for heading in headings}


def prose(path: Path) -> str:
    """A page without its code."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT)
        assert not anchor or anchor in anchors(target), f"{link}: there is no such heading"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_the_site_has_every_page() -> None:
    nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    listed = re.findall(r"^ *- (?:[\w ]+: )?(\S+\.md)$", nav, re.MULTILINE)
    assert len(listed) == len(set(listed)) > 50
    there = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    added = re.findall(r'"(\w+\.md)"', (DOCS / "site" / "hooks.py").read_text().partition("\n\n_")[0])
    assert all((ROOT / name).exists() for name in added)
    assert set(listed) == there | set(added)


def test_decisions_are_numbered_and_listed() -> None:
    index = (DOCS / "decisions" / "index.md").read_text()
    files = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    rows = re.findall(r"^\| (\d+) \| \[(.+)\]\((.+)\) \|$", index, re.MULTILINE)
    assert [name for _, _, name in rows] == [path.name for path in files]
    for number, (path, (listed, title, _)) in enumerate(zip(files, rows, strict=True), 1):
        assert int(listed) == int(path.name[:2]) == number
        assert path.read_text().startswith(f"# {number}. {title}\n\n")


def test_files_that_the_map_and_the_decisions_name_exist() -> None:
    folders = (ROOT / "engine", ROOT / "python")
    there = [
        path.as_posix() for folder in folders for end in ("rs", "py") for path in folder.rglob(f"*.{end}")
    ]
    pages = [ROOT / "ARCHITECTURE.md", *(DOCS / "decisions").glob("*.md")]
    named = {name for page in pages for name in re.findall(r"`((?:\w+/)*\w+\.(?:rs|py))`", page.read_text())}
    assert len(named) > 25
    assert {name for name in named if not any(path.endswith(f"/{name}") for path in there)} == set()


def commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")
        elif command is not None:
            yield prefix + name, command


def test_every_command_and_option_is_in_the_reference() -> None:
    text = (REFERENCE / "command-line.md").read_text()
    found = list(commands(cli))
    assert len(found) > 12
    for name, command in found:
        assert f"| `{name}" in text, name
        for parameter in command.params:
            for option in (*parameter.opts, *parameter.secondary_opts):
                if option.startswith("--") and option != "--help":
                    assert f"`{option}" in text, f"{name} {option}"


def test_every_error_is_in_the_reference() -> None:
    text = (REFERENCE / "errors.md").read_text()
    public = [getattr(lumocrypt, name) for name in lumocrypt.__all__]
    classes = [each for each in public if isinstance(each, type) and issubclass(each, lumocrypt.CryptError)]
    rows = re.findall(r"^\| `(\w+)` \|.*\| `(SQLITE_\w+)` \| (\d) \|$", text, re.MULTILINE)
    assert {name for name, _, _ in rows} == {each.__name__ for each in classes} - {"CryptError"}
    for name, code, status in rows:
        error = getattr(lumocrypt, name)("x")
        assert getattr(sqlite3, code) == type(error)._default_code
        assert exit_code(error) == int(status), name


def test_every_public_name_is_in_the_reference() -> None:
    listed = re.findall(r"^::: lumocrypt\.(\w+)$", (REFERENCE / "python.md").read_text(), re.MULTILINE)
    assert len(listed) == len(set(listed))
    theirs = {name for name in lumocrypt.__all__ if hasattr(sqlite3, name)} - {"connect"}
    assert set(listed) == set(lumocrypt.__all__) - theirs - {"__version__"}
