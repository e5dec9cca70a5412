"""``attach``: another encrypted database on an open connection."""

from __future__ import annotations

from typing import Any

from .connection import handle_uri
from .errors import CryptError, make
from .kdf import Kdf
from .kdf import resolve as resolve_kdf
from .keys import KeyLike, as_key
from .paths import StrPath, absolute
from .registration import stdlib_host, uses_lumocrypt


def attach(
    connection: Any,
    path: StrPath,
    name: str,
    key: KeyLike | None = None,
    *,
    cipher: str | None = None,
    kdf: Kdf = "interactive",
) -> None:
    """Attaches the encrypted database at ``path`` as ``name``; it is created if the file is absent.

    ``connection`` is an sqlite3 or APSW connection; one that :func:`lumocrypt.connect` did not make must have
    been opened with ``uri=True``. ``key``, ``cipher`` and ``kdf`` are as for :func:`lumocrypt.connect`.

    SQLite writes the temporary files of a connection through the VFS of its main database. If that is not
    ours, they are kept in memory (``PRAGMA temp_store=MEMORY``), so that rows of the attached database do not
    spill in clear; a connection that already has temporary tables is refused, because the setting drops them.

    Raises what lumocrypt.connect raises, and CryptError for the last case.
    """
    given = None if key is None else as_key(key)
    del key
    stdlib_host()
    # An absolute path: were the URI taken for a plain name, it would lead to a directory "file:" that does
    # not exist, instead of creating a plaintext file with a strange name.
    file = absolute(path)
    if not uses_lumocrypt(connection):
        _keep_temporary_files_in_memory(connection, file)
    uri = handle_uri(file, given, {"cipher": cipher, "kdf": resolve_kdf(kdf)})
    connection.execute("ATTACH DATABASE ? AS ?", (uri, name)).close()


def _keep_temporary_files_in_memory(connection: Any, path: str) -> None:
    in_memory = 2
    if connection.execute("PRAGMA temp_store").fetchall() == [(in_memory,)]:
        return
    if connection.execute("SELECT count(*) FROM sqlite_temp_master").fetchall() != [(0,)]:
        raise make(
            CryptError,
            "this connection has temporary tables in clear files; attach before creating them, or run "
            "PRAGMA temp_store=MEMORY first",
            path=path,
        )
    connection.execute(f"PRAGMA temp_store={in_memory}").close()
