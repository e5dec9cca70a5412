"""What campaigns rely on finds what it is there for."""

from __future__ import annotations

import contextlib
import ctypes
import sqlite3
from pathlib import Path

import pytest

from campaigns.integrity import WrongError, check_integrity, flaw
from campaigns.selection import chosen
from campaigns.shared_object import build


@pytest.mark.parametrize("schema", ["main", "other"])
def test_an_index_that_lost_a_row_is_a_flaw(tmp_path: Path, schema: str) -> None:
    """In an attached database as well."""
    with contextlib.closing(sqlite3.connect(tmp_path / "main.db", isolation_level=None)) as connection:
        connection.execute("ATTACH ? AS other", (str(tmp_path / "other.db"),))
        for name in ("main", "other"):
            connection.execute(f"CREATE TABLE {name}.t (a, b)")
            connection.execute(f"INSERT INTO {name}.t VALUES (1, 2)")
            connection.execute(f"CREATE INDEX {name}.i ON t (a)")
        assert flaw(connection) is None
        check_integrity(connection)
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(
            f"UPDATE {schema}.sqlite_schema SET sql = 'CREATE INDEX i ON t (b)' WHERE name = 'i'"
        )
    with contextlib.closing(sqlite3.connect(tmp_path / "main.db")) as connection:
        connection.execute("ATTACH ? AS other", (str(tmp_path / "other.db"),))
        assert f"integrity_check of {schema}" in str(flaw(connection))
        with pytest.raises(WrongError, match=schema):
            check_integrity(connection)


def test_only_is_a_regular_expression_found_anywhere() -> None:
    names = ["wal-full", "delete-full", "wal-off"]
    assert chosen(names, "") == names
    assert chosen(names, "^wal") == ["wal-full", "wal-off"]
    assert chosen(names, "full") == ["wal-full", "delete-full"]
    assert chosen(names, "persist") == []


def test_a_changed_source_or_header_is_compiled_again(tmp_path: Path) -> None:
    source, header = tmp_path / "number.c", tmp_path / "number.h"
    header.write_text("#define NUMBER 1\n")
    source.write_text('#include "number.h"\nint number(void) { return NUMBER; }\n')
    first = build(source)
    assert build(source) == first
    header.write_text("#define NUMBER 2\n")
    second = build(source)
    assert second != first
    assert [ctypes.CDLL(str(one)).number() for one in (first, second)] == [1, 2]
    for one in (first, second):
        one.unlink()
        one.with_suffix(".lock").unlink()
