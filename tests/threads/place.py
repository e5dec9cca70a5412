"""Databases that a scenario works on, and what is true of them whatever happens."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from random import Random
from typing import Any

ACCOUNTS = 20
BALANCE = 100


class Place:
    """A folder with databases of accounts, whose balances never change in sum."""

    def __init__(self, folder: Path, *, encrypted: bool) -> None:
        self.folder = folder
        self.encrypted = encrypted

    def path(self, name: str = "a") -> Path:
        return self.folder / f"{name}.db"

    def uri(self, name: str = "a", **parameters: str) -> str:
        query = "&".join(f"{key}={value}" for key, value in parameters.items())
        return f"file:{self.path(name)}?{query}"

    def attached(self, name: str) -> str:
        """A name to ATTACH: with a shared cache that is refused where it would lend out keys."""
        return self.uri(name) if self.encrypted else self.uri(name, cache="shared")

    def create(self, name: str = "a", journal: str = "delete") -> None:
        with contextlib.closing(self.connect(name)) as connection:
            connection.execute(f"PRAGMA journal_mode={journal}")
            connection.execute("PRAGMA synchronous=OFF")
            connection.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, balance INT, note BLOB)")
            rows = [(i, BALANCE, bytes(500)) for i in range(ACCOUNTS)]
            connection.executemany("INSERT INTO account VALUES (?, ?, ?)", rows)
        if self.encrypted and self.path(name).read_bytes().startswith(b"SQLite format 3"):
            raise AssertionError(f"{name} is clear")

    def connect(self, name: str = "a", *, shared: bool = False, **arguments: Any) -> sqlite3.Connection:
        parameters = {"cache": "shared"} if shared else {}
        arguments = {"isolation_level": None, "timeout": 0.2, "check_same_thread": False} | arguments
        connection = sqlite3.connect(self.uri(name, **parameters), uri=True, **arguments)
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    def check(self, *names: str) -> None:
        """Everything is there, and sound, for somebody who comes later."""
        for name in names or ("a",):
            with contextlib.closing(self.connect(name, timeout=5)) as connection:
                assert total(connection) == ACCOUNTS * BALANCE, name
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",), name


def total(connection: sqlite3.Connection, schema: str = "main") -> int:
    """The sum of the balances of a database."""
    return connection.execute(f"SELECT sum(balance) FROM {schema}.account").fetchone()[0]


def transfer(connection: sqlite3.Connection, random: Random, schema: str = "main") -> None:
    """Moves something from one account to another."""
    one, other, amount = random.randrange(ACCOUNTS), random.randrange(ACCOUNTS), random.randrange(1, 9)
    connection.execute("BEGIN IMMEDIATE")
    try:
        move = f"UPDATE {schema}.account SET balance = balance + ?, note = randomblob(500) WHERE id = ?"
        connection.execute(move, (-amount, one))
        connection.execute(move, (amount, other))
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
