"""Several statements that count as one."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Generator

_NAME = "lumocrypt_shell"


@contextlib.contextmanager
def savepoint(connection: sqlite3.Connection) -> Generator[None, None, None]:
    """What is read within is of one moment; what is written is undone if it fails.

    Within a transaction it becomes a part of that, otherwise it is one of its own.
    """
    connection.execute(f"SAVEPOINT {_NAME}")
    try:
        yield
    except BaseException:
        # Some failures, an interrupted write among them, end the whole transaction.
        if connection.in_transaction:
            connection.execute(f"ROLLBACK TO {_NAME}")
            connection.execute(f"RELEASE {_NAME}")
        raise
    connection.execute(f"RELEASE {_NAME}")
