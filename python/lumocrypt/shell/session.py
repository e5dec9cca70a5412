"""The database that a shell works on."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..database.keyslots import change_key
from ..engine.uri import encode_path
from ..errors import CryptError, NotEncryptedError, make
from ..files.paths import absolute, size
from ..keys.kdf import DEFAULT, Kdf, KdfLimit
from ..keys.key import Key, NoKey, RemoteKey
from ..opening.connection import CHECKSUM, connect
from .backup import status_of
from .catalog import databases
from .values import quoted, undecoded

#: Asks for a key at the terminal, twice if it is told that the key is to be a new one. Raises KeySourceError.
AskKey = Callable[[bool], Key]
#: The name of a database that is in no file.
MEMORY = ":memory:"


@dataclass(frozen=True, slots=True)
class _Opened:
    """A connection, and what it was made from."""

    connection: sqlite3.Connection
    path: str
    readonly: bool
    has_key: bool
    #: Which database it has to be.
    uuid: str | None


class Session:
    """An open database, by its file, and how to get a key for it."""

    def __init__(
        self,
        file: str,
        key: Key | RemoteKey | NoKey | None,
        *,
        ask: AskKey,
        readonly: bool = False,
        cipher: str | None = None,
        kdf: Kdf = DEFAULT,
        kdf_limit: KdfLimit | None = None,
        uuid: str | None = None,
        expects_key: bool = False,
    ) -> None:
        """Opens ``file``; without a key an encrypted one is locked. ``cipher`` and ``kdf`` are for new
        databases; ``kdf_limit`` is as for :func:`lumocrypt.connect`, and so is ``uuid``, of the database
        in ``file``. ``expects_key``: one was given, even if ``file`` takes none.

        Raises what :func:`lumocrypt.connect` raises, and FileNotFoundError.
        """
        self._ask = ask
        self._cipher, self._kdf, self._kdf_limit = cipher, kdf, kdf_limit
        self._progress: tuple[Callable[[], bool], int] | None = None
        #: A key was given here, so what is opened is to be encrypted.
        self._expects_key = expects_key or (key is not None and not isinstance(key, NoKey))
        self._opened = self._connect(file, key, readonly, uuid)

    @property
    def connection(self) -> sqlite3.Connection:
        """The present connection, in autocommit mode; another one after :meth:`open` and :meth:`unlock`."""
        return self._opened.connection

    @property
    def path(self) -> str:
        """The database's absolute path, or ``:memory:``."""
        return self._opened.path

    def _connect(
        self, file: str, key: Key | RemoteKey | NoKey | None, readonly: bool, uuid: str | None = None
    ) -> _Opened:
        if file == MEMORY:
            connection = connect(MEMORY, isolation_level=None)
            path = MEMORY
        else:
            path = absolute(file)
            folder = os.path.dirname(path)
            # Of these SQLite would only say that it is unable to open the file.
            for needed in [path] if readonly else [folder]:
                if not os.path.exists(needed):
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), needed)
            connection = connect(
                f"file:{encode_path(path)}?mode={'ro' if readonly else 'rwc'}",
                key,
                uri=True,
                cipher=self._cipher,
                kdf=self._kdf,
                kdf_limit=self._kdf_limit,
                uuid=uuid,
                isolation_level=None,
            )
        connection.text_factory = undecoded
        if self._progress is not None:
            connection.set_progress_handler(*self._progress)
        return _Opened(connection, path, readonly, key is not None, uuid)

    def watch(self, wanted: Callable[[], bool], interval: int) -> None:
        """Makes statements end when ``wanted`` returns true; SQLite asks every ``interval`` instructions."""
        self._progress = (wanted, interval)
        self.connection.set_progress_handler(wanted, interval)

    def close(self) -> None:
        """Closes the database; a transaction that is open is rolled back."""
        self.connection.close()

    def open(self, file: str, *, readonly: bool = False) -> None:
        """Opens another database, without a key. Where that fails the present one stays open.

        Raises what :func:`lumocrypt.connect` raises, FileNotFoundError, and NotEncryptedError for a database
        that is only checksummed where this session was given a key.
        """
        opened = self._connect(file, None, readonly)
        if self._expects_key and status_of(opened.connection, "main").get("cipher") == CHECKSUM:
            opened.connection.close()
            raise _takes_none(opened.path)
        self._replace(opened)

    def check_attached(self) -> None:
        """What takes no key is not attached in a session that was given one: it is detached again.

        Where the main database has a key, the engine does not attach it in the first place.

        Raises NotEncryptedError.
        """
        if not self._expects_key or (self._opened.has_key and self.status().get("state") == "unlocked"):
            return
        for name, file in databases(self.connection):
            if file and name != "main" and self.status(name).get("cipher") == CHECKSUM:
                if self.connection.in_transaction:
                    # Within one nothing is detached.
                    self.connection.execute("ROLLBACK")
                self.connection.execute(f"DETACH {quoted(name)}")
                raise _takes_none(file)

    def _replace(self, opened: _Opened) -> None:
        self._opened.connection.close()
        self._opened = opened

    def status(self, database: str = "main") -> dict[str, Any]:
        """What ``PRAGMA lumo_status`` says of one of the connection's databases; empty for one in memory."""
        return status_of(self.connection, database)

    @property
    def locked(self) -> bool:
        """Whether the database waits for a key: an encrypted one without, or a new one."""
        status = self.status()
        if status.get("state") == "new":
            return not self._opened.has_key and status.get("cipher") != CHECKSUM
        return status.get("state") in ("locked", "refused")

    # Keys

    def unlock(self) -> None:
        """Asks for the key of a locked database, twice if that is new, and opens it again with the key.

        Raises KeySourceError, ValueError if no key is needed, and what lumocrypt.connect raises.
        """
        if not self.locked:
            raise ValueError("the database needs no key: it is open")
        key = self._ask(is_new(self.path))
        self._replace(self._connect(self.path, key, self._opened.readonly, self._opened.uuid))
        self._expects_key = True

    def change_key(self) -> None:
        """Asks for the present key and, twice, for a new one, which replaces it in its keyslot.

        Raises KeySourceError, ValueError where there is no key to change, and what
        :func:`lumocrypt.change_key` raises.
        """
        if self.path == MEMORY:
            raise ValueError("a database in memory has no key to change")
        if self._opened.readonly:
            raise ValueError("the database is open for reading only")
        if self.connection.in_transaction:
            raise ValueError("end the transaction first, with COMMIT or ROLLBACK")
        key = self._ask(False)
        new_key = self._ask(True)
        change_key(
            self.path,
            key=key,
            new_key=new_key,
            kdf=self._kdf,
            kdf_limit=self._kdf_limit,
            uuid=self._opened.uuid,
        )


def is_new(path: str) -> bool:
    """Whether there is no database yet at ``path``: no file, or an empty one."""
    return size(path) == 0


def _takes_none(path: str) -> CryptError:
    return make(
        NotEncryptedError,
        "the database is only checksummed and takes no key, and this shell was given one; open it in another "
        "shell, with --no-key",
        path=path,
    )
