"""Salvaging, as the tests do it."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path

import lumocrypt
from support.damage import content

Content = dict[str, Counter[str]]


def rescue(path: Path, key: lumocrypt.Key | None) -> tuple[lumocrypt.SalvageResult, Content]:
    """Salvages beside the source, and reads the result."""
    target = path.with_name("rescued.db")
    target.unlink(missing_ok=True)
    before = {name: name.read_bytes() for name in path.parent.iterdir()}
    result = lumocrypt.salvage(path, target, key=key)
    after = {name: name.read_bytes() for name in path.parent.iterdir() if name != target}
    assert after == before, "the source was touched, or something was left behind"
    assert result.problems == []
    with contextlib.closing(lumocrypt.connect(target, key=key)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return result, content(connection)


def table(result: lumocrypt.SalvageResult, name: str) -> lumocrypt.SalvagedTable:
    return next(one for one in result.tables if one.name == name)
