"""Writers and readers, each a process forked from one that has no database open."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import lumocrypt
from support.known_keys import RAW
from support.rekeying import steps_of

from .ledger import Ledger

ACCOUNTS, START = 20, 1000
_BUSY = {5, 6, 15}
#: Exit code of a process that found something wrong.
FOUND = 3


class InconsistentError(Exception):
    """Something that no transaction wrote."""


@dataclass(frozen=True, slots=True)
class Place:
    """A database and how it is used."""

    folder: Path
    journal: str
    sync: str = "full"

    @property
    def path(self) -> Path:
        return self.folder / "app.db"

    def connect(self) -> sqlite3.Connection:
        connection = lumocrypt.connect(
            self.path, key=lumocrypt.Key.raw(RAW), isolation_level=None, timeout=10
        )
        connection.execute(f"PRAGMA synchronous={self.sync}")
        return connection

    def create(self) -> None:
        """Accounts whose balances always sum up to the same, and the numbers of the transactions."""
        self.folder.mkdir(parents=True)
        connection = self.connect()
        connection.execute(f"PRAGMA journal_mode={self.journal}").fetchall()
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER, pad BLOB)")
        connection.execute(
            "CREATE TABLE done (worker INTEGER, number INTEGER, pad BLOB, PRIMARY KEY (worker, number))"
        )
        connection.execute("CREATE INDEX by_pad ON done (pad)")
        for account in range(ACCOUNTS):
            connection.execute("INSERT INTO account VALUES (?, ?, zeroblob(700))", (account, START))
        connection.execute("COMMIT")
        connection.close()


def counts(connection: sqlite3.Connection) -> dict[int, int]:
    """How many transactions of each worker are there. Raises InconsistentError."""
    found: dict[int, int] = {}
    connection.execute("BEGIN")
    try:
        if connection.execute("SELECT sum(balance) FROM account").fetchone() != (ACCOUNTS * START,):
            raise InconsistentError("half a transfer")
        for worker, count, last in connection.execute(
            "SELECT worker, count(*), max(number) FROM done GROUP BY worker"
        ):
            if count != last + 1:
                raise InconsistentError(f"worker {worker}: {count} transactions up to number {last}")
            found[worker] = count
    finally:
        connection.execute("ROLLBACK")
    return found


def write(place: Place, worker: int, random: Random) -> None:
    """Transactions for ever; each is acknowledged after its commit."""
    ledger = Ledger(place.folder / f"{worker}.ledger")
    number = 0
    while True:
        connection = place.connect()
        if random.random() < 0.5:
            # Spills.
            connection.execute("PRAGMA cache_size=4")
        if random.random() < 0.5:
            connection.execute(f"PRAGMA wal_autocheckpoint={random.choice([5, 50])}").fetchall()
        for _ in range(random.randrange(1, 60)):
            if transact(connection, worker, number, random):
                ledger.acknowledge(number)
                number += 1
            _look_after(connection, place, random)
        connection.close()


def transact(connection: sqlite3.Connection, worker: int, number: int, random: Random) -> bool:
    """A few transfers and the number; False if others were in the way, or if it was rolled back."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        for _ in range(random.choice([1, 1, 3, 12])):
            source, target = random.sample(range(ACCOUNTS), 2)
            connection.execute("UPDATE account SET balance = balance - 7 WHERE id = ?", (source,))
            connection.execute(
                "UPDATE account SET balance = balance + 7, pad = randomblob(?) WHERE id = ?",
                (random.choice([300, 700, 3000]), target),
            )
        pad = random.randbytes(random.choice([10, 100]))
        connection.execute("INSERT INTO done VALUES (?, ?, ?)", (worker, number, pad))
        if random.random() < 0.1:
            connection.execute("ROLLBACK")
            return False
        connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        if not _is_busy(error):
            raise
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return False
    return True


def _look_after(connection: sqlite3.Connection, place: Place, random: Random) -> None:
    try:
        if place.journal == "wal" and random.random() < 0.05:
            mode = random.choice(["PASSIVE", "FULL", "RESTART", "TRUNCATE"])
            connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
        elif random.random() < 0.005:
            connection.execute("VACUUM")
    except sqlite3.OperationalError as error:
        if not _is_busy(error):
            raise


def read(place: Place, _: int, random: Random) -> None:
    """Looks at the sums for ever."""
    while True:
        connection = place.connect()
        for _look in range(random.randrange(1, 30)):
            try:
                counts(connection)
                if random.random() < 0.05 and connection.execute("PRAGMA quick_check").fetchall() != [
                    ("ok",)
                ]:
                    raise InconsistentError("quick_check")
            except sqlite3.OperationalError as error:
                if not _is_busy(error):
                    raise
        connection.close()


def change_keys(place: Place, _: int, random: Random) -> None:
    """Changes the data key for ever, or takes up what another one left."""
    while True:
        with steps_of(random.choice([4096, 20000, 1 << 20])):
            try:
                lumocrypt.rekey(place.path, key=lumocrypt.Key.raw(RAW), wait=random.choice([0.1, 5]))
            except lumocrypt.InUseError:
                time.sleep(0.05)


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return not isinstance(error, lumocrypt.CryptError) and error.sqlite_errorcode & 0xFF in _BUSY


Duty = Callable[[Place, int, Random], None]


@dataclass(slots=True)
class Fleet:
    """The processes at work on one database."""

    place: Place
    random: Random
    _processes: dict[int, Duty] = field(default_factory=dict)
    _next: int = 0

    def start(self, duty: Duty) -> None:
        """One more process. No connection may be open in this one."""
        worker, seed = self._next, self.random.random()
        self._next += 1
        sys.stdout.flush()
        process = os.fork()
        if process:
            self._processes[process] = duty
            return
        try:
            duty(self.place, worker, Random(seed))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(FOUND)

    def kill_one(self) -> Duty:
        """Kills any of them; what it was doing."""
        process = self.random.choice(list(self._processes))
        os.kill(process, signal.SIGKILL)
        return self._bury(process)

    def kill_all(self) -> list[Duty]:
        """Kills all of them before any can notice."""
        for process in self._processes:
            os.kill(process, signal.SIGKILL)
        return [self._bury(process) for process in list(self._processes)]

    def _bury(self, process: int) -> Duty:
        _, status = os.waitpid(process, 0)
        duty = self._processes.pop(process)
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            raise InconsistentError(f"a process that should {duty.__name__} ended by itself: {status}")
        return duty
