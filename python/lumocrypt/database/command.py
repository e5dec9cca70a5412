"""Hands the engine commands for a database: things that SQL has no words for.

A header may be edited only under SQLite's write lock and through the file that SQLite has open, so a
command goes to a connection of our own. Python's ``sqlite3`` has no way to a file but SQL: the command, with
its keys, stays in the engine, and a pragma carries a handle that is good once (docs/reference/c-abi.md).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sqlite3
import time
from collections.abc import Sequence
from typing import Any, Literal, Self, final

from ..engine import native
from ..engine.registration import stdlib_host
from ..errors import SQLITE_ERROR, CryptError, InUseError, is_busy, make, os_error, quoting_files
from ..keys.inspection import inspect
from ..keys.key import Key
from ..keys.source import Source
from ..opening.connection import handle_uri

#: Seconds to wait for the write lock of others' transactions.
LOCK_WAIT = 5.0
# Seconds between two looks at a lock. SQLite pauses for up to a tenth of a second, in which others that write
# without a pause of their own take the lock many times.
_PAUSE = 0.002


@final
class EnvironmentCommander:
    """As :class:`Commander`, for the keyslots of an LMDB environment, which SQLite cannot open."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __enter__(self) -> Self:
        path = self._source.path
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, command: dict[str, Any], keys: Sequence[Key] = ()) -> dict[str, Any]:
        """Carries out one command, and returns its answer.

        Raises InUseError if others change the header meanwhile, and what keeps the environment from being
        opened; ValueError and CryptError as for :meth:`Commander.run`.
        """
        source, path = self._source, self._source.path
        handle = native.command_new(command, [key.number for key in keys])
        try:
            return native.environment_command(
                stdlib_host().number, path, source.number, source.options, handle
            )
        except ValueError as error:
            raise make(CryptError, str(error).removeprefix(f"{path}: "), path=path) from error


def commander(source: Source) -> Commander | EnvironmentCommander:
    """What carries out commands for the file, whatever it is."""
    if inspect(source.path).contents == "lmdb":
        return EnvironmentCommander(source)
    return Commander(source)


@final
class Commander:
    """A connection to a database that carries out commands; a context manager.

    Entering it raises WrongKeyError, HeaderDamagedError and whatever else keeps a database from being opened;
    PermissionError if the file may not be written.
    """

    def __init__(self, source: Source, *, wait: float = LOCK_WAIT) -> None:
        self._source, self._path, self._wait = source, source.path, wait
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        if not os.access(self._path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), self._path)
        options = {name: self._source.options[name] for name in ("kdf_limit", "uuid")}
        uri = handle_uri(self._path, self._source.key, options, mode="rw", cache="private")
        self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0)
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def run(self, command: dict[str, Any], keys: Sequence[Key] = ()) -> dict[str, Any]:
        """Carries out one command in a write transaction, and returns its answer.

        Raises InUseError if others keep the lock, ValueError for an argument that no database takes,
        CryptError for one that this database does not.
        """
        assert self._connection is not None
        # What is slow about a new key is done in here, before anybody has to wait for the lock.
        pragma = f"PRAGMA lumo_command='{native.command_new(command, [key.number for key in keys])}'"
        try:
            try:
                self._begin()
            except sqlite3.Error:
                # Outside of a transaction it is refused, and used up: the engine keeps no key for it.
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute(pragma)
                raise
            try:
                rows = self._connection.execute(pragma).fetchall()
            finally:
                # Nothing that SQLite knows of was changed.
                self._connection.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            if is_busy(error):
                raise make(
                    InUseError,
                    "another connection is writing and does not finish; try again when it has",
                    path=self._path,
                ) from error
            system = os_error(str(error), self._path)
            if system is not None:
                raise system from error
            if not isinstance(error, CryptError) and error.sqlite_errorcode == SQLITE_ERROR:
                raise make(CryptError, str(error), path=self._path) from error
            raise
        return json.loads(rows[0][0])

    def _begin(self) -> None:
        assert self._connection is not None
        deadline = time.monotonic() + self._wait
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE)
            else:
                return

    def checkpoint(self, mode: Literal["PASSIVE", "TRUNCATE"] = "TRUNCATE") -> None:
        """Copies a write-ahead log into the database, and empties it, as far as others let us."""
        assert self._connection is not None
        with contextlib.suppress(sqlite3.OperationalError), quoting_files():
            try:
                # Readers come and go: it has to stay at it.
                self._connection.execute(f"PRAGMA busy_timeout={round(self._wait * 1000)}").fetchall()
                self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
            finally:
                self._connection.execute("PRAGMA busy_timeout=0").fetchall()
