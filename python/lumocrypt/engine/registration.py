"""Makes the VFSs known to an SQLite library: the standard library's, APSW's, or any connection's.

Several SQLite libraries can live in one process. Each is a *host*, with a number.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator

from ..errors import CryptError, make
from . import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: The name of our VFS over SQLite's default one, and the prefix of those over a named one.
VFS = "lumocrypt"


class Host:
    """An SQLite library that knows our VFSs."""

    __slots__ = ("number", "sqlite_version", "vfs")

    def __init__(self, number: int, sqlite_version: int, vfs: tuple[str, ...]) -> None:
        """``sqlite_version`` as sqlite3_libversion_number() has it: 3040001 is 3.40.1."""
        self.number = number
        self.sqlite_version = sqlite_version
        self.vfs = vfs

    @property
    def base_vfs(self) -> str | None:
        """The VFS that is below ``lumocrypt``: what opens plaintext files."""
        named = [name.removeprefix(f"{VFS}-") for name in self.vfs if name.startswith(f"{VFS}-")]
        return named[0] if named else None


# A signal's handler, or a finalizer, may open a database while its thread is registering; to register
# twice is harmless.
_lock = threading.RLock()
_stdlib: Host | None = None


def _forget_lock() -> None:
    """The lock may be held by a thread that ``fork`` left behind."""
    global _lock  # noqa: PLW0603
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)


def stdlib_host() -> Host:
    """The host of the standard library's sqlite3, which is registered on the first call.

    Raises sqlite3.NotSupportedError if this Python's SQLite can neither load extensions nor be found as a
    shared library, or is older than 3.34.
    """
    global _stdlib  # noqa: PLW0603
    with _lock:
        if _stdlib is None:
            _stdlib = _register_stdlib()
        return _stdlib


def known_stdlib() -> int | None:
    """The number of the standard library's host, if it is registered. Waits for nobody."""
    if _stdlib is not None:
        return _stdlib.number
    # Perhaps the extension was loaded by hand. Asked from within the registration itself, the answer is none.
    if not native.hosts() or not _lock.acquire(blocking=False):
        return None
    _lock.release()
    try:
        return stdlib_host().number
    except sqlite3.NotSupportedError:
        return None


def _register_stdlib() -> Host:
    loaded: list[dict[str, Any]] = []
    if hasattr(sqlite3.Connection, "enable_load_extension"):
        # SQLite hands its own functions to an extension: nothing has to be found. Where that is
        # refused (built in, but disabled), the symbols may still be in reach.
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(":memory:")) as connection,
        ):
            # Unless another library loaded it first, the newest host is this one; where symbols can be
            # found, they say so with certainty.
            known = native.hosts()
            _load_extension(connection)
            loaded = native.hosts()[len(known) :] or known[:1]
    problems: list[str] = []
    for library in _stdlib_libraries():
        try:
            return _host(native.register_library(library))
        except (CryptError, ValueError, OSError, sqlite3.Error) as error:
            problems.append(str(error))
    if loaded:
        return _host(loaded[0])
    raise sqlite3.NotSupportedError(
        f"lumocrypt cannot reach the SQLite inside this Python's sqlite3 module ({'; '.join(problems)}); "
        "use APSW (pip install apsw) or pysqlite3 (pip install pysqlite3-binary) with lumocrypt.load(), "
        "or a Python whose sqlite3 can load extensions"
    )


def _stdlib_libraries() -> Iterator[str | None]:
    import _sqlite3

    # The dynamic linker resolves SQLite's names through the extension module that uses them, whatever
    # libsqlite3 that is. Where the module is built into the interpreter it has no file, but perhaps symbols.
    file = getattr(_sqlite3, "__file__", None)
    if file is not None:
        yield file
    yield None


def _host(answer: dict[str, Any]) -> Host:
    return Host(answer["host"], answer["sqlite_version"], tuple(answer["vfs"]))


def vfs_over(host: Host, base: str | None) -> str:
    """The name of our VFS over a base VFS that the caller named; of the default one for None.

    Raises sqlite3.OperationalError if there is no such base.
    """
    if base is None or base == VFS or base.startswith(f"{VFS}-"):
        return base or VFS
    name = f"{VFS}-{base}"
    if name in host.vfs:
        return name
    try:
        return native.register_over(host.number, base)
    except ValueError:
        raise sqlite3.OperationalError(f"no such vfs: {base}") from None


def install(default: bool = True, *, strict: bool = False) -> None:
    """Makes lumocrypt the process's default VFS, so that ``sqlite3.connect("app.db")`` opens encrypted files.

    Encrypted databases take the key of :func:`lumocrypt.unlock` or ``LUMO_KEY``. Plaintext databases that
    exist pass through unchanged, also where ``LUMO_KEY`` is set, and one is made where there is no file
    and no key; but never at a path that was unlocked. So somebody who may replace a file that has only
    ``LUMO_KEY`` to open it can have its program write in clear.

    ``strict`` ends that: as long as the process knows any key, because ``LUMO_KEY`` is set or a path is
    unlocked, a plaintext database is a NotEncryptedError, and none is made. ``lumo_plain=1`` or
    ``lumo_no_key=1`` in a URI say of one database that it is meant to be clear. It stays strict until
    ``install(default=False)``, which registers the VFSs and makes SQLite's own the default again.
    """
    native.set_default(stdlib_host().number, default, strict)


def loadable_path() -> str:
    """The engine's path for ``.load`` and ``load_extension()``, without the suffix that SQLite adds."""
    return str(native.shared_object().with_suffix(""))


def load(connection: Any) -> None:
    """Registers the VFSs with the SQLite library of a connection: sqlite3, pysqlite3 or APSW.

    The connection only leads to its library, where the VFSs then stay; use a throwaway ``":memory:"`` one
    and open databases with ``vfs=lumocrypt`` afterwards.

    Raises CryptError for a connection that has a file open through another VFS: loading would not encrypt
    that file. Raises sqlite3.NotSupportedError if the library cannot be reached.
    """
    file = _main_file(connection)
    if file and not _uses_lumocrypt(connection):
        raise make(
            CryptError,
            "load() registers lumocrypt but does not encrypt this connection, whose database was opened "
            "without it; load into a connection to ':memory:', and open the file with vfs=lumocrypt",
            path=file,
        )
    if isinstance(connection, sqlite3.Connection):
        stdlib_host()
        return
    try:
        _load_extension(connection)
    except AttributeError:
        raise TypeError(f"not an SQLite connection: {type(connection).__name__}") from None


def _load_extension(connection: Any) -> None:
    # APSW's older spelling has no underscores.
    enable = getattr(connection, "enable_load_extension", None) or connection.enableloadextension
    load_extension = getattr(connection, "load_extension", None) or connection.loadextension
    enable(True)
    try:
        load_extension(loadable_path())
    finally:
        enable(False)


def _main_file(connection: Any) -> str:
    # As a BLOB: a name need not be UTF-8, and sqlite3 makes text of nothing else.
    sql = "SELECT CAST(file AS BLOB) FROM pragma_database_list WHERE name = 'main'"
    rows = connection.execute(sql).fetchall()
    return os.fsdecode(bytes(rows[0][0] or b"")) if rows else ""


def _uses_lumocrypt(connection: Any) -> bool:
    """Whether the main database of a connection is a file that was opened through one of our VFSs."""
    # SQLite ignores a pragma that neither it nor the file's VFS knows.
    return bool(connection.execute("PRAGMA main.lumo_status").fetchall())
