"""What the documents name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECURITY = ROOT / "SECURITY.md"
TESTS = ROOT / "tests" / "README.md"
ARCHITECTURE = ROOT / "ARCHITECTURE.md"
#: Documents name a file of tests without its folder.
FILES = sorted((ROOT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize(("document", "enough"), [(SECURITY, 40), (TESTS, 40)], ids=["SECURITY", "tests"])
def test_the_tests_that_the_documents_name_exist(document: Path, enough: int) -> None:
    text = document.read_text()
    of_package = re.findall(r"`(test_\w+\.py)::(test_\w+)`", text)
    of_engine = re.findall(r"`(\w+(?:::\w+)*)::(\w+)`", text)
    assert len(of_package) > enough
    assert len(of_engine) > 10
    missing = [f"{file}::{name}" for file, name in of_package if not _in_package(file, name)]
    missing += [f"{module}::{name}" for module, name in of_engine if not _in_engine(module, name)]
    assert missing == []


@pytest.mark.parametrize(("kind", "count"), [("trap", 17), ("hazard", 20)])
def test_every_trap_and_hazard_is_answered(kind: str, count: int) -> None:
    """By a test that is named after it, or by SECURITY.md."""
    _, heading, section = TESTS.read_text().partition(f"## {kind.capitalize()}s\n")
    assert heading
    rows = re.findall(r"^\| (\d+) \|.*\|(.*)\|$", section.partition("\n## ")[0], re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, count + 1))
    unanswered = [
        number
        for number, row in rows
        if not re.search(rf"_{kind}_{number}(?!\d)", row) and "SECURITY.md" not in row
    ]
    assert unanswered == []


def test_every_test_file_is_in_the_list_of_its_folder() -> None:
    text = TESTS.read_text().partition("## Folders\n")[2].partition("\n## ")[0]
    sections = re.split(r"^### `(\w+)/`.*\n", text, flags=re.MULTILINE)
    found = {
        path
        for folder, section in zip(sections[1::2], sections[2::2], strict=True)
        for name in re.findall(r"`(test_\w+\*?\.py)`", section)
        for path in (ROOT / "tests" / folder).glob(name)
    }
    assert set(FILES) - found == set()


def test_no_two_test_files_have_the_same_name() -> None:
    names = [path.name for path in FILES]
    assert [name for name in names if names.count(name) > 1] == []


def test_the_ways_through_the_code_are_there() -> None:
    """Each file that ARCHITECTURE.md leads through exists, and has the functions that are named behind it."""
    section = ARCHITECTURE.read_text().partition("## Five ways through the code\n")[2].partition("\n## ")[0]
    _, *ways = re.split(r"^### .*\n", section, flags=re.MULTILINE)
    assert len(ways) == 5
    missing: list[str] = []
    for way in ways:
        steps = re.findall(r"^(\d+)\. (.*(?:\n {3,}.*)*)", way, re.MULTILINE)
        assert [int(number) for number, _ in steps] == list(range(1, len(steps) + 1))
        assert len(steps) > 6
        for number, step in steps:
            stops = re.findall(r"`([\w/]+\.(?:rs|py))` (`\w+`(?:, `\w+`)*)", step)
            assert step.startswith("`"), number
            assert len(stops) == len(re.findall(r"\.(?:rs|py)`", step)) > 0, step
            for file, names in stops:
                path = ROOT / ("engine" if file.endswith(".rs") else "python/lumocrypt") / file
                missing += [f"{file} {name}" for name in re.findall(r"\w+", names) if not _has(path, name)]
    assert missing == []


def _in_package(file: str, name: str) -> bool:
    return any(_has(path, name) for path in FILES if path.name == file)


def _has(file: Path, name: str) -> bool:
    words = r'(?:pub(?:\([^)]*\))? )?(?:(?:async|const|unsafe|extern "C") )*(?:def|fn)'
    return file.exists() and re.search(rf"^ *{words} {name}\b", file.read_text(), re.MULTILINE) is not None


def _in_engine(module: str, name: str) -> bool:
    """Whether one of the files that a module path may end in has the function."""
    crate, *parts = module.split("::")
    source = ROOT / "engine" / "crates" / crate / "src"
    candidates = [source.joinpath(*parts[:length]).with_suffix(".rs") for length in range(1, len(parts) + 1)]
    candidates += [source.joinpath(*parts[:length], "mod.rs") for length in range(1, len(parts) + 1)]
    return any(_has(file, name) for file in candidates)
