"""Everything at once: ``PYTHONPATH=tests python -m faults.stress --seconds 60 --seed 1``, or ``make faults``.

Processes and threads read, write, roll back, check, back up, vacuum, fork, attach and switch journal modes,
while the data key is changed again and again. Every transaction keeps the sum of all balances; whoever finds
another one, or gets an error that is not about somebody else's lock, has found a fault.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import lumocrypt

KEY, OTHER_KEY = lumocrypt.Key.raw(bytes([1] * 32)), lumocrypt.Key.raw(bytes([2] * 32))
ACCOUNTS, BALANCE = 600, 100
#: What the threads of each process do.
PROCESSES = (("mix", "read"), ("mix", "long_read"), ("mix alone",), ("rekey", "verify"))
#: Seconds after which a process that has not ended hangs.
GRACE = 120.0
#: What others may cause, in lower case.
_ALLOWED = (
    "locked", "busy", "schema has changed", "cannot commit", "in use", "does not end",
    "keep the write-ahead log", "within a transaction", "statements in progress", "cannot vacuum",
    "other connections", "being changed",
)  # fmt: skip
_SUM = "SELECT sum(balance), count(*) FROM account"


class BrokenError(Exception):
    """Something that must not be."""


def prepare(folder: Path) -> None:
    """Makes the databases."""
    with contextlib.closing(_open(folder / "app.db", KEY)) as connection:
        connection.execute("PRAGMA journal_mode=WAL").fetchall()
        connection.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER, pad BLOB)")
        connection.execute("BEGIN")
        rows = ((number, BALANCE, os.urandom(700)) for number in range(ACCOUNTS))
        connection.executemany("INSERT INTO account VALUES (?, ?, ?)", rows)
        connection.execute("COMMIT")
    with contextlib.closing(_open(folder / "other.db", OTHER_KEY)) as connection:
        connection.execute("CREATE TABLE mirror (n INTEGER)")
        connection.execute("INSERT INTO mirror VALUES (0)")


def _open(path: Path, key: lumocrypt.Key, **more: Any) -> sqlite3.Connection:
    return lumocrypt.connect(path, key=key, isolation_level=None, timeout=5, **more)


def is_allowed(error: Exception) -> bool:
    """May others be the reason?"""
    # It took the lock for longer than the caller wanted to wait.
    if isinstance(error, lumocrypt.InUseError):
        return True
    return any(words in str(error).lower() for words in _ALLOWED)


class Worker:
    """One thread with a connection of its own."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder, self._random = folder, Random(seed)
        self._connection = self._connect()
        #: Actions that came to their end.
        self.done = 0

    def _connect(self) -> sqlite3.Connection:
        io = self._random.choice(["map", "pread"])
        connection = _open(self._folder / "app.db", KEY, io=io, check_same_thread=False)
        connection.execute(f"PRAGMA cache_size={self._random.choice([5, 50, 2000])}")
        return connection

    def run(self, role: str, end: float) -> list[str]:
        """Works until then; what was wrong."""
        found: list[str] = []
        names = _ROLES.get(role, (role,))
        actions: dict[str, Callable[[], None]] = {name: getattr(self, name) for name in names}
        while time.monotonic() < end and not found:
            name = self._random.choice(names)
            try:
                actions[name]()
                self.done += 1
            except (sqlite3.Error, OSError) as error:
                if not is_allowed(error):
                    found.append(f"{name}: {type(error).__name__}: {error}")
            except BrokenError as error:
                found.append(f"{name}: {error}")
            finally:
                with contextlib.suppress(sqlite3.Error):
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
        self._connection.close()
        return found

    def _check(self, connection: sqlite3.Connection) -> None:
        found = connection.execute(_SUM).fetchone()
        if found != (ACCOUNTS * BALANCE, ACCOUNTS):
            raise BrokenError(f"the balances are {found}")

    def _write(self, *statements: tuple[str, tuple[object, ...]], end: str = "COMMIT") -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        for sql, parameters in statements:
            self._connection.execute(sql, parameters)
        self._connection.execute(end)

    def read(self) -> None:
        self._check(self._connection)

    def long_read(self) -> None:
        rows = self._connection.execute("SELECT balance, pad FROM account ORDER BY id").fetchall()
        if (sum(row[0] for row in rows), len(rows)) != (ACCOUNTS * BALANCE, ACCOUNTS):
            raise BrokenError("the balances of a whole read are others")

    def write(self) -> None:
        one, two = self._random.sample(range(ACCOUNTS), 2)
        pad = self._random.randbytes(self._random.randrange(10, 6000))
        self._write(
            ("UPDATE account SET balance = balance - 1 WHERE id = ?", (one,)),
            ("UPDATE account SET balance = balance + 1, pad = ? WHERE id = ?", (pad, two)),
        )

    def write_much(self) -> None:
        size, rest = self._random.randrange(100, 9000), self._random.randrange(7)
        self._write(("UPDATE account SET pad = randomblob(?) WHERE id % 7 = ?", (size, rest)))

    def roll_back(self) -> None:
        change = "UPDATE account SET balance = balance + 5, pad = zeroblob(3000)"
        self._write((change, ()), end="ROLLBACK")

    def back_up(self) -> None:
        with contextlib.closing(sqlite3.connect(":memory:")) as copy:
            self._connection.backup(copy, pages=self._random.choice([-1, 50]))
            self._check(copy)

    def reopen(self) -> None:
        self._connection.close()
        self._connection = self._connect()

    def checkpoint(self) -> None:
        mode = self._random.choice(["PASSIVE", "FULL", "RESTART", "TRUNCATE"])
        self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()

    def vacuum(self) -> None:
        self._connection.execute("VACUUM")

    def switch(self) -> None:
        mode = self._random.choice(["wal", "delete", "wal", "truncate", "persist"])
        self._connection.execute(f"PRAGMA journal_mode={mode}").fetchall()

    def attach(self) -> None:
        lumocrypt.attach(self._connection, self._folder / "other.db", "other", key=OTHER_KEY)
        try:
            self._write(
                ("UPDATE other.mirror SET n = n + 1", ()), ("UPDATE account SET id = id WHERE id = 1", ())
            )
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._connection.execute("DETACH other")

    def fork(self) -> None:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with contextlib.closing(_open(self._folder / "app.db", KEY)) as connection:
                    self._check(connection)
                code = 0
            except (sqlite3.Error, OSError) as error:
                code = 0 if is_allowed(error) else 2
            finally:
                os._exit(code)
        if status := os.waitpid(child, 0)[1]:
            raise BrokenError(f"a forked child ended with {status}")

    def rekey(self) -> None:
        cipher = self._random.choice([None, "xchacha20-poly1305", "aes-256-gcm", "aegis-256x2"])
        try:
            lumocrypt.rekey(self._folder / "app.db", key=KEY, wait=3, cipher=cipher)
        except lumocrypt.CryptError as error:
            if "earlier change" not in str(error):
                raise
            lumocrypt.rekey(self._folder / "app.db", key=KEY, wait=3)

    def verify(self) -> None:
        found = lumocrypt.verify(self._folder / "app.db", key=KEY)
        if not found.ok:
            raise BrokenError(f"verify found {found.damaged[:3]}")


