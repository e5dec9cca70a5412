"""Replaces every database that ``sqlite3`` opens in this process by an encrypted one.

``sqlite3.connect``, ``sqlite3.Connection`` and every subclass of it end in ``Connection.__init__``, so one
subclass that rewrites the name it is given covers them all. The rewriting itself is done by
``lumocrypt.connect``: what runs is the library's own front door.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import lumocrypt

#: A raw key: the suite opens a thousand databases, and a key derivation each would be all it does.
KEY = bytes(range(32))
#: Names the folder of the replaced ``:memory:`` databases, for this process and for those that it starts.
FOLDER = "LUMO_SUITE_FOLDER"
#: The place of ``uri`` and of ``factory`` among the positional arguments of ``sqlite3.connect``.
_FACTORY, _URI = 5, 7

_real_connect = sqlite3.connect
_real_connection = sqlite3.Connection
_names = itertools.count()
_folder = Path()


class Counts:
    """How the connections of this process came out."""

    encrypted = 0
    #: Names of databases that stay in memory: a URI asked for a memory VFS or a shared memory cache.
    memory: list[str] = []  # noqa: RUF012
    #: Temporary databases (``""``), which have random keys and are not counted by the engine as opened.
    temporary = 0


class EncryptedConnection(sqlite3.Connection):
    """What ``sqlite3.Connection`` is while the suite runs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args or "database" in kwargs:
            args, kwargs = _rewrite(*args, **kwargs)
        super().__init__(*args, **kwargs)


def _rewrite(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    database = args[0] if args else kwargs["database"]
    uri = bool(args[_URI] if len(args) > _URI else kwargs.get("uri", False))
    if uri and isinstance(database, str) and "lumo_handle=" in database:
        return args, kwargs
    try:
        encrypted = _encrypted_name(database, uri)
    except (TypeError, ValueError):
        # Not a name: the error must be sqlite3's own.
        return args, kwargs
    if not args:
        return (), {**kwargs, "database": encrypted, "uri": True}
    if len(args) > _URI:
        return (encrypted, *args[1:_URI], True, *args[_URI + 1 :]), kwargs
    return (encrypted, *args[1:]), {**kwargs, "uri": True}


def _encrypted_name(database: Any, uri: bool) -> str:
    if database in (":memory:", b":memory:"):
        database = _folder / f"memory-{os.getpid()}-{next(_names)}.db"
        shutil.copyfile(_folder / "template", database)
        uri = False
    # The factory sees what lumocrypt.connect() would open.
    seen: list[str] = []
    lumocrypt.connect(
        database, key=lumocrypt.Key.raw(KEY), uri=uri, factory=lambda name, **_: seen.append(name)
    )
    (name,) = seen
    if "lumo_handle=" in name:
        Counts.encrypted += 1
    elif name.startswith("file:?"):
        Counts.temporary += 1
    else:
        Counts.memory.append(str(database))
    return name


def _connect(*args: Any, **kwargs: Any) -> Any:
    if len(args) <= _FACTORY:
        kwargs.setdefault("factory", EncryptedConnection)
    return _real_connect(*args, **kwargs)


def install(folder: Path) -> None:
    """Replaces; ``folder`` is where the databases go that were to be in memory."""
    global _folder  # noqa: PLW0603
    _folder = folder
    # Registration opens a ":memory:" connection of its own, which is none of the suite's.
    lumocrypt.install(default=False)
    template = folder / "template"
    if not template.exists():
        _make_template(template)
    for module in (sqlite3, sqlite3.dbapi2):
        module.connect = _connect  # type: ignore[assignment]
        module.Connection = EncryptedConnection  # type: ignore[misc,assignment]


def _make_template(path: Path) -> None:
    """An encrypted database of logical length zero, like a ``:memory:`` database that was never written.

    Opening it unlocks it, so the engine counts every connection and not only those that write.
    """
    source = path.with_name("template-source")
    connection = lumocrypt.connect(source, key=lumocrypt.Key.raw(KEY), isolation_level=None)
    connection.execute("BEGIN")
    # The file comes into being with the first journal, before there is anything in it.
    connection.execute("CREATE TABLE t (a)")
    shutil.copyfile(source, path)
    connection.execute("ROLLBACK")
    connection.close()
