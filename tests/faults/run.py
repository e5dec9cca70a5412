"""One workload with one fault: what an application would see."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import lumocrypt
from campaigns.integrity import WrongError
from lumocrypt.engine import native

from .catalogue import INTERRUPTED, base
from .faulty import SHORT_READ, Call, Fault, Operation, Scope, faulty
from .opener import Opener
from .workload import Kind, Start, Step, Workload

NAME, OTHER = "app.db", "other.db"
#: SQLite's primary codes for what storage can do to it: ERROR (of a ROLLBACK that came too late), BUSY,
#: LOCKED, NOMEM, READONLY, IOERR, FULL, CANTOPEN, PROTOCOL.
_CLEAN = {1, 5, 6, 7, 8, 10, 13, 14, 15}
_INTERNAL = 11


@dataclass(frozen=True, slots=True)
class Injection:
    """Which call fails, and how."""

    at: int
    fault: Fault
    scope: Scope
    call: Call

    def __str__(self) -> str:
        call = f"{self.call.operation.name} {self.call.file}".strip()
        return f"call {self.at} ({call}): {self.fault.name}, {self.scope.name.lower()}"


def contents(connection: sqlite3.Connection, schema: str = "main") -> bytes:
    """A digest of the schema and of every row."""
    hasher = hashlib.blake2b(digest_size=12)
    master = connection.execute(
        f"SELECT type, name, sql FROM {schema}.sqlite_master ORDER BY 1, 2"
    ).fetchall()
    hasher.update(repr(master).encode())
    for kind, name, _ in master:
        if kind == "table":
            rows = connection.execute(f'SELECT * FROM {schema}."{name}" ORDER BY 1').fetchall()
            hasher.update(repr(rows).encode())
    return hasher.digest()


def all_contents(connection: sqlite3.Connection, workload: Workload) -> bytes:
    """A digest of the main database and, if there is one, of the attached one."""
    return contents(connection) + (contents(connection, "other") if workload.with_other else b"")


def connect(folder: Path, opener: Opener, workload: Workload) -> sqlite3.Connection:
    """A connection with the workload's pragmas."""
    connection = opener.open(folder / NAME, "pread" if workload.io == "pread" else "map")
    try:
        if workload.with_other:
            opener.attach(connection, folder / OTHER, "other")
        for pragma in workload.pragmas(create=workload.start is Start.NOTHING):
            connection.execute(pragma).fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(folder: Path, opener: Opener, workload: Workload) -> None:
    """Makes the files that a workload finds; they are the same for every run of it."""
    folder.mkdir(parents=True)
    if workload.start is Start.NOTHING:
        return
    connection = connect(folder, opener, workload)
    connection.execute(f"PRAGMA page_size={workload.page}")
    for schema in ("main", "other") if workload.with_other else ("main",):
        connection.executescript("BEGIN;" + ";".join(_BASE[schema]) + ";COMMIT")
    if workload.start is Start.KILLED:
        # What another process would find now.
        connection.execute("BEGIN")
        for statement in INTERRUPTED:
            connection.execute(statement)
        shutil.copytree(folder, folder.with_name("killed"), ignore=shutil.ignore_patterns("*-shm"))
        connection.execute("ROLLBACK")
        connection.close()
        shutil.rmtree(folder)
        folder.with_name("killed").rename(folder)
        return
    connection.close()


_BASE = {"main": base(), "other": base("other")}


