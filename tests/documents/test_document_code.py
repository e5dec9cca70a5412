"""Every block of code in README.md and the pages of docs/ is run, in order, in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import document

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    path
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if any(document.blocks(path.read_text()))
]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_its_code_runs(path: Path, tmp_path: Path) -> None:
    blocks = list(document.blocks(path.read_text()))
    languages = {block.language for block in blocks} - {"setup"}
    assert languages <= document.RUN | document.SHOWN
    run = [block for block in blocks if block.language in document.RUN and block.reason is None]
    done = subprocess.run(
        [sys.executable, document.__file__, path],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env=os.environ | {"HOME": str(tmp_path), "PYTHONWARNINGS": "error::DeprecationWarning"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) == len(run)


def test_most_of_it_is_run() -> None:
    blocks = [block for path in DOCUMENTS for block in document.blocks(path.read_text())]
    code = [block for block in blocks if block.language in document.RUN]
    left_out = [block for block in code if block.reason is not None]
    assert {ROOT / "README.md", *(ROOT / "docs" / "guide").glob("[!i]*.md")} <= set(DOCUMENTS)
    assert len(code) > 40
    assert len(left_out) < len(code) / 5
    # A reason, and not a word.
    assert all(len((block.reason or "").split()) > 3 for block in left_out)


def test_what_is_not_as_shown_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "some.md"

    def ran(text: str) -> int:
        path.write_text(text)
        return document.run(path)

    assert ran("```console\n$ echo one\n… \n$ echo a b \\\n    c\na … c\n```\n") == 1
    assert ran("<!-- setup\nx = 1\n-->\n```python\nassert x == 1\n```\n```text\n$ false\n```\n") == 1
    assert ran("<!-- not run: because I say so -->\n```python\nraise\n```\n") == 0
    for wrong in ("```console\n$ echo one\ntwo\n```\n", "```console\n$ false\n```\n"):
        with pytest.raises(AssertionError, match=r"some\.md:2"):
            ran(wrong)
    with pytest.raises(ZeroDivisionError):
        ran("```python\nx = 1\n```\n```python\nx / 0\n```\n")
    for unclear in ("  ```python\n  x\n  ```\n", "<!-- not run: nothing follows -->\n", "```python\nx\n"):
        with pytest.raises(ValueError, match="not closed"):
            ran(unclear)
