"""An encrypted database and a plaintext twin of it that are driven by the same SQL."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lumocrypt
from lumocrypt.opening.connection import handle_uri

KEY = bytes(range(32))

# The URIs below are opened by sqlite3 itself.
lumocrypt.install(default=False)

#: Rows, or the text of an error: what both sides must agree on.
Outcome = list[Any] | str


@dataclass(slots=True)
class Side:
    """One of the two databases, with its main connection."""

    path: Path
    #: The engine's options; None for the plaintext side.
    options: dict[str, Any] | None
    connection: sqlite3.Connection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = self.open()

    def open(self) -> sqlite3.Connection:
        """Another connection. It waits for no lock: who is told "locked" must be the same on both sides."""
        if self.options is None:
            return sqlite3.connect(self.path, isolation_level=None, timeout=0)
        # Not lumocrypt.connect(): the block size of a new database is an option of the engine only.
        uri = handle_uri(str(self.path), lumocrypt.Key.raw(KEY), self.options)
        return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0)

    def run(self, sql: str, *parameters: Any) -> Outcome:
        return outcome(self.connection, sql, *parameters)


def outcome(connection: sqlite3.Connection, sql: str, *parameters: Any) -> Outcome:
    """The rows of a statement, or its error."""
    try:
        return connection.execute(sql, parameters).fetchall()
    except sqlite3.Error as error:
        return str(error)


class Twins:
    """The two sides. Every method but :meth:`close` fails if they differ."""

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self.encrypted = Side(folder / "encrypted.db", options)
        self.plain = Side(folder / "plain.db", None)

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.encrypted, self.plain

    def run(self, sql: str, *parameters: Any) -> Outcome:
        """Runs a statement on both."""
        got, wanted = (side.run(sql, *parameters) for side in self.sides)
        assert got == wanted, (sql, got, wanted)
        return wanted

    def run_beside(self, sql: str, *parameters: Any) -> Outcome:
        """Runs a statement on both, on connections of their own."""
        found: list[Outcome] = []
        for side in self.sides:
            with contextlib.closing(side.open()) as other:
                found.append(outcome(other, sql, *parameters))
        # Larger sectors bring more pages into the cache, so one side may have to spill, for which it locks
        # readers out, where the other has not.
        may_spill = self.plain.connection.in_transaction and "database is locked" in found
        assert found[0] == found[1] or may_spill, (sql, *found)
        return found[1]

    def checkpoint(self, kind: str) -> None:
        """The counts of frames may differ: where blocks are larger than pages, SQLite logs whole blocks."""
        got, wanted = (side.run(f"PRAGMA wal_checkpoint({kind})") for side in self.sides)
        assert [row[0] for row in got] == [row[0] for row in wanted], (kind, got, wanted)

    def reopen(self) -> None:
        """Closes both, verifies, and opens them again."""
        self.close()
        found = lumocrypt.verify(self.encrypted.path, key=lumocrypt.Key.raw(KEY))
        assert found.ok, found
        for side in self.sides:
            side.connection = side.open()
        self.check()

    def check(self) -> None:
        """Same content, and both are sound."""
        for sql in (
            "SELECT name, sql FROM sqlite_master ORDER BY name",
            "SELECT * FROM t ORDER BY id",
            "SELECT a, count(*), sum(length(b)) FROM t GROUP BY a",
            "SELECT * FROM u ORDER BY k",
            "PRAGMA page_size",
            "PRAGMA page_count",
            "PRAGMA auto_vacuum",
            "PRAGMA integrity_check",
        ):
            found = self.run(sql)
        assert found in ([("ok",)], "database is locked"), found

    def close(self) -> None:
        for side in self.sides:
            side.connection.close()

    def finish(self) -> None:
        """The last close: what is decrypted is what the twin holds."""
        self.reopen()
        self.close()
        decrypted = self.encrypted.path.with_name("decrypted.db")
        lumocrypt.decrypt(self.encrypted.path, decrypted, key=lumocrypt.Key.raw(KEY))
        assert content(decrypted) == content(self.plain.path)


def content(path: Path) -> list[str]:
    """A plaintext database as SQL."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return list(connection.iterdump())


def payload(seed: int, size: int) -> bytes:
    """Bytes that differ from page to page and are the same on both sides."""
    return random.Random(seed).randbytes(size)
