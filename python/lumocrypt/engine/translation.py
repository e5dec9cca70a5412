"""Turns the exceptions of the standard library's ``sqlite3`` into ours, at no cost on the path that succeeds.

Wrapping ``execute`` would cost half of a point query, and wrapping ``__next__`` more. What is hooked
instead is the construction of ``sqlite3.DatabaseError`` and ``sqlite3.OperationalError``: it happens only
after something has failed. If the engine left a failure record on this thread and its SQLite code is the
one that the message stands for, the new exception changes its class and its text.

A record is not always about the exception at hand: SQLite passes over some failures without a word, and
other SQLite libraries of the process leave theirs in the same thread. So the record has to be the standard
library's, and the connection that it names has to say that its last call failed with this very code and text.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from types import FrameType

from ..errors import CLASSES, Failure, Untranslated, combine, describe, place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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


class _Refused(threading.local):
    """What an authorizer of ours has refused in this thread, in words."""

    words: str | None = None


_refused = _Refused()
# What SQLite says for an authorizer.
_NOT_AUTHORIZED = "not authorized"


def refuse(words: str) -> None:
    """Says what the next exception of this thread is about, when an authorizer of ours is its reason."""
    _refused.words = words


#: A failure, and what its connection says: see :func:`lumocrypt.engine.native.failure_behind`.
Found = tuple[Failure, str]


def install(host: Callable[[], int | None], behind: Callable[[int, str], Found | None]) -> None:
    """Hooks the construction of the two exception classes; once per process.

    ``host`` is the number of the standard library's SQLite, if it is known to the engine; ``behind`` returns
    what an error of a host with a text may be about, and clears the thread's record.
    """
    if "__init__" in sqlite3.DatabaseError.__dict__:
        return
    original_init = sqlite3.DatabaseError.__init__

    def init(self: sqlite3.DatabaseError, *args: Any) -> None:
        original_init(self, *args)
        if type(self) in _CANDIDATES and args:
            message = args[0]
            words, _refused.words = _refused.words, None
            if words is not None and message == _NOT_AUTHORIZED:
                self.__class__ = sqlite3.OperationalError
                self.args = (words,)
                return
            number = host()
            if number is None or not isinstance(message, str):
                return
            found = behind(number, message)
            if found is not None and _matches(*found, message):
                _translate(self, *found)

    sqlite3.DatabaseError.__init__ = init


def _matches(failure: Failure, says: str, message: str) -> bool:
    if failure.code == 0:
        return False
    if message.startswith(_ATTACH):
        return says == "this" or _names(message.removeprefix(_ATTACH), failure.path)
    if message != failure.message and message != _TEXTS.get(failure.code & 0xFF):
        return False
    # Of a backup SQLite tells the handle what failed, and neither of the connections.
    return says != "otherwise" or _calls(sys._getframe(), "backup")  # pyright: ignore[reportPrivateUsage]


def _names(name: str, path: str | None) -> bool:
    """Whether the name in a message of ATTACH is that of the file ``path``."""
    if path is None:
        return False
    if name.startswith("file:"):
        # Rarely needed, and slow to load.
        from .uri import Target

        name = Target("file", name.removeprefix("file:").partition("#")[0].partition("?")[0]).path
    return os.path.realpath(name) == os.path.realpath(path)


def _calls(frame: FrameType | None, method: str) -> bool:
    """Whether the code that is running, or what called it, has a method of that name in it."""
    for _ in range(5):
        if frame is None:
            return False
        if method in frame.f_code.co_names:
            return True
        frame = frame.f_back
    return False


def _translate(error: sqlite3.DatabaseError, failure: Failure, says: str) -> None:
    theirs = type(error)
    if failure.status not in CLASSES:
        # A bad argument or a bug of ours: nothing to catch by class, but the words are better than SQLite's.
        error.args = (describe(failure),)
        return
    state: dict[str, Any] = error.__dict__
    # Where the connection could not be asked, the code that comes next has to be the very same.
    state["_untranslated"] = Untranslated(theirs, error.args, failure.code, exact=says == "unknown")
    state.update(place(failure))
    error.__class__ = combine(CLASSES[failure.status], theirs)
    error.args = (describe(failure),)
