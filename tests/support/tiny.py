"""The smallest database that has a page of every sort, and a way to look at it after an attack."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import lumocrypt
from lumocrypt.engine import native
from lumocrypt.engine.registration import stdlib_host
from lumocrypt.opening.connection import Io
from support.known_keys import RAW

#: Blocks and pages of the smallest size there is.
BLOCK = 512
#: Rows of the table.
ROWS = 20

Rows = list[tuple[object, ...]]

# Reads each page in use: the table with its overflow pages, then the index alone.
_TABLE = "SELECT id, v, quote(blob) FROM t ORDER BY id"
_INDEX = "SELECT v FROM t INDEXED BY by_v ORDER BY v"


def make_plain_tiny(path: Path, page_size: int = BLOCK) -> Path:
    """A plaintext database with interior, leaf, index, overflow and free pages."""
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA page_size={page_size}")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, blob BLOB)")
    connection.execute("CREATE INDEX by_v ON t (v)")
    connection.executemany(
        "INSERT INTO t VALUES (?, ?, ?)",
        [(i, f"row {i:02}, longer than it needs", None) for i in range(ROWS)],
    )
    connection.execute("UPDATE t SET blob = randomblob(500) WHERE id = 7")
    connection.execute("CREATE TABLE dropped (x)")
    connection.execute("DROP TABLE dropped")
    connection.commit()
    connection.close()
    return path


def make_tiny(path: Path, *, cipher: str | None = None, key: lumocrypt.Key | None = None) -> Path:
    """The same, encrypted under the raw key."""
    plain = make_plain_tiny(path.with_name(path.name + ".plain"))
    lumocrypt.encrypt(plain, path, key=key or lumocrypt.Key.raw(RAW), cipher=cipher)
    plain.unlink()
    return path


@dataclass(frozen=True)
class Attacked:
    """A database that is changed under the tests' hands: what do a query and ``verify`` say now?"""

    path: Path
    key: lumocrypt.Key

    def rows(self, io: Io = "map") -> Rows:
        """Everything in the table, by a new connection."""
        connection = lumocrypt.connect(self.path, key=self.key, io=io)
        try:
            return connection.execute(_TABLE).fetchall() + connection.execute(_INDEX).fetchall()
        finally:
            connection.close()

    def outcome(self, io: Io = "map") -> Rows | sqlite3.Error:
        """The rows, or the error instead of them."""
        try:
            return self.rows(io)
        except sqlite3.Error as error:
            return error

    def verdict(self) -> bool:
        """Whether ``verify`` finds the file in order: the engine's call alone, made by the thousand."""
        try:
            found = native.verify_file(stdlib_host().number, str(self.path), self.key.number, {}, None)
        except lumocrypt.CryptError:
            return False
        return bool(found["ok"])
