"""What the other processes and threads of the sharing tests do."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from support.sql_database import connect

ACCOUNTS = 20
START = 1000


def create(path: Path, journal_mode: str) -> None:
    """Accounts whose balances always sum up to the same, and a log of transfers."""
    connection = connect(path)
    connection.execute(f"PRAGMA journal_mode={journal_mode}")
    connection.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER, pad BLOB)")
    connection.execute("CREATE TABLE log (worker INTEGER, number INTEGER, PRIMARY KEY (worker, number))")
    connection.executemany(
        "INSERT INTO account VALUES (?, ?, zeroblob(700))", ((i, START) for i in range(ACCOUNTS))
    )
    connection.close()


def transfer(connection: sqlite3.Connection, worker: int, number: int) -> None:
    """One transaction: from one account to another, over several pages."""
    source, target = number % ACCOUNTS, (number * 7 + worker + 1) % ACCOUNTS
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE account SET balance = balance - 1 WHERE id = ?", (source,))
    connection.execute(
        "UPDATE account SET balance = balance + 1, pad = randomblob(700) WHERE id = ?", (target,)
    )
    connection.execute("INSERT INTO log VALUES (?, ?)", (worker, number))
    connection.execute("COMMIT")


def write(path: str, worker: int, stop: str, acknowledged: str) -> None:
    """Transfers until the file ``stop`` exists; each is written down in ``acknowledged`` after its commit."""
    connection = connect(path, timeout=60)
    with open(acknowledged, "w") as file:
        number = 0
        while not os.path.exists(stop):
            transfer(connection, worker, number)
            print(number, file=file, flush=True)
            number += 1
    connection.close()


def read(path: str, stop: str) -> None:
    """Looks at the sum until the file ``stop`` exists; a wrong one ends the process with an error."""
    connection = connect(path, timeout=60)
    while not os.path.exists(stop):
        assert total(connection) == ACCOUNTS * START
        # Readers without a pause would keep a writer of a rollback journal waiting for ever.
        time.sleep(0.003)
    connection.close()


def total(connection: sqlite3.Connection) -> int:
    return connection.execute("SELECT sum(balance) FROM account").fetchone()[0]
