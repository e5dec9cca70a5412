"""A copy of a database, with its keys."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from typing import Any

from ..engine.uri import encode_path
from ..files.folder import Original, moved
from ..files.newfile import NewFile
from ..files.paths import absolute
from ..opening.connection import CHECKSUM
from .catalog import databases
from .values import quoted


def status_of(connection: sqlite3.Connection, database: str) -> dict[str, Any]:
    """What ``PRAGMA lumo_status`` says of one of a connection's databases; empty for one in memory."""
    files = {name.lower(): file for name, file in databases(connection)}
    if not files.get(database.lower()):
        # There the pragma is an error.
        return {}
    row = connection.execute(f"PRAGMA {quoted(database)}.lumo_status").fetchone()
    return json.loads(row[0]) if row else {}


def backup(connection: sqlite3.Connection, database: str, file: str) -> None:
    """Copies one of the connection's databases to a new file, as of one moment.

    The copy of an encrypted database is encrypted: SQLite makes it with VACUUM INTO, and there the engine
    gives a new file the data key and the keyslots of the connection's main database. It is never in clear.

    Raises FileExistsError, KeyRequiredError where there are no keys to take over (a main database in memory),
    and sqlite3.Error within a transaction.
    """
    path = absolute(file)
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    status = status_of(connection, database)
    # A database that is only checksummed has no keys to hand on.
    clear = status.get("cipher") in (None, CHECKSUM)
    option = f"?lumo_cipher={CHECKSUM}" if status.get("cipher") == CHECKSUM else ""
    with NewFile(path) as new:
        target = f"file:{encode_path(new.path)}{option}"
        connection.execute(f"VACUUM {quoted(database)} INTO ?", (target,))
        if not os.fstat(new.descriptor).st_size:
            # SQLite opens files by name.
            raise moved(path, "the copy was not made where it should be")
        files = {name.lower(): file for name, file in databases(connection)}
        source = files.get(database.lower())
        if source:
            with Original(os.path.realpath(source)) as original:
                original.attributes().limit(new.descriptor, clear=clear)
        new.get_name()
