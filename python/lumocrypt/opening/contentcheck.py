"""SQLite's own check of a database that was just written."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from ..errors import SQLITE_CORRUPT, CryptError, make, quoting_files

#: Opens a connection, in autocommit mode, with a short busy timeout.
Open = Callable[[], sqlite3.Connection]


def check_content(open_connection: Open, *, source: str) -> None:
    """Runs quick_check over a new database. Raises CryptError, naming ``source``, for what it finds."""
    connection = open_connection()
    try:
        with quoting_files():
            found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.DatabaseError as error:
        if isinstance(error, CryptError):
            raise
        if "no such collation" in str(error):
            # One that only the application has.
            return
        # Without a code it is the sqlite3 module's own: a text that is not UTF-8.
        if getattr(error, "sqlite_errorcode", SQLITE_CORRUPT) & 0xFF != SQLITE_CORRUPT:
            raise
        found = [str(error)]
    finally:
        connection.close()
    if found != ["ok"]:
        raise make(
            CryptError,
            f"SQLite's quick_check finds the content damaged ({'; '.join(found)}); repair it first: "
            "nothing was changed",
            path=source,
        )
