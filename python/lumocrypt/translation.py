"""Turns the exceptions of the standard library's ``sqlite3`` into ours, at no cost on the path that succeeds.

Wrapping ``execute`` would cost half of a point query, and wrapping ``__next__`` more. What is hooked
instead is the construction of ``sqlite3.DatabaseError`` and ``sqlite3.OperationalError``: it happens only
after something has failed. If the engine left a failure record on this thread and its SQLite code is the
one that the message stands for, the new exception changes its class and its text.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from .errors import CLASSES, Failure, Untranslated, combine, describe

# sqlite3_errstr() of the codes that the engine returns; SQLite's sources never change these texts, because
# programs compare them.
_TEXTS = {
    1: "SQL logic error",
    5: "database is locked",
    6: "database table is locked",
    8: "attempt to write a readonly database",
    10: "disk I/O error",
    11: "database disk image is malformed",
    13: "database or disk is full",
    14: "unable to open database file",
    23: "authorization denied",
    26: "file is not a database",
}
# How ATTACH begins its message; it says nothing about the reason.
_ATTACH = "unable to open database: "

# User-defined subclasses are left alone, and so are the classes that no code of ours maps to.
_CANDIDATES = (sqlite3.DatabaseError, sqlite3.OperationalError)


def install(take_failure: Callable[[], Failure | None]) -> None:
    """Hooks the construction of the two exception classes; once per process.

    ``take_failure`` returns this thread's failure record, and clears it.
    """
    if "__init__" in sqlite3.DatabaseError.__dict__:
        return
    original_init = sqlite3.DatabaseError.__init__

    def init(self: sqlite3.DatabaseError, *args: Any) -> None:
        original_init(self, *args)
        if type(self) in _CANDIDATES and args:
            failure = take_failure()
            if failure is not None and _matches(failure, args[0]):
                _translate(self, failure)

    sqlite3.DatabaseError.__init__ = init


def _matches(failure: Failure, message: object) -> bool:
    if failure.code == 0 or not isinstance(message, str):
        return False
    return (
        message == _TEXTS.get(failure.code & 0xFF)
        or message == failure.message  # a PRAGMA's own text
        or message.startswith(_ATTACH)
    )


def _translate(error: sqlite3.DatabaseError, failure: Failure) -> None:
    theirs = type(error)
    if failure.status not in CLASSES:
        # A bad argument or a bug of ours: nothing to catch by class, but the words are better than SQLite's.
        error.args = (describe(failure),)
        return
    state: dict[str, Any] = error.__dict__
    state["_untranslated"] = Untranslated(theirs, error.args, failure.code)
    state.update(path=failure.path, file_kind=failure.file_kind, page=failure.page)
    error.__class__ = combine(CLASSES[failure.status], theirs)
    error.args = (describe(failure),)
