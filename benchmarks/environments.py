"""The virtual environments of the peers.

``make bench-setup`` makes ``.bench/<name>`` of ``benchmarks/peers/<name>.txt``.
"""

from __future__ import annotations

import importlib
import platform
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .processes import ROOT, Children
from .subjects import SUBJECTS

#: That of the harness itself.
OWN = "own"
PEERS = ("mc", "sqlcipher", "apsw")
_PACKAGES = ("lumocrypt", "apsw", "apsw-sqlite3mc", "sqlcipher3")


def interpreters(given: Mapping[str, str], subjects: Iterable[str]) -> dict[str, str]:
    """The Python of each environment that the subjects need.

    Raises SystemExit if one is missing.
    """
    found: dict[str, str] = {OWN: given.get(OWN, sys.executable)}
    for environment in sorted({SUBJECTS[subject].environment for subject in subjects} - {OWN}):
        default = ROOT / ".bench" / environment / "bin" / "python"
        if environment not in given and not default.exists():
            raise SystemExit(
                f"there is no {default}: run `make bench-setup`, or give --python {environment}=…"
            )
        found[environment] = given.get(environment, str(default))
    return found


def versions(children: Children) -> dict[str, dict[str, str]]:
    """What is installed in each environment."""
    return {name: children.run(name, "environments") for name in sorted(children.pythons)}


def child() -> dict[str, str]:
    """The packages of the environment that this process runs in, and its SQLite."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    found["sqlite"] = _sqlite(found)
    return found


def _sqlite(packages: Mapping[str, str]) -> str:
    if "apsw" in packages or "apsw-sqlite3mc" in packages:
        apsw: Any = importlib.import_module("apsw")
        return apsw.sqlite_lib_version()
    name = "sqlcipher3" if "sqlcipher3" in packages else "sqlite3"
    return importlib.import_module(name).sqlite_version
