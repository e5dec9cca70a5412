"""Databases with a history: a live log, and the states that its transactions went through."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import lumocrypt
from support.crash import contents, crashed, log_of
from support.known_keys import RAW
from support.tiny import Attacked, Rows, make_tiny

KEY = lumocrypt.Key.raw(RAW)


@dataclass(frozen=True)
class Crashed(Attacked):
    """A database whose last connection died, in a folder of its own."""

    #: The rows after each transaction, the oldest first.
    states: list[Rows]
    #: Its files at the moment of the crash.
    files: dict[str, bytes]

    @property
    def wal(self) -> Path:
        return log_of(self.path, "-wal")

    @property
    def journal(self) -> Path:
        return log_of(self.path, "-journal")

    def put(self, **changed: bytes | None) -> None:
        """Puts all files back as they were at the crash, but ``main``, ``wal`` or ``journal`` as given."""
        for path, name in ((self.path, "main"), (self.wal, "wal"), (self.journal, "journal")):
            content = changed.get(name, self.files.get(path.name))
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)
        log_of(self.path, "-shm").unlink(missing_ok=True)

    @classmethod
    def of(cls, live: Path, folder: Path, states: list[Rows], key: lumocrypt.Key = KEY) -> Crashed:
        path = crashed(live, folder)
        return cls(path, key, states, contents(folder))


def open_wal(path: Path, key: lumocrypt.Key = KEY) -> sqlite3.Connection:
    """A connection in WAL mode whose log only grows."""
    connection = lumocrypt.connect(path, key=key, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA wal_autocheckpoint=0")
    return connection


def write(connection: sqlite3.Connection, path: Path, marks: list[str]) -> list[Rows]:
    """One transaction for each mark; the rows after each."""
    states: list[Rows] = []
    attacked = Attacked(path, KEY)
    for mark in marks:
        connection.execute("UPDATE t SET v = substr(v, 1, 6) || ?, blob = NULL WHERE id % 5 = 2", (mark,))
        states.append(attacked.rows())
    return states


def crash_in_wal_mode(folder: Path, *, transactions: int = 4) -> Crashed:
    """A crash with ``transactions`` commits in the WAL; state 0 is what the main file holds."""
    path = make_tiny(folder / "tiny.db")
    connection = open_wal(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    states = [Attacked(path, KEY).rows()]
    states += write(connection, path, [f" no. {i}" for i in range(transactions)])
    made = Crashed.of(path, folder / "crash", states)
    connection.close()
    return made


def crash_in_a_transaction(
    folder: Path, *, journal_mode: str = "DELETE", synchronous: str = "FULL"
) -> Crashed:
    """A crash with a hot journal, when the main file holds half of a transaction."""
    path = make_tiny(folder / "tiny.db")
    connection = lumocrypt.connect(path, key=KEY, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode={journal_mode}")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    # So small a cache spills pages before the commit; they wait until there are many.
    connection.execute("PRAGMA cache_size=1")
    before = path.read_bytes()
    states = [Attacked(path, KEY).rows()]
    connection.execute("BEGIN")
    connection.execute("UPDATE t SET v = v || ' changed'")
    connection.execute("DELETE FROM t WHERE id < 5")
    connection.execute("INSERT INTO t (v, blob) VALUES ('new', zeroblob(300000))")
    made = Crashed.of(path, folder / "crash", states)
    connection.execute("ROLLBACK")
    connection.close()
    assert made.files[path.name] != before
    return made
