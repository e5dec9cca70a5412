"""``connect``: a standard library connection to an encrypted database."""

from __future__ import annotations

import sqlite3
import warnings
from dataclasses import replace
from typing import Any, Literal

from ..engine import native
from ..engine.registration import VFS, stdlib_host, vfs_over
from ..engine.uri import Database, Target, parse
from ..keys.identity import UuidLike, inspect_as, resolve_uuid
from ..keys.kdf import DEFAULT, Kdf, KdfLimit, resolve_limit
from ..keys.kdf import resolve as resolve_kdf
from ..keys.key import Hidden, Key, KeyLike, RemoteKey, hiding
from ..keys.unlocking import environment_key, options_of
from . import factory, pragmas
from .creation import opening_key

Io = Literal["map", "pread"]

#: The suite that has no key.
CHECKSUM = "checksum"


@hiding("key")
def connect(
    database: Database,
    key: KeyLike | None = None,
    *,
    uuid: UuidLike | None = None,
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
    :class:`lumocrypt.KmsKey`, with which a new database gets its header at once. Without one the key is
    that of ``lumo_key=`` in the URI (with a UserWarning), of :func:`lumocrypt.unlock`, or of the
    environment variable ``LUMO_KEY``; without any, the connection opens, and fails with KeyRequiredError
    unless its first statement is ``PRAGMA lumo_key``. A key from any of these and a file that takes none,
    because it is plaintext, of another format or only checksummed, is a NotEncryptedError before anything
    is read or written. :data:`lumocrypt.NO_KEY` says that no key is meant, whatever the process knows.

    ``uuid`` says which database is meant, by the UUID that :func:`lumocrypt.info` shows, with or without
    dashes (``lumo_uuid=`` in a URI): another one, or none, is an error, and none is made. A path that
    :func:`lumocrypt.unlock` was called for is as good, and holds whatever key is given.

    ``cipher`` and ``kdf`` (see :data:`lumocrypt.PROFILES`) are for a new database and ignored for an
    existing one. ``kdf_limit`` is how much key derivation the header may ask for, of which nothing is
    authenticated yet (:data:`lumocrypt.keys.kdf.KdfLimit`; by default 64 passes, 1 GiB, 64 lanes, and 8 GiB
    times passes over all keyslots). ``io`` is how blocks are read: ``"map"`` decrypts out of a memory map of
    the file, ``"pread"`` by system calls; None leaves the choice to the engine. All other arguments are those
    of ``sqlite3.connect``, ``factory`` included: a class derived from ``sqlite3.Connection`` is called with
    the arguments given here; another callable, and a class that calls
    ``sqlite3.Connection.__init__`` by that name, with the URI that SQLite gets.

    The cache is private, also where SQLite was told to share all; with ``cache=shared`` in the URI it is
    shared with other connections of this function that ask for that and have the key, and with nobody else.

    Because parameters reach the engine in a URI, SQLite reads the names that this connection ATTACHes as
    URIs too if they begin with ``file:``.

    Raises WrongKeyError, NotEncryptedError (a plaintext database is refused with and without a key),
    WrongDatabaseError, HeaderDamagedError, UnsupportedFormatError, KdfLimitError, TamperedError,
    KeySourceError; what sqlite3.connect raises for a directory or a missing permission; ValueError or
    TypeError for bad arguments.
    """
    hidden = Hidden(key)
    as_given = {name: sqlite3_arguments[name] for name in ("uri",) if name in sqlite3_arguments}
    target = parse(database, uri=bool(sqlite3_arguments.pop("uri", False)))
    # It may hold a key, too; what a factory is called with does not.
    name: Any = database if target.key_text is None else target.build(target.vfs)
    del database
    if engine != "sqlite":
        raise ValueError(f"engine {engine!r} is not available; the only one in this version is 'sqlite'")
    target = _with_uuid(target, uuid)
    remote = hidden.remote()
    target, given = _take_uri_key(target, None if remote else hidden.key())
    options = open_options(remote or given, cipher, kdf, kdf_limit, io=io, **options_of(None, hidden))
    if remote is not None and target.kind == "file":
        if target.uuid is not None:
            # Before the service is asked for the key of another one.
            inspect_as(target.path, target.uuid)
        given = opening_key(hidden, target.path, options, create=target.creates)
    if given is None and not hidden.none_is_meant:
        # The engine reads it when the file is opened; here a malformed one can be the ValueError that it is.
        environment_key()
    if target.kind != "file" and target.uuid is not None:
        raise ValueError("a database in memory, or a temporary one, has no UUID")

    def opened_as(database: Any, uri: bool) -> str:
        chosen = _with_uuid(parse(database, uri=uri), uuid)
        if chosen.kind != "file":
            return _keyless_uri(chosen)
        chosen, shown = _take_uri_key(chosen, given)
        return chosen.build(vfs_over(stdlib_host(), chosen.vfs), lumo_handle=handle(shown, options))

    if factory.is_class(sqlite3_arguments.get("factory")) and not target.shares_cache:
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
    if not target.shares_cache:
        once = handle(given, options)
        return sqlite3.connect(target.build(vfs, lumo_handle=once), uri=True, **sqlite3_arguments)
    options["uuid"] = None if target.uuid is None else target.uuid.hex
    return _sharing(target, vfs, handle(given, options), sqlite3_arguments)


def open_options(
    key: Key | RemoteKey | None, cipher: str | None, kdf: Kdf, kdf_limit: KdfLimit | None = None, **more: Any
) -> dict[str, Any]:
    """The options as the engine takes them. Raises ValueError for a key that the suite has no use for."""
    if cipher == CHECKSUM and key is not None:
        raise ValueError("the checksum cipher takes no key: it detects damage and hides nothing")
    # The engine's default costs go without saying, and most connections are opened with them.
    costs = None if kdf == DEFAULT and kdf_limit is None else resolve_kdf(kdf)
    return {"cipher": cipher, "kdf": costs, "kdf_limit": resolve_limit(kdf_limit), **more}


def handle(key: Key | None, options: dict[str, Any]) -> str:
    """What stands in a URI for a key and options, once."""
    return native.handle_new(0 if key is None else key.number, options)


def _keyless_uri(target: Target) -> str:
    """The URI of a memory or temporary database.

    It goes through our VFS all the same: its sorter and its spilled pages are in files, which get a random
    key each.
    """
    vfs = "memdb" if target.vfs == "memdb" else vfs_over(stdlib_host(), target.vfs)
    return target.build(vfs)


def _sharing(target: Target, vfs: str, once: str, arguments: dict[str, Any]) -> sqlite3.Connection:
    """A connection that may share the cache of others.

    SQLite opens no file for it then, so that nobody looks at its key: it shows the handle once it is there.
    """
    shared = native.shared_vfs(stdlib_host().number, vfs)
    native.expect_sharing(True)
    try:
        connection = sqlite3.connect(target.build(shared, lumo_handle=once), uri=True, **arguments)
    finally:
        native.expect_sharing(False)
    try:
        # Not a method that a factory may have put in its place.
        sqlite3.Connection.execute(connection, f"PRAGMA lumo_proof='{once}'").close()
    except BaseException:
        connection.close()
        raise
    return connection


def _with_uuid(target: Target, uuid: UuidLike | None) -> Target:
    wanted = resolve_uuid(uuid)
    if wanted is None:
        return target
    if target.uuid not in (None, wanted):
        raise ValueError("uuid= and lumo_uuid= in the URI differ; give the one that is meant")
    return replace(target, uuid=wanted)


def _take_uri_key(target: Target, key: Key | None) -> tuple[Target, Key | None]:
    if target.key_text is None:
        return target, key
    warnings.warn(
        "a key in a URI is visible wherever the URI is logged; give key= to lumocrypt.connect() instead",
        UserWarning,
        stacklevel=4,
    )
    if key is None:
        key = Hidden(target.key_text).key()
    return replace(target, key_text=None), key


def handle_uri(path: str, key: Key | None, options: dict[str, Any], **parameters: str) -> str:
    """The URI that opens ``path`` once, with ``key``, through the default VFS, and with a cache of its
    own."""
    target = parse(path, uri=False)
    return target.build(VFS, lumo_handle=handle(key, options), **parameters)
