"""Holds a database still while it is copied, and takes its place afterwards.

Nothing here changes a byte of the main file before the copy has been made: ``decrypt(encrypt(x))`` must
return x bit for bit, WAL mode's mark in the header included, and a failure must leave the original as it was.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import struct
from typing import Self

from ..engine.registration import stdlib_host
from ..errors import SQLITE_CANTOPEN, SQLITE_READONLY, InUseError, is_busy, make
from ..files.folder import Identity, Original, moved
from ..files.newfile import NewFile
from ..files.paths import COMPANIONS
from ..opening.contentcheck import Open

#: Seconds to wait for a lock: long enough for another's transaction, short enough for a person.
LOCK_WAIT = 1.0
# Tries to find the WAL still empty after its checkpoint, against a peer that keeps writing.
_ATTEMPTS = 20
# The header region, and a first block of the largest size with its tag: what has to go from an old file so
# that no connection to it can read on.
_HEAD_BYTES = 65536 + 65536 + 64
# Where SQLite's locks are (os.h, PENDING_BYTE and SHARED_FIRST), and the VFS whose locks these are.
_LOCK_BYTES = (0x40000000, 2 + 510)
_LOCKING_VFS = "unix"
# struct flock: type, whence, start, length, process.
_FLOCK = struct.Struct("@hhqqi4x")


def _pragma(connection: sqlite3.Connection, text: str) -> tuple[object, ...]:
    # fetchall: a statement that is not run to its end keeps its lock.
    rows = connection.execute(f"PRAGMA {text}").fetchall()
    return tuple(rows[0]) if rows else ()


class _Held:
    """A connection whose lock keeps writers away; a context manager."""

    def __init__(self, original: Original, open_connection: Open) -> None:
        self.path = original.path
        self._original = original
        self._open = open_connection
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        try:
            self._acquire()
            # SQLite opens files by name.
            self._original.check()
        except BaseException as error:
            self._close()
            if isinstance(error, sqlite3.OperationalError) and is_busy(error):
                raise self._in_use() from error
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _acquire(self) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _reopen(self) -> sqlite3.Connection:
        self._close()
        self._connection = self._open()
        return self._connection

    def _in_use(self) -> InUseError:
        error = make(
            InUseError,
            "other connections have the database open or locked; close them and try again",
            path=self.path,
        )
        assert isinstance(error, InUseError)
        return error

    def _size(self, suffix: str) -> int:
        status = self._original.folder.status(self._original.name + suffix)
        return 0 if status is None else status.st_size

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        busy = _pragma(connection, "wal_checkpoint(TRUNCATE)")[0]
        if busy:
            raise self._in_use()


class Snapshot(_Held):
    """For a copy to another name: readers and idle connections may stay, writers wait.

    A live WAL is checkpointed first; apart from that the source is not changed.
    """

    def _acquire(self) -> None:
        if not os.access(self.path, os.W_OK):
            self._acquire_read_only()
            return
        connection = self._reopen()
        for _ in range(_ATTEMPTS):
            if _pragma(connection, "journal_mode") == ("wal",):
                self._checkpoint(connection)
            # From here on nobody else appends to the WAL, and so nobody has anything to checkpoint.
            connection.execute("BEGIN IMMEDIATE")
            if self._size("-wal") == 0:
                return
            connection.execute("ROLLBACK")
        raise self._in_use()

    def _acquire_read_only(self) -> None:
        if self._size("-wal") or self._size("-journal"):
            raise PermissionError(
                errno.EACCES, "the database has a log to recover, which needs write permission", self.path
            )
        connection = self._reopen()
        connection.execute("BEGIN")
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (SQLITE_CANTOPEN, SQLITE_READONLY):
                raise
            # A database in WAL mode, even without a WAL, cannot be locked without a -shm file.
            raise PermissionError(
                errno.EACCES,
                "a database in WAL mode cannot be held still without write permission; copy it first",
                self.path,
            ) from error


class Takeover(_Held):
    """For a replacement in place: nobody else may use the database.

    The EXCLUSIVE lock is held from before the copy until the new file has the name. A peer in WAL mode holds
    a SHARED lock even when idle, so that the lock is refused; an idle peer in rollback mode holds none, and
    is stopped by :meth:`replace_by`, which invalidates the old file under it.

    SQLite deletes a journal, and some versions a WAL, by *name* when a connection closes. After the rename
    that name belongs to the new database. So this connection may have neither open at that time: it leaves
    WAL mode, and its journal mode is TRUNCATE, which works on the open file.
    """

    _wal = False

    def _acquire(self) -> None:
        if not os.access(self.path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), self.path)
        # The first statement recovers what a crash left behind.
        connection = self._reopen()
        self._wal = _pragma(connection, "journal_mode") == ("wal",)
        if self._wal:
            # In exclusive mode from its start a connection keeps the WAL's index in its own memory, and takes
            # the EXCLUSIVE lock on the database file before it opens the WAL.
            connection = self._reopen()
            _pragma(connection, "locking_mode=EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")
            self._expect(_pragma(connection, "journal_mode") == ("wal",))
            self._checkpoint(connection)
            self._expect(self._size("-wal") == 0)
        else:
            self._expect(_pragma(connection, "journal_mode=TRUNCATE") == ("truncate",))
            _pragma(connection, "locking_mode=EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")

    def _expect(self, condition: bool) -> None:
        if not condition:
            raise self._in_use()

    def replace_by(self, new: NewFile) -> None:
        """Puts ``new`` in the place of the database, durably, and invalidates the old file."""
        # Closing any descriptor of a file drops all of this process's locks on it. Here that hurts nobody:
        # under our EXCLUSIVE lock no other connection of the process has any.
        old = self._original.folder.open(self._original.name, os.O_RDWR)
        try:
            self._require_lock(old)
            times = os.fstat(old)
            head = os.pread(old, _HEAD_BYTES, 0)
            try:
                self._let_go_of_logs()
                new.replace(self._original, old)
                # The name must be durable before the only other copy of the data is spoilt.
                self._make_durable()
            except BaseException:
                # Leaving WAL mode has changed the header.
                os.pwrite(old, head, 0)
                os.fsync(old)
                os.utime(old, ns=(times.st_atime_ns, times.st_mtime_ns))
                raise
            os.pwrite(old, bytes(len(head)), 0)
            os.fsync(old)
        finally:
            os.close(old)

    def _require_lock(self, descriptor: int) -> None:
        """Raises CryptError unless the file is the one that was copied, and is still locked."""
        if Identity.of(os.fstat(descriptor)) != self._original.identity:
            raise moved(self.path)
        if stdlib_host().base_vfs != _LOCKING_VFS:
            return
        # A lock of the open file, which the process's own locks keep out.
        question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, *_LOCK_BYTES, 0)
        try:
            answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, question)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):
                return
            raise
        if _FLOCK.unpack(answer)[0] == fcntl.F_UNLCK:
            raise make(
                InUseError,
                "the database is not locked any more: something in this process opened and closed the file, "
                "or SQLite was given another file; nothing was changed",
                path=self.path,
            )

    def _make_durable(self) -> None:
        try:
            if not self._original.folder.sync():
                # Without it the old name may come back in a power cut; everything else there is, then.
                os.sync()
        except OSError as error:
            raise OSError(
                error.errno,
                "the new file has the database's name, but that may not outlast a power cut "
                f"({error.strerror}); keep others from using it, check the disk, and look at what is there",
                self.path,
            ) from None

    def _let_go_of_logs(self) -> None:
        connection = self._connection
        assert connection is not None
        if self._wal:
            self._expect(_pragma(connection, "journal_mode=TRUNCATE") == ("truncate",))
        self._expect(self._size("-wal") == 0)
        # What is left was finished by its owner (journal_mode=PERSIST leaves the file) or by our recovery:
        # nobody has had the lock since.
        for suffix in COMPANIONS:
            self._original.folder.remove(self._original.name + suffix)
