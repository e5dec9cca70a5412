"""What SQLite says of a database's structure, and the error of campaigns that end on it."""

from __future__ import annotations

import sqlite3


class WrongError(Exception):
    """A campaign found something that must not be."""


def flaw(connection: sqlite3.Connection) -> str | None:
    """What ``integrity_check`` says against a connection's databases, attached ones too, or None.

    Raises sqlite3.Error where they cannot be read.
    """
    schemas = connection.execute("SELECT name FROM pragma_database_list WHERE name <> 'temp'").fetchall()
    for (schema,) in schemas:
        answer = connection.execute(f"PRAGMA {schema}.integrity_check").fetchall()
        if answer != [("ok",)]:
            return f"integrity_check of {schema}: {answer[:3]}"
    return None


def check_integrity(connection: sqlite3.Connection) -> None:
    """The same for campaigns that stop there. Raises WrongError."""
    found = flaw(connection)
    if found is not None:
        raise WrongError(found)
