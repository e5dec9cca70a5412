"""Pragmas of connections whose main database is in memory.

There is no file for the engine to hear of them through, and SQLite answers nothing to a pragma that it does
not know. A statement about keys that has no effect must be an error all the same.
"""

from __future__ import annotations

import sqlite3

from ..engine import native, translation

#: An action code and the answers of authorizers (sqlite3.h).
_PRAGMA = 19
_OK, _DENY = 0, 1


def guard(connection: sqlite3.Connection) -> None:
    """Makes pragmas about keys an error on a connection in memory, until it gets another authorizer."""
    sqlite3.Connection.set_authorizer(connection, _authorize)


def _authorize(action: int, name: str | None, _value: str | None, schema: str | None, _by: str | None) -> int:
    if action != _PRAGMA or name is None or (schema or "main") not in ("main", "temp"):
        return _OK
    refusal = native.pragma_refusal(name.lower())
    if refusal is None and not name.lower().startswith("lumo_"):
        return _OK
    ours = (
        f"PRAGMA {name} has no effect here: the main database is in memory, and has neither a file nor a key"
    )
    translation.refuse(refusal or ours)
    return _DENY
