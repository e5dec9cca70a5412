"""Transactions."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any, Self

from . import engine
from .cursor import Cursor
from .database import Database
from .engine import Bytes, check, ffi, given, lib
from .errors import closed, failure, from_code

if TYPE_CHECKING:
    from .environment import Environment

_EINVAL, _EACCES = 22, 13


class Transaction:
    """A snapshot of an environment, or the one transaction that writes.

    As a context manager it commits, or aborts after an exception. One that writes ends in the thread that it
    began in.
    """

    def __init__(
        self,
        env: Environment,
        db: Database | None = None,
        parent: Transaction | None = None,
        write: bool = False,
        buffers: bool = False,
    ) -> None:
        """``db`` is the database that is meant where none is named; ``parent`` a transaction that writes,
        which this one is within; ``buffers`` has values handed out as memoryviews.

        Raises ReadonlyError, Error if this thread is writing already, TamperedError.
        """
        self._address: Any = None
        self._env = env
        self.write = write
        self._cursors: weakref.WeakSet[Cursor] = weakref.WeakSet()
        self._within: weakref.WeakSet[Transaction] = weakref.WeakSet()
        self._opened: list[Database] = []
        self._parent = parent
        self._lock = threading.RLock() if parent is None else parent._lock
        self._pid = engine.process()
        self._buffers = buffers
        #: Grows with everything that is written, so that cursors look again.
        self.writes = 0
        if write and env.readonly:
            raise from_code(_EACCES, "begin: the environment is for reading only; open it without readonly")
        if parent is not None and not (write and parent.write and parent._env is env):
            raise from_code(
                _EINVAL,
                "begin: a transaction within another one writes, and so does that one: pass write=True",
            )
        address = env.address()
        outer = ffi.NULL if parent is None else parent.address()
        self.opening = env.opening()
        place = ffi.new("void **")
        check("mdb_txn_begin", lib.lumo_lmdb_txn_begin(address.get(), outer, int(write), place))
        # Kept until it has ended, whatever becomes of the environment.
        self._address, self._env_address = place[0], address
        env.transactions.add(self)
        if parent is not None:
            parent._within.add(self)
        self._db = env.main() if db is None else db

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.abort()
        elif self._address is not None:
            self.commit()

    def __del__(self) -> None:
        # A child of a fork leaves its parent's alone, whose lock another thread may have had.
        if getattr(self, "_address", None) is not None and self._pid == engine.process():
            self.abort()

    @property
    def buffers(self) -> bool:
        """Whether values are handed out as memoryviews."""
        return self._buffers

    @property
    def pid(self) -> int:
        """The process that began it."""
        return self._pid

    @property
    def lock(self) -> Any:
        """What is held while the transaction or a cursor of it is at work."""
        return self._lock

    def address(self) -> Any:
        """The engine's. Raises Error if the transaction has ended."""
        if self._address is None:
            raise closed()
        return self._address

    def database(self, db: Database | None) -> Database:
        """The one that is named, or the transaction's own."""
        return self._db if db is None else db

    def wrap(self, start: Any, length: int) -> Any:
        """Bytes of a page, copied: pages come and go."""
        value = ffi.buffer(start, length)[:] if length else b""
        return memoryview(value) if self._buffers else value

    def opened(self, db: Database) -> None:
        """A database was opened in here: its number goes unless this is committed."""
        self._opened.append(db)

    def adopt(self, cursor: Cursor) -> None:
        """A cursor was opened in here: it is closed when this ends."""
        self._cursors.add(cursor)

    def _take(self) -> Any:
        """The address, to be ended: whatever is within has ended."""
        for inner in list(self._within):
            inner.abort()
        for cursor in list(self._cursors):
            cursor.close()
        return self.address()

    def commit(self) -> None:
        """Commits. Raises Error if it has ended or another thread began it, MapFullError, DiskError, …"""
        with self._lock:
            address = self._take()
            status = lib.lumo_lmdb_txn_commit(address)
            error = failure("mdb_txn_commit") if status else None
            if getattr(error, "code", 0) == 1:
                raise error or closed()
            self._ended()
            if error is None and self._parent is not None:
                self._parent._opened += self._opened
            elif error is not None:
                self._forget()
            if self._parent is not None:
                self._parent.writes += 1
        if error is not None:
            raise error

    def abort(self) -> None:
        """Gives up everything that it did. Does nothing if it has ended. Raises Error in another thread
        than the one that began it, if it writes."""
        with self._lock:
            if self._address is None:
                return
            check("mdb_txn_abort", lib.lumo_lmdb_txn_abort(self._take()))
            self._ended()
            self._forget()

    def _ended(self) -> None:
        """The environment closes when nothing holds it any more."""
        self._address = self._env_address = None
        self._env.transactions.discard(self)

    def _forget(self) -> None:
        for db in self._opened:
            self._env.forget(db)

    def id(self) -> int:
        """Its number: of a snapshot that of the last transaction in it."""
        with self._lock:
            return engine.numbers("mdb_txn_id", lib.lumo_lmdb_txn_id, self.address(), count=1)[0]

    def stat(self, db: Database | None = None) -> dict[str, int]:
        """The numbers of a database: psize (bytes), depth, branch_pages, leaf_pages, overflow_pages,
        entries."""
        with self._lock:
            dbi = self.database(db).number(self)
            return engine.stat(
                engine.numbers("mdb_stat", lib.lumo_lmdb_db_stat, self.address(), dbi, count=6)
            )

    def drop(self, db: Database, delete: bool = True) -> None:
        """Removes everything in a database, and with ``delete`` the database."""
        with self._lock:
            self.writes += 1
            if delete:
                for cursor in [cursor for cursor in self._cursors if cursor.database is db]:
                    cursor.close()
            check("mdb_drop", lib.lumo_lmdb_db_drop(self.address(), db.number(self), int(delete)))
            if delete:
                self._env.forget(db)

    def get(self, key: Bytes, default: Any = None, db: Database | None = None) -> Any:
        """The value of a key, the first if there are several; ``default`` if there is none.

        Raises BadValsizeError for an empty key, TamperedError for a damaged page.
        """
        data = given(key)
        with self._lock:
            value, length = ffi.new("uint8_t **"), ffi.new("uintptr_t *")
            dbi = self.database(db).number(self)
            check("mdb_get", lib.lumo_lmdb_get(self.address(), dbi, data, len(data), value, length))
            return self.wrap(value[0], length[0]) if value[0] != ffi.NULL else default

    def put(
        self,
        key: Bytes,
        value: Bytes,
        dupdata: bool = True,
        overwrite: bool = True,
        append: bool = False,
        db: Database | None = None,
    ) -> bool:
        """Puts an entry, and says whether it was put: not where there is one and ``overwrite`` is false,
        nor where the pair is there and ``dupdata`` is false. ``append``: the key is larger than all
        others."""
        data, content = given(key), given(value)
        with self._lock:
            target, done = self.database(db), ffi.new("int *")
            flags = engine.put_flags(target.kind, dupdata=dupdata, overwrite=overwrite, append=append)
            self.writes += 1
            dbi, sizes = target.number(self), (len(data), len(content))
            check(
                "mdb_put",
                lib.lumo_lmdb_put(self.address(), dbi, data, sizes[0], content, sizes[1], flags, done),
            )
            return bool(done[0])

    def delete(self, key: Bytes, value: Bytes | None = b"", db: Database | None = None) -> bool:
        """Removes a key, or where it has several values the one given; says whether it was there."""
        data, content = given(key), given(value or b"")
        with self._lock:
            done = ffi.new("int *")
            self.writes += 1
            one = content or ffi.NULL
            dbi, size = self.database(db).number(self), len(content)
            check("mdb_del", lib.lumo_lmdb_delete(self.address(), dbi, data, len(data), one, size, done))
            return bool(done[0])

    def pop(self, key: Bytes, db: Database | None = None) -> bytes | None:
        """Removes the value of a key, the first if there are several, and returns it."""
        with self.cursor(db) as cursor:
            return cursor.pop(key)

    def replace(self, key: Bytes, value: Bytes, db: Database | None = None) -> bytes | None:
        """Puts a value in the place of all that the key has, and returns the first of those."""
        with self.cursor(db) as cursor:
            return cursor.replace(key, value)

    def cursor(self, db: Database | None = None) -> Cursor:
        """A cursor on a database."""
        return Cursor(self.database(db), self)
