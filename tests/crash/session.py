"""A workload under the recorder."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from .flavour import Flavour, Geometry
from .log import Event, Kind, parse
from .recorder import Recorder

NAME, OTHER_NAME = "app.db", "other.db"
#: Schema under which a second database is attached.
OTHER = "other"
#: Marks in the log: a step begins, a step has returned.
BEGUN, RETURNED = 1, 2


#: SQL and its parameters.
Statement = tuple[str, tuple[object, ...]]
#: A workload.
Activity = Callable[["Session"], None]


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


@dataclass(frozen=True, slots=True)
class Setup:
    """How a workload's connections are made."""

    journal: str = "delete"
    sync: str = "full"
    geometry: Geometry = field(default_factory=Geometry)
    #: Pages; small makes SQLite spill.
    cache: int = 2000
    exclusive: bool = False
    #: A second database, attached.
    with_other: bool = False
    #: The database is made under the recorder, by the first connection.
    new: bool = False
    #: The database starts in clear, and is encrypted and decrypted under its name.
    in_place: bool = False


@dataclass(slots=True)
class Recording:
    """What a workload did, and the contents that a crash may leave."""

    initial: dict[str, bytes]
    events: list[Event]
    #: ``states[n]``: after n steps.
    states: list[bytes]
    #: Steps that had returned before event n, and steps that had begun.
    returned: list[int] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)

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
    """The connections of a workload, and a mirror in memory that says what they should hold."""

    def __init__(self, folder: Path, flavour: Flavour, setup: Setup, recorder: Recorder, seed: int) -> None:
        self.folder, self.flavour, self.setup, self.random = folder, flavour, setup, Random(seed)
        self._recorder = recorder
        self._mirror = sqlite3.connect(":memory:", isolation_level=None)
        self._open: list[sqlite3.Connection] = []
        if setup.with_other:
            self._mirror.execute(f"ATTACH ':memory:' AS {OTHER}")
        self._states = [self._state()]

    @property
    def path(self) -> Path:
        return self.folder / NAME

    def _state(self) -> bytes:
        return all_contents(self._mirror, with_other=self.setup.with_other)

    def connect(self, *, journal: str | None = None) -> sqlite3.Connection:
        """A connection with the scenario's pragmas."""
        setup = self.setup
        connection = self.flavour.open(self.path)
        self._open.append(connection)
        if setup.exclusive:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        if setup.new:
            connection.execute(f"PRAGMA page_size={setup.geometry.page}")
            connection.execute(f"PRAGMA auto_vacuum={setup.geometry.auto_vacuum}")
        schemas = ["main"]
        if setup.with_other:
            self.flavour.attach(connection, self.folder / OTHER_NAME, OTHER)
            schemas.append(OTHER)
        for schema in schemas:
            connection.execute(f"PRAGMA {schema}.journal_mode={journal or setup.journal}").fetchall()
            connection.execute(f"PRAGMA {schema}.synchronous={setup.sync}")
            connection.execute(f"PRAGMA {schema}.cache_size={setup.cache}")
        connection.execute("PRAGMA wal_autocheckpoint=0").fetchall()
        # Pages that are freed are then never written, so that there are holes.
        connection.execute("PRAGMA secure_delete=OFF").fetchall()
        return connection

    def close(self, connection: sqlite3.Connection) -> None:
        connection.close()
        self._open.remove(connection)

    @contextlib.contextmanager
    def step(self, connection: sqlite3.Connection) -> Iterator[Callable[..., None]]:
        """One change of the content, which is committed when the block is left.

        The block gets a function that executes a statement here and in the mirror.
        """

        def execute(sql: str, *parameters: object) -> None:
            connection.execute(sql, parameters).fetchall()
            self._mirror.execute(sql, parameters).fetchall()

        self._recorder.mark(BEGUN)
        yield execute
        self._recorder.mark(RETURNED)
        self._states.append(self._state())

    def transaction(self, connection: sqlite3.Connection, *statements: Statement) -> None:
        """A step that is one transaction."""
        with self.step(connection) as execute:
            execute("BEGIN")
            for sql, parameters in statements:
                execute(sql, *parameters)
            execute("COMMIT")

    def finish(self) -> list[bytes]:
        """Closes what is open; the states."""
        while self._open:
            self._open.pop().close()
        self._mirror.close()
        return self._states


def record(
    folder: Path,
    flavour: Flavour,
    setup: Setup,
    run: Activity,
    recorder: Recorder,
    seed: int,
) -> Recording:
    """Runs a workload in an empty folder."""
    if not setup.new:
        flavour.prepare(folder / NAME, setup.geometry)
        if setup.with_other:
            flavour.prepare(folder / OTHER_NAME, setup.geometry)
    initial = {path.name: path.read_bytes() for path in folder.iterdir()}
    session = Session(folder, flavour, setup, recorder, seed)
    recorder.start(folder)
    try:
        run(session)
        states = session.finish()
    finally:
        log = recorder.stop()
    recording = Recording(initial, list(parse(log)), states)
    recording.count()
    return recording
