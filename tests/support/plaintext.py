"""Databases in clear, with a text that is easily found again."""

from __future__ import annotations

import sqlite3
from pathlib import Path

#: A text that no file may contain in clear.
MARKER = "the quick brown marker"


def fill(connection: sqlite3.Connection, rows: int = 500) -> None:
    """A table with an index, over several pages."""
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, data BLOB)")
    connection.executemany(
        "INSERT INTO t (name, data) VALUES (?, ?)",
        ((f"{MARKER} {i}", bytes([i % 256]) * 200) for i in range(rows)),
    )
    connection.execute("CREATE INDEX by_name ON t (name)")
    connection.commit()


def make_plain(path: Path, rows: int = 500, *, journal_mode: str = "delete", page_size: int = 4096) -> Path:
    """A plaintext database, closed cleanly."""
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA page_size={page_size}")
    connection.execute(f"PRAGMA journal_mode={journal_mode}")
    fill(connection, rows)
    connection.close()
    return path