@dataclass(slots=True)
class Run:
    """A workload on its way. ``allowed``: the contents that its files may have."""

    folder: Path
    opener: Opener
    workload: Workload
    injection: Injection | None = None
    errors: list[Exception] = field(default_factory=list)
    allowed: list[bytes] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    fired: int = 0
    _open: dict[int, sqlite3.Connection] = field(default_factory=dict)
    _mirror: sqlite3.Connection = field(init=False)
    _stopped: bool = False

    def go(self) -> None:
        """Does all of it. Raises WrongError."""
        self._mirror = sqlite3.connect(":memory:", isolation_level=None)
        if self.workload.with_other:
            self._mirror.execute("ATTACH ':memory:' AS other")
        if self.workload.start is not Start.NOTHING:
            for schema in ("main", "other") if self.workload.with_other else ("main",):
                self._mirror.executescript("BEGIN;" + ";".join(_BASE[schema]) + ";COMMIT")
        self.allowed = [self._state()]
        native.take_failure()
        if self.injection is None:
            faulty().count()
        else:
            faulty().arm(self.injection.at, self.injection.fault, self.injection.scope)
        try:
            for step in self.workload.steps:
                self._step(step)
                if self._stopped:
                    break
            self._last_words()
        finally:
            for connection in self._open.values():
                connection.close()
            self.calls = faulty().calls() if self.injection is None else []
            self.fired = faulty().disarm()
        left = native.take_failure()
        if left is not None and left.status == _INTERNAL:
            raise WrongError(f"a failure inside the engine: {left.message}")
        if not self._mirror.in_transaction and len(self.allowed) == 1:
            self.allowed = [self._state()]
        self._mirror.close()

    def wrote_half(self) -> bool:
        """Was a write to a database left half done, or the second of two copies left out?"""
        return self.injection is not None and self.injection.call == Call(Operation.WRITE, "main")

    def _state(self) -> bytes:
        return all_contents(self._mirror, self.workload)

    def _step(self, step: Step) -> None:
        changes = step.kind in (Kind.COMMIT, Kind.AUTO)
        if changes and not self._rehearse(step):
            return
        ambiguous = [False]
        try:
            self._do(step, ambiguous)
        except (sqlite3.Error, MemoryError) as error:
            self._check_clean(error)
            self.errors.append(error)
            self._after_error(step, changes=changes, ambiguous=ambiguous[0])
            return
        if changes:
            self._mirror.execute("COMMIT")

    def _rehearse(self, step: Step) -> bool:
        """Begins the step in the mirror. False if it cannot be done for want of one that failed."""
        self._mirror.execute("BEGIN")
        try:
            for statement in step.statements:
                self._mirror.execute(statement)
        except sqlite3.Error:
            self._mirror.execute("ROLLBACK")
            return False
        return True

    def _do(self, step: Step, ambiguous: list[bool]) -> None:
        if step.kind is Kind.CLOSE:
            self._open.pop(step.connection).close()
            return
        if step.kind is Kind.OPEN or step.connection not in self._open:
            # An earlier attempt may have failed.
            self._open[step.connection] = connect(self.folder, self.opener, self.workload)
        connection = self._open[step.connection]
        if step.kind is Kind.READ:
            if all_contents(connection, self.workload) != self._state():
                raise WrongError("wrong data was read")
        elif step.kind in (Kind.COMMIT, Kind.ROLLBACK):
            connection.execute("BEGIN")
            for statement in step.statements:
                connection.execute(statement)
            ambiguous[0] = step.kind is Kind.COMMIT
            connection.execute(step.kind.name)
        else:
            ambiguous[0] = step.kind is Kind.AUTO
            for statement in step.statements:
                connection.execute(statement).fetchall()

    def _after_error(self, step: Step, *, changes: bool, ambiguous: bool) -> None:
        """What a careful application does: it rolls back, and looks."""
        connection = self._open.get(step.connection)
        if connection is not None and connection.in_transaction:
            self._tolerate(lambda: connection.execute("ROLLBACK"))
        after = self._state()
        before = self._before() if changes else after
        possible = [before, after] if ambiguous else [before]
        found = self._look(step.connection)
        if found is not None and found not in possible:
            raise WrongError(f"after {self.errors[-1]!r}: content is none of the {len(possible)} allowed")
        persistent = self.injection is not None and self.injection.scope is not Scope.ONCE
        if changes:
            if found is None and ambiguous and not persistent:
                # Only a look without faults can tell; there is nothing left to fail.
                self._reopen(step.connection)
                found = self._look(step.connection)
                if found not in possible:
                    raise WrongError("not readable by a new connection after a fault that has passed")
            if found is not None and found == after and ambiguous:
                self._apply(step)
            # A commit that failed because the log could not be synced is in the log all the same, and whoever
            # recovers it next may find it there.
            if found is not None and not (ambiguous and persistent):
                possible = [found]
        self.allowed = possible
        self._stopped = persistent

    def _before(self) -> bytes:
        self._mirror.execute("ROLLBACK")
        return self._state()

    def _apply(self, step: Step) -> None:
        for statement in ("BEGIN", *step.statements, "COMMIT"):
            self._mirror.execute(statement)

    def _look(self, number: int) -> bytes | None:
        """What the connection sees; None if it cannot."""
        connection = self._open.get(number)
        if connection is None:
            return None
        seen: list[bytes] = []
        self._tolerate(lambda: seen.append(all_contents(connection, self.workload)))
        return seen[0] if seen else None

    def _reopen(self, number: int) -> None:
        self._open.pop(number).close()
        self._open[number] = connect(self.folder, self.opener, self.workload)

    def _last_words(self) -> None:
        """Closing is a part of the run in which calls can fail, too."""
        for number in list(self._open):
            self._open.pop(number).close()

    def _tolerate(self, action: Callable[[], object]) -> None:
        try:
            action()
        except (sqlite3.Error, MemoryError) as error:
            self._check_clean(error)

    def _check_clean(self, error: Exception) -> None:
        if isinstance(error, MemoryError):
            return
        code = getattr(error, "sqlite_errorcode", None)
        if isinstance(error, lumocrypt.CryptError):
            raise WrongError(f"a false {type(error).__name__}: {error}") from error
        lied_to = self.injection is not None and self.injection.fault == SHORT_READ
        if code is None or (code & 0xFF not in _CLEAN and not (lied_to and not self.opener.encrypted)):
            raise WrongError(f"not a clean error: {error!r}, code {code}") from error
        if "internal error" in str(error):
            raise WrongError(f"a failure inside the engine: {error}") from error
