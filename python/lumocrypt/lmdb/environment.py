"""Environments: opening them with a key, and what they say of themselves."""

from __future__ import annotations

import json
import os
import weakref
from typing import Any, Self, cast

from ..files.paths import StrPath, absolute
from ..keys.identity import UuidLike, resolve_uuid
from ..keys.kdf import DEFAULT, Kdf, KdfLimit, resolve_limit
from ..keys.kdf import resolve as resolve_kdf
from ..keys.key import Hidden, Key, KeyLike, hiding
from ..keys.unlocking import environment_key, options_of, unlocked
from . import engine
from .database import Database
from .engine import Address, check, ffi, lib
from .errors import Error, closed
from .transaction import Transaction


class Environment:
    """An encrypted LMDB environment: py-lmdb's ``Environment``, with a key."""

    @hiding("key")
    def __init__(
        self,
        path: StrPath,
        map_size: int = 0,
        subdir: bool | None = None,
        readonly: bool = False,
        metasync: bool = True,
        sync: bool = True,
        map_async: bool = False,
        mode: int = 0o600,
        create: bool = True,
        readahead: bool = True,
        writemap: bool = False,
        meminit: bool = True,
        max_readers: int = 4096,
        max_dbs: int = 0,
        max_spare_txns: int = 0,
        lock: bool = True,
        *,
        key: KeyLike | None = None,
        cipher: str | None = None,
        kdf: Kdf = DEFAULT,
        kdf_limit: KdfLimit | None = None,
        page_size: int | None = None,
        cache_size: int | None = None,
        uuid: UuidLike | None = None,
    ) -> None:
        """Opens an environment, or creates it.

        ``path`` is a file, next to which lies its lock file; with ``subdir``, or where ``path`` is a
        folder, it is ``data.mdb`` in there. ``key`` is what :func:`lumocrypt.connect` takes; without one
        it is that of :func:`lumocrypt.unlock` or ``LUMO_KEY``. ``cipher``, ``kdf`` and ``page_size``
        (bytes) are for a new environment. ``map_size`` is a limit in bytes, and 0 is none; ``cache_size``
        bytes of clear pages are kept. All else is py-lmdb's; ``meminit``, ``map_async`` and
        ``max_spare_txns`` change nothing.

        Raises KeyRequiredError, WrongKeyError, NotEncryptedError, HeaderDamagedError, TamperedError;
        InvalidParameterError for ``writemap``; Error if there is no such file and none is to be made;
        ValueError or TypeError for a bad key.
        """
        del map_async, meminit, max_spare_txns
        hidden, name = Hidden(key), absolute(path)
        self.readonly = readonly
        self._address: Address | None = None
        self._path = os.fsdecode(path)
        self._subdir = os.path.isdir(name) if subdir is None else subdir
        if self._subdir:
            if create and not readonly:
                os.makedirs(name, mode | 0o700, exist_ok=True)
            name = os.path.join(name, "data.mdb")
        self._file = name
        settings = {
            "create": create, "map_size": map_size, "read_only": readonly, "metasync": metasync, "sync": sync,
            "mode": mode & ~0o111, "readahead": readahead, "writemap": writemap, "max_readers": max_readers,
            "max_dbs": max_dbs, "lock": lock, "cache_size": cache_size,
        }  # fmt: skip
        given, options = _options(name, hidden, cipher, kdf, kdf_limit, page_size, uuid)
        place = ffi.new("void **")
        arguments = (os.fsencode(name), _number(given), options, json.dumps(settings).encode(), place)
        check("open", lib.lumo_lmdb_env_open(*arguments))
        self._address = Address(place[0], lib.lumo_lmdb_env_close)
        #: Those that have not ended.
        self.transactions: weakref.WeakSet[Transaction] = weakref.WeakSet()
        self._databases: dict[bytes | None, Database] = {}
        self._opening = 0
        self.opening()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def address(self) -> Address:
        """The engine's. Raises Error if the environment was closed."""
        if self._address is None:
            raise closed()
        return self._address

    def opening(self) -> int:
        """Which opening this is. A forked child opens the environment here, and its databases with it."""
        found = engine.numbers("open", lib.lumo_lmdb_env_opening, self.address().get(), count=1)[0]
        if found != self._opening:
            self._opening = found
            with Transaction(self, db=cast(Database, self)) as txn:
                for database in self._databases.values():
                    database.open(txn)
                if not self._databases:
                    self._databases[None] = Database(txn, None, 0)
        return found

    def main(self) -> Database:
        """The nameless database."""
        return self._databases[None]

    def forget(self, db: Database) -> None:
        """A database was removed, or the transaction that opened it did not end well."""
        if self._databases.get(db.name) is db and db.name is not None:
            del self._databases[db.name]

    def begin(
        self,
        db: Database | None = None,
        parent: Transaction | None = None,
        write: bool = False,
        buffers: bool = False,
    ) -> Transaction:
        """Begins a transaction; see there."""
        return Transaction(self, db, parent, write, buffers)

    def open_db(
        self,
        key: bytes | None = None,
        txn: Transaction | None = None,
        reverse_key: bool = False,
        dupsort: bool = False,
        create: bool = True,
        integerkey: bool = False,
        integerdup: bool = False,
        dupfixed: bool = False,
    ) -> Database:
        """Opens a database by its name, or creates it; None is the nameless one. Without ``txn`` in a
        transaction of its own. Raises NotFoundError, DbsFullError, IncompatibleError; ValueError for flags
        of the nameless one, TypeError for a name that is text."""
        if isinstance(key, str):
            raise TypeError("key must be bytes")
        if key is None and (reverse_key or dupsort or integerkey or integerdup or dupfixed):
            raise ValueError("the main database takes no flags; name a database to set them")
        self.opening()
        if (known := self._databases.get(key)) is not None:
            return known
        flags = (
            (engine.REVERSEKEY if reverse_key else 0)
            | (engine.DUPSORT if dupsort or dupfixed or integerdup else 0)
            | (engine.CREATE if create else 0)
            | (engine.INTEGERKEY if integerkey else 0)
            | (engine.INTEGERDUP if integerdup else 0)
            | (engine.DUPFIXED if dupfixed or integerdup else 0)
        )
        if txn is not None:
            with txn.lock:
                made = Database(txn, key, flags)
            txn.opened(made)
        else:
            with self.begin(write=not self.readonly) as own:
                made = Database(own, key, flags)
        self._databases[key] = made
        return made

    def dbs(self, txn: Transaction | None = None) -> list[bytes]:
        """The names of all named databases."""
        own = self.begin() if txn is None else txn
        found: list[bytes] = []
        answer = ffi.new("int *")
        with own.cursor(self.main()) as cursor:
            for key in cursor.iternext(values=False):
                check("dbs", lib.lumo_lmdb_cursor_is_db(cursor.address(), answer))
                if answer[0]:
                    found.append(bytes(key).removesuffix(b"\0"))
        if txn is None:
            own.abort()
        return found

    def close(self) -> None:
        """Closes the environment and ends its transactions. One that writes in another thread ends there."""
        if self._address is None:
            return
        for txn in list(self.transactions):
            try:
                txn.abort()
            except Error:
                continue
        self._address = None
        self._databases.clear()

    def path(self) -> str:
        """Where it is, as it was given."""
        return self._path

    def lib_version(self) -> tuple[int, ...]:
        """LMDB's version."""
        return engine.version()

    def stat(self) -> dict[str, int]:
        """The numbers of the nameless database."""
        return engine.stat(
            engine.numbers("mdb_env_stat", lib.lumo_lmdb_env_stat, self.address().get(), count=6)
        )

    def _info(self) -> list[int]:
        return engine.numbers("mdb_env_info", lib.lumo_lmdb_env_info, self.address().get(), count=9)

    def info(self) -> dict[str, int]:
        """Numbers about it: map_size (bytes), last_pgno, last_txnid, max_readers, num_readers, and bytes
        of clear pages, cache_bytes of cache_limit. map_addr is 0: there is no one map."""
        found = self._info()
        names = ("map_size", "last_pgno", "last_txnid", "max_readers", "num_readers")
        cache = {"cache_bytes": found[7], "cache_limit": found[8]}
        return {"map_addr": 0, **dict(zip(names, found[:5], strict=True)), **cache}

    def flags(self) -> dict[str, bool]:
        """How it was opened."""
        bits = self._info()[6]
        return {
            "subdir": self._subdir,
            "readonly": bool(bits & 0x20000),
            "metasync": not bits & 0x40000,
            "sync": not bits & 0x10000,
            "map_async": False,
            "readahead": not bits & 0x800000,
            "writemap": False,
            "meminit": True,
            "lock": not bits & 0x400000,
        }

    def max_key_size(self) -> int:
        """The longest key, in bytes."""
        return self._info()[5]

    def max_readers(self) -> int:
        """How many snapshots there may be at once, in all processes."""
        return self._info()[3]

    def readers(self) -> str:
        """The table of readers, for people."""
        answer = ffi.new("char **")
        check("mdb_reader_list", lib.lumo_lmdb_env_readers(self.address().get(), answer))
        try:
            return ffi.string(answer[0]).decode()
        finally:
            lib.lumo_string_free(answer[0])

    def reader_check(self) -> int:
        """Frees the slots of readers that died; how many those were."""
        dead = ffi.new("uint32_t *")
        check("mdb_reader_check", lib.lumo_lmdb_env_reader_check(self.address().get(), dead))
        return int(dead[0])

    def sync(self, force: bool = False) -> None:
        """Makes everything durable that was committed, with ``force`` also where ``sync=False`` was said."""
        check("mdb_env_sync", lib.lumo_lmdb_env_sync(self.address().get(), int(force)))

    def set_mapsize(self, map_size: int) -> None:
        """How large it may become, in bytes; ends all snapshots. Raises Error while a transaction writes."""
        for txn in list(self.transactions):
            if txn.write:
                raise Error("set_mapsize: a transaction is writing; commit or abort it first")
            txn.abort()
        check("mdb_env_set_mapsize", lib.lumo_lmdb_env_set_mapsize(self.address().get(), map_size))

    @hiding("key")
    def copy(
        self,
        path: StrPath,
        compact: bool = False,
        txn: Transaction | None = None,
        *,
        key: KeyLike | None = None,
        cipher: str | None = None,
        kdf: Kdf = DEFAULT,
    ) -> None:
        """Copies the environment, which may be in use: into a file that does not exist yet, or
        ``data.mdb`` in a folder where this one is in a folder. ``compact`` leaves free pages out; it needs
        ``max_dbs`` to be at least the number of named databases. With ``key`` the copy is compact and a
        new environment under that key.

        Raises Error if the file exists, TypeError for ``txn``: a copy has a snapshot of its own.
        """
        if txn is not None:
            raise TypeError("a copy has a snapshot of its own; leave txn out")
        name = os.fsencode(absolute(path))
        if self._subdir:
            name = os.path.join(name, b"data.mdb")
        hidden = Hidden(key)
        if hidden.is_given():
            given, options = _options(os.fsdecode(name), hidden, cipher, kdf, None, None, None)
            check("copy", lib.lumo_lmdb_env_copy_as(self.address().get(), name, _number(given), options))
        else:
            check("copy", lib.lumo_lmdb_env_copy(self.address().get(), name, int(compact)))

    def copyfd(self, fd: int, compact: bool = False, txn: Transaction | None = None) -> None:
        """Copies the environment as it is into what is open for writing. Raises TypeError for ``compact`` and
        ``txn``, which are for files that have a name."""
        if compact or txn is not None:
            raise TypeError("a compact copy needs a name: use copy(path, compact=True)")
        check("copyfd", lib.lumo_lmdb_env_copy_fd(self.address().get(), fd))


def _options(
    name: str,
    hidden: Hidden,
    cipher: str | None,
    kdf: Kdf,
    kdf_limit: KdfLimit | None,
    page_size: int | None,
    uuid: UuidLike | None,
) -> tuple[Key | None, bytes]:
    """The key that is meant, and the engine's options."""
    given, wanted = hidden.key(), resolve_uuid(uuid)
    known = unlocked(name)
    if known is not None:
        wanted = wanted or known.uuid
    if given is None and not hidden.none_is_meant:
        given = known.key if known is not None else environment_key()
    options: dict[str, Any] = {
        "cipher": cipher,
        "kdf": None if kdf == DEFAULT else resolve_kdf(kdf),
        "kdf_limit": resolve_limit(kdf_limit),
        "block_size": page_size,
        **options_of(wanted, hidden),
    }
    said = {name: value for name, value in options.items() if value is not None}
    return given, json.dumps(said).encode()


def _number(given: Key | None) -> int:
    """What the engine calls a key, which its caller keeps meanwhile; 0 for none."""
    return 0 if given is None else given.number