_MIX = (
    "read", "write", "write", "write_much", "roll_back", "back_up", "reopen", "checkpoint", "vacuum",
    "switch", "attach", "long_read",
)  # fmt: skip
#: Roles of more than one action. With other threads inside SQLite a process must not fork and go on with it.
_ROLES = {"mix": _MIX, "mix alone": (*_MIX, "fork")}


def _process(folder: Path, roles: tuple[str, ...], seed: int, seconds: float, out: Any) -> None:
    """One process: a thread for each role. Reports what was wrong, and how much was done."""
    found: list[str] = []
    workers = [Worker(folder, seed * 10 + number) for number in range(len(roles))]
    end = time.monotonic() + seconds

    def work(worker: Worker, role: str) -> None:
        found.extend(worker.run(role, end))

    threads = [threading.Thread(target=work, args=pair) for pair in zip(workers, roles, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    out.put((found, sum(worker.done for worker in workers)))


def stress(folder: Path, seconds: float, seed: int) -> tuple[list[str], int]:
    """Runs it in an empty folder: what was wrong, and how many actions came to their end."""
    prepare(folder)
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    processes = [
        context.Process(target=_process, args=(folder, roles, seed + number, seconds, out))
        for number, roles in enumerate(PROCESSES)
    ]
    for process in processes:
        process.start()
    found: list[str] = []
    done = 0
    deadline = time.monotonic() + seconds + GRACE
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            found.append("a process hangs")
            process.kill()
        elif process.exitcode:
            found.append(f"a process ended with {process.exitcode}")
    while not out.empty():
        wrong, count = out.get()
        found += wrong
        done += count
    with contextlib.closing(_open(folder / "app.db", KEY)) as connection:
        if connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
            found.append("integrity_check at the end")
        if connection.execute(_SUM).fetchone() != (ACCOUNTS * BALANCE, ACCOUNTS):
            found.append("the balances at the end")
    return found, done


def main() -> int:
    """0 if nothing was wrong."""
    parser = argparse.ArgumentParser(prog="python -m faults.stress", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lumocrypt-stress-") as folder:
        found, done = stress(Path(folder), arguments.seconds, arguments.seed)
    print(*found, sep="\n")
    print(f"stress: {done} actions, {len(found)} faults")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
