"""``connect``: a standard library connection to an encrypted database."""

from __future__ import annotations

import os
import sqlite3
import warnings
from typing import Any, Literal

from . import factory, native, pragmas
from .creation import opening_key
from .kdf import DEFAULT, Kdf, KdfLimit, resolve_limit
from .kdf import resolve as resolve_kdf
from .keys import ENVIRONMENT_VARIABLE, Hidden, Key, KeyLike, RemoteKey
from .registration import stdlib_host, vfs_over
from .uri import VFS, Database, Target, parse

Io = Literal["map", "pread"]

#: The suite that has no key.
CHECKSUM = "checksum"


def connect(
    database: Database,
    key: KeyLike | None = None,
    *,
    cipher: str | None = None,
    kdf: Kdf = DEFAULT,
    kdf_limit: KdfLimit | None = None,
    io: Io | None = None,
    engine: str = "sqlite",
    **sqlite3_arguments: Any,
) -> sqlite3.Connection:
    """Opens an encrypted database, which is created if the file is absent.

    ``database`` is what ``sqlite3.connect`` takes; with ``uri=True`` a ``file:`` URI whose ``mode``,
    ``immutable``, ``cache`` and ``vfs`` are kept. ``":memory:"`` ignores the key; ``""``, a temporary
    database, uses a random one.

    ``key`` is a passphrase, ``"x'<64 hex digits>'"`` for a raw key, a :class:`lumocrypt.Key`, or a
    :class:`lumocrypt.KmsKey`, with which a new database gets its header at once. Without one
    the key is that of ``lumo_key=`` in the URI (with a UserWarning), of :func:`lumocrypt.unlock`, or of the
    environment variable ``LUMO_KEY``; without any, the connection opens, and fails with KeyRequiredError
    unless its first statement is ``PRAGMA lumo_key``.

    ``cipher`` and ``kdf`` (see :data:`lumocrypt.PROFILES`) are for a new database and ignored for an
    existing one. ``kdf_limit`` is how much key derivation the header may ask for, of which nothing is
    authenticated yet (:data:`lumocrypt.kdf.KdfLimit`; by default 64 passes, 1 GiB, 64 lanes, and 8 GiB times
    passes over all keyslots). ``io`` is how blocks are read: ``"map"`` decrypts out of a memory map of the
    file, ``"pread"`` by system calls; None leaves the choice to the engine. All other arguments are those of
    ``sqlite3.connect``, ``factory`` included: a class derived from ``sqlite3.Connection`` is called with the
    arguments given here, and a subclass of it is made; another callable, and a class that calls
    ``sqlite3.Connection.__init__`` by that name, with the URI that SQLite gets.

    Because parameters reach the engine in a URI, SQLite reads the names that this connection ATTACHes as
    URIs too if they begin with ``file:``.

    Raises WrongKeyError, NotEncryptedError (a plaintext database is refused with and without a key),
    HeaderDamagedError, UnsupportedFormatError, KdfLimitError, TamperedError, KeySourceError; what
    sqlite3.connect raises for a directory or a missing permission; ValueError or TypeError for bad arguments.
    """
    if engine != "sqlite":
        raise ValueError(f"engine {engine!r} is not available; the only one in this version is 'sqlite'")
    hidden = Hidden(key)
    del key
    as_given = {name: sqlite3_arguments[name] for name in ("uri",) if name in sqlite3_arguments}
    target = parse(database, uri=bool(sqlite3_arguments.pop("uri", False)))
    # It may hold a key, too; what a factory is called with does not.
    name: Any = database if target.key_text is None else target.build(target.vfs)
    del database
    remote = hidden.remote()
    target, given = _take_uri_key(target, None if remote else hidden.key())
    options = open_options(remote or given, cipher, kdf, kdf_limit, io=io)
    if remote is not None and target.kind == "file":
        given = opening_key(hidden, target.path, options, create=target.creates)
    if given is None and os.environ.get(ENVIRONMENT_VARIABLE):
        # The engine reads it when the file is opened; here a malformed one can be the ValueError that it is.
        Key.from_env()

    def opened_as(database: Any, uri: bool) -> str:
        chosen = parse(database, uri=uri)
        if chosen.kind != "file":
            return _keyless_uri(chosen)
        return chosen.build(vfs_over(stdlib_host(), chosen.vfs), lumo_handle=_handle(given, options))

    if factory.is_class(sqlite3_arguments.get("factory")) and not target.shared_cache:
        stdlib_host()
        made = factory.connect(name, opened_as, {**sqlite3_arguments, **as_given})
        if made is not None:
            if target.kind != "file":
                pragmas.guard(made)
            return made
    if target.kind != "file":
        connection = sqlite3.connect(_keyless_uri(target), uri=True, **sqlite3_arguments)
        pragmas.guard(connection)
        return connection
    vfs = vfs_over(stdlib_host(), target.vfs)
    if target.shared_cache:
        # SQLite may take the cache of another connection, and then opens no file and checks no key.
        probe = target.private().build(vfs, lumo_handle=_handle(given, options))
        sqlite3.connect(probe, uri=True).close()
    return sqlite3.connect(
        target.build(vfs, lumo_handle=_handle(given, options)), uri=True, **sqlite3_arguments
    )


def open_options(
    key: Key | RemoteKey | None, cipher: str | None, kdf: Kdf, kdf_limit: KdfLimit | None = None, **more: Any
) -> dict[str, Any]:
    """The options as the engine takes them. Raises ValueError for a key that the suite has no use for."""
    if cipher == CHECKSUM and key is not None:
        raise ValueError("the checksum suite takes no key: it detects damage and hides nothing")
    # The engine's default costs go without saying, and most connections are opened with them.
    costs = None if kdf == DEFAULT and kdf_limit is None else resolve_kdf(kdf)
    return {"cipher": cipher, "kdf": costs, "kdf_limit": resolve_limit(kdf_limit), **more}


def _handle(key: Key | None, options: dict[str, Any]) -> str:
    return native.handle_new(0 if key is None else key.number, options)


def _keyless_uri(target: Target) -> str:
    """The URI of a memory or temporary database.

    It goes through our VFS all the same: its sorter and its spilled pages are in files, which get a random
    key each.
    """
    vfs = "memdb" if target.vfs == "memdb" else vfs_over(stdlib_host(), target.vfs)
    return target.build(vfs)


def _take_uri_key(target: Target, key: Key | None) -> tuple[Target, Key | None]:
    if target.key_text is None:
        return target, key
    warnings.warn(
        "a key in a URI is visible wherever the URI is logged; give key= to lumocrypt.connect() instead",
        UserWarning,
        stacklevel=3,
    )
    if key is None:
        key = Hidden(target.key_text).key()
    return Target(target.kind, target.location, target.parameters, target.vfs), key


def handle_uri(path: str, key: Key | None, options: dict[str, Any], **parameters: str) -> str:
    """The URI that opens ``path`` once, with ``key``, through the default VFS."""
    target = parse(path, uri=False)
    return target.build(VFS, lumo_handle=_handle(key, options), **parameters)
