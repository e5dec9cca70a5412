"""A workload under the recorder."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeVar

from .flavour import Flavour
from .log import Event, Kind, parse
from .medium import Failure
from .recorder import Recorder
from .setup import Setup

NAME, OTHER_NAME = "app.db", "other.db"
#: Schema under which a second database is attached.
OTHER = "other"
#: Marks in the log: a step begins, a step has returned.
BEGUN, RETURNED = 1, 2


#: SQL and its parameters.
Statement = tuple[str, tuple[object, ...]]
#: A workload.
Activity = Callable[["Session"], None]
#: What a program that gets an error does once more, so often.
TRIES = 5
_T = TypeVar("_T")
_versions = itertools.count(1)
#: What a call raises where a sync fails.
Errors = (sqlite3.Error, OSError)


def contents(connection: sqlite3.Connection, schema: str = "main") -> bytes:
    """A digest of the schema and of every row."""
    hasher = hashlib.blake2b(digest_size=12)

    def rows(sql: str) -> list[tuple[str, ...]]:
        found = connection.execute(sql).fetchall()
        hasher.update(repr(found).encode())
        return found

    for kind, name, _ in rows(f"SELECT type, name, sql FROM {schema}.sqlite_master ORDER BY 1, 2"):
        if kind == "table":
            rows(f'SELECT * FROM {schema}."{name}" ORDER BY 1')
    return hasher.digest()


def all_contents(connection: sqlite3.Connection, *, with_other: bool) -> bytes:
    """A digest of the main database and, if there is one, of the attached one."""
    return contents(connection) + (contents(connection, OTHER) if with_other else b"")


@dataclass(slots=True)
class Recording:
    """What a workload did, and the contents that a crash may leave."""

    initial: dict[str, bytes]
    events: list[Event]
    #: ``states[n]``: after n steps.
    states: list[bytes]
    #: The numbers of the keys that open the database then, if they come and go.
    keys: list[bytes] = field(default_factory=list)
    #: Steps that had returned before event n, and steps that had begun.
    returned: list[int] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)

    def opening(self, point: int) -> set[bytes]:
        """The keys that may open the database after a crash before that event: acknowledged ones do."""
        return set(self.keys[self.returned[point] : self.begun[point] + 1]) or {b""}

    def count(self) -> None:
        """Fills in ``returned`` and ``begun``: one entry for each point of crash."""
        begun = returned = 0
        for event in self.events:
            self.begun.append(begun)
            self.returned.append(returned)
            if event.kind is Kind.MARK:
                begun += event.number == BEGUN
                returned += event.number == RETURNED
        self.begun.append(begun)
        self.returned.append(returned)


class Session:
    """The connections of a workload, and a mirror in memory that says what they should hold.

    On a medium that fails a program tries again what returned an error: ``patient``.
    """

    def __init__(
        self,
        folder: Path,
        flavour: Flavour,
        setup: Setup,
        recorder: Recorder,
        seed: int,
        *,
        patient: bool = False,
    ) -> None:
        self.folder, self.flavour, self.setup, self.random = folder, flavour, setup, Random(seed)
        #: Numbers of the keys that open the database, if they come and go.
        self.keys: set[int] = set()
        self._recorder, self._tries = recorder, TRIES if patient else 1
        self._mirror = sqlite3.connect(":memory:", isolation_level=None)
        self._open: list[sqlite3.Connection] = []
        if setup.with_other:
            self._mirror.execute(f"ATTACH ':memory:' AS {OTHER}")
        self._states, self._keys = [self._contents()], [b""]

    @property
    def path(self) -> Path:
        return self.folder / NAME

    def _contents(self) -> bytes:
        return all_contents(self._mirror, with_other=self.setup.with_other)

    def patiently(self, work: Callable[[], _T]) -> _T:
        """Does what a failing medium may have to be asked for again."""
        for _ in range(self._tries - 1):
            with contextlib.suppress(*Errors):
                return work()
        return work()

    def connect(self, *, journal: str | None = None) -> sqlite3.Connection:
        """A connection with the scenario's pragmas."""
        setup = self.setup
        connection = self.patiently(lambda: self.flavour.open(self.path))
        self._open.append(connection)
        if setup.exclusive:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        if setup.new:
            connection.execute(f"PRAGMA page_size={setup.geometry.page}")
            connection.execute(f"PRAGMA auto_vacuum={setup.geometry.auto_vacuum}")
        schemas = ["main"]
        if setup.with_other:
            self.patiently(lambda: self.flavour.attach(connection, self.folder / OTHER_NAME, OTHER))
            schemas.append(OTHER)
        for schema in schemas:
            self.maintain(connection, f"PRAGMA {schema}.journal_mode={journal or setup.journal}")
            connection.execute(f"PRAGMA {schema}.synchronous={setup.sync}")
            connection.execute(f"PRAGMA {schema}.cache_size={setup.cache}")
        connection.execute("PRAGMA wal_autocheckpoint=0").fetchall()
        # Pages that are freed are then never written, so that there are holes.
        connection.execute("PRAGMA secure_delete=OFF").fetchall()
        return connection

    def close(self, connection: sqlite3.Connection) -> None:
        connection.close()
        self._open.remove(connection)

    def maintain(self, connection: sqlite3.Connection, sql: str) -> None:
        """A statement that leaves the content as it is, outside a transaction."""
        self.patiently(lambda: connection.execute(sql).fetchall())

    @contextlib.contextmanager
    def acknowledged(self) -> Iterator[None]:
        """A change that has begun when the block is entered, and lasts when it is left."""
        self._recorder.mark(BEGUN)
        yield
        self._recorder.mark(RETURNED)
        self._states.append(self._contents())
        self._keys.append(bytes(sorted(self.keys)))

    @contextlib.contextmanager
    def step(self, connection: sqlite3.Connection) -> Iterator[Callable[..., None]]:
        """One change of the content, which is committed when the block is left.

        The block gets a function that executes a statement here and in the mirror.
        """
        done: list[Statement] = []

        def execute(sql: str, *parameters: object) -> None:
            done.append((sql, parameters))
            try:
                connection.execute(sql, parameters).fetchall()
            except Errors:
                if self._tries == 1:
                    raise
                self._mirror.execute(sql, parameters).fetchall()
                self._again(connection, done)
            else:
                self._mirror.execute(sql, parameters).fetchall()

        with self.acknowledged():
            yield execute

    def _again(self, connection: sqlite3.Connection, statements: list[Statement]) -> None:
        """Executes a transaction from its beginning, unless it was committed in spite of the error."""

        def attempt() -> None:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            ended = not self._mirror.in_transaction
            if ended and all_contents(connection, with_other=self.setup.with_other) == self._contents():
                # What is read may not be durable. What is committed after it is, and so this.
                connection.execute(f"PRAGMA user_version = {next(_versions)}").fetchall()
                return
            for sql, parameters in statements:
                connection.execute(sql, parameters).fetchall()

        self.patiently(attempt)

    def transaction(self, connection: sqlite3.Connection, *statements: Statement) -> None:
        """A step that is one transaction."""
        with self.step(connection) as execute:
            execute("BEGIN")
            for sql, parameters in statements:
                execute(sql, *parameters)
            execute("COMMIT")

    def finish(self) -> tuple[list[bytes], list[bytes]]:
        """Closes what is open; the states, and what opens them."""
        while self._open:
            self._open.pop().close()
        self._mirror.close()
        return self._states, self._keys


def record(
    folder: Path,
    flavour: Flavour,
    setup: Setup,
    run: Activity,
    recorder: Recorder,
    seed: int,
    failure: Failure | None = None,
) -> Recording:
    """Runs a workload in an empty folder; ``failure`` happens in its course."""
    if not setup.new:
        flavour.prepare(folder / NAME, setup.geometry)
        if setup.with_other:
            flavour.prepare(folder / OTHER_NAME, setup.geometry)
    initial = {path.name: path.read_bytes() for path in folder.iterdir()}
    session = Session(folder, flavour, setup, recorder, seed, patient=failure is not None)
    recorder.start(folder)
    if failure is not None:
        failure.arm(recorder, folder, initial)
    try:
        run(session)
        states, keys = session.finish()
    finally:
        log = recorder.stop()
    recording = Recording(initial, list(parse(log)), states, keys)
    recording.count()
    return recording
