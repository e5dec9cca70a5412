"""What the documents name is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
SECURITY = ROOT / "SECURITY.md"


def test_the_tests_that_back_the_promises_exist() -> None:
    text = SECURITY.read_text()
    of_package = re.findall(r"`(test_\w+\.py)::(test_\w+)`", text)
    of_engine = re.findall(r"`(\w+(?:::\w+)*)::(\w+)`", text)
    assert len(of_package) > 40
    assert len(of_engine) > 10
    missing = [f"{file}::{name}" for file, name in of_package if not _has(ROOT / "tests" / file, name)]
    missing += [f"{module}::{name}" for module, name in of_engine if not _in_engine(module, name)]
    assert missing == []


def _has(file: Path, name: str) -> bool:
    return file.exists() and re.search(rf"^ *(def|fn) {name}\b", file.read_text(), re.MULTILINE) is not None


def _in_engine(module: str, name: str) -> bool:
    """Whether one of the files that a module path may end in has the function."""
    parts = module.split("::")
    source = ROOT / "engine" / "src"
    candidates = [source.joinpath(*parts[:length]).with_suffix(".rs") for length in range(1, len(parts) + 1)]
    return any(_has(file, name) for file in candidates)
