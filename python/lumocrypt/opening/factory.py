"""``factory=``: a class of the caller's that gets the caller's arguments, and opens through lumocrypt.

SQLite must see a URI of ours, with a handle that stands for the key. What the caller's class is called with
is its own affair: a path that it shows or compares. So a class is put between it and
``sqlite3.Connection``, whose ``__init__`` turns one into the other.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import threading
import types
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ..errors import CryptError, make

#: Makes the URI for a database, and says whether the name was one itself.
Translator = Callable[[Any, bool], str]

#: The place of ``uri`` among the positional arguments behind the database (sqlite3.connect).
_URI_AT = 6


class _Bypassed(Exception):
    """A factory that called sqlite3.Connection.__init__ itself, past the class in between."""


class _Pending(threading.local):
    """What this thread is opening."""

    translate: Translator | None = None
    name: Any = None


_pending = _Pending()


class _Opening(sqlite3.Connection):
    """The class in between. It adds no room of its own, so that an object can be given the caller's class."""

    __slots__ = ()

    def __init__(self, database: Any, *arguments: Any, **named: Any) -> None:
        translate = _pending.translate
        if translate is None:
            raise sqlite3.ProgrammingError("the factory initialised its connection twice")
        _pending.translate = None
        if len(arguments) > _URI_AT:
            uri = bool(arguments[_URI_AT])
            arguments = (*arguments[:_URI_AT], True, *arguments[_URI_AT + 1 :])
        else:
            uri = bool(named.get("uri", False))
            named["uri"] = True
        super().__init__(translate(database, uri), *arguments, **named)


def is_class(factory: Any) -> bool:
    """Whether it is a class of connections of the caller's own. Of a function nothing can be known."""
    return (
        isinstance(factory, type)
        and issubclass(factory, sqlite3.Connection)
        and factory is not sqlite3.Connection
    )


def connect(database: Any, translate: Translator, arguments: dict[str, Any]) -> sqlite3.Connection | None:
    """A connection of the class ``arguments["factory"]``, called with ``database`` and the other arguments.

    None if the class does not let another one be put below it, or opens the database past that: nothing was
    opened then. Raises what the class and sqlite3.connect raise.
    """
    _watch()
    try:
        made = _with_opening(arguments["factory"])
    except TypeError:
        return None
    before = (_pending.translate, _pending.name)
    _pending.translate, _pending.name = translate, database
    given: dict[str, Any] = {**arguments, "factory": made}
    try:
        connection: sqlite3.Connection = sqlite3.connect(database, **given)
        if _pending.translate is not None:
            raise make(CryptError, "the factory did not open its connection through lumocrypt")
    except _Bypassed:
        return None
    finally:
        _pending.translate, _pending.name = before
    with contextlib.suppress(TypeError):
        connection.__class__ = arguments["factory"]
    return connection


@lru_cache(maxsize=64)
def _with_opening(factory: type[sqlite3.Connection]) -> type[sqlite3.Connection]:
    def fill(body: dict[str, Any]) -> None:
        body.update(__module__=factory.__module__, __qualname__=factory.__qualname__, __doc__=factory.__doc__)
        body["__slots__"] = ()

    return types.new_class(factory.__name__, (factory, _Opening), {}, fill)


@lru_cache(maxsize=1)
def _watch() -> None:
    # The one place at which sqlite3.Connection.__init__ can be kept from opening the caller's path in clear.
    # Hooks stay for good, so there is none until somebody uses a factory.
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "sqlite3.connect" and _pending.translate is not None and _same(arguments[0], _pending.name):
        raise _Bypassed


def _same(one: Any, other: Any) -> bool:
    try:
        return os.fsencode(one) == os.fsencode(other)
    except TypeError:
        return False
