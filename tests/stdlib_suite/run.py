"""Runs CPython's own tests of ``sqlite3`` over encrypted databases: ``run.py FOLDER``.

Prints one JSON object: the tests that ran, those that failed, and how many connections were encrypted.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import unittest
from pathlib import Path
from typing import Any

import replacement

import lumocrypt

SUITE = "test.test_sqlite3"


class Result(unittest.TestResult):
    """Keeps the short name of every test with its fate."""

    def __init__(self) -> None:
        super().__init__()
        self.passed: list[str] = []
        self.failed: dict[str, str] = {}

    def addSuccess(self, test: unittest.TestCase) -> None:
        super().addSuccess(test)
        self.passed.append(short(test))

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        self.failed[short(test)] = self._exc_info_to_string(err, test)

    addFailure = addError

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.failed[short(test)] = self._exc_info_to_string(err, test)


def short(test: unittest.TestCase) -> str:
    """``test_dbapi.ConnectionTests.test_close``."""
    return test.id().removeprefix(f"{SUITE}.")


def main() -> None:
    folder = Path(sys.argv[1])
    # The suite prints now and then; the report must be alone on standard output.
    output, sys.stdout = sys.stdout, sys.stderr
    os.environ[replacement.FOLDER] = str(folder)
    os.environ["PYTHONPATH"] = str(Path(__file__).with_name("startup"))
    replacement.install(folder)
    package = importlib.import_module(SUITE)
    os.chdir(folder)
    loader = unittest.TestLoader()
    suite = loader.discover(
        str(Path(package.__path__[0])), pattern="test_*.py", top_level_dir=_stdlib(package)
    )
    before = lumocrypt.stats()
    result = Result()
    suite.run(result)
    after = lumocrypt.stats()
    report = {
        "ran": result.testsRun,
        "passed": result.passed,
        "failed": result.failed,
        "skipped": [short(test) for test, _ in result.skipped],
        "opened": after["opened"] - before["opened"],
        "encrypted": replacement.Counts.encrypted,
        "memory": replacement.Counts.memory,
        "temporary": replacement.Counts.temporary,
    }
    print(json.dumps(report), file=output)


def _stdlib(package: Any) -> str:
    return str(Path(package.__path__[0]).parents[1])


main()
