"""CPython's own tests of ``sqlite3``, with every database encrypted."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from stdlib_suite.exceptions import EXCEPTIONS

RUN = Path(__file__).parents[1] / "stdlib_suite" / "run.py"
#: Just below what Python 3.11 opens (493 of 510 connections; the rest never touch their file).
ENCRYPTED_FLOOR = 485


def has_suite() -> bool:
    try:
        return importlib.util.find_spec("test.test_sqlite3") is not None
    except ModuleNotFoundError:
        return False


def test_cpython_suite_over_encrypted_databases(tmp_path: Path) -> None:
    if not has_suite():
        reason = f"NOT TESTED: {sys.executable} has no test.test_sqlite3 (libpython3-testsuite on Debian)"
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)
    done = subprocess.run(
        [sys.executable, str(RUN), str(tmp_path)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)

    assert len(EXCEPTIONS) <= 15
    failed = set(report["failed"])
    expected = {name for name, (since, _) in EXCEPTIONS.items() if sys.version_info >= since}
    unexpected = {name: report["failed"][name] for name in failed - expected}
    assert not unexpected, "\n".join(f"{name}\n{text}" for name, text in unexpected.items())
    # An exception that passes is one too many.
    assert not expected & set(report["passed"])
    assert len(report["passed"]) > 400

    # The engine's own count, not the replacement's.
    assert report["opened"] >= ENCRYPTED_FLOOR, report
    assert report["opened"] > 0.9 * report["encrypted"]
    assert report["memory"] == []
