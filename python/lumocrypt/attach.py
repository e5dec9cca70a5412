"""``attach``: another encrypted database on an open connection."""

from __future__ import annotations

from typing import Any

from .connection import handle_uri, open_options
from .creation import opening_key
from .kdf import DEFAULT, Kdf, KdfLimit
from .keys import Hidden, KeyLike
from .paths import StrPath, absolute
from .registration import stdlib_host


def attach(
    connection: Any,
    path: StrPath,
    name: str,
    key: KeyLike | None = None,
    *,
    cipher: str | None = None,
    kdf: Kdf = DEFAULT,
    kdf_limit: KdfLimit | None = None,
) -> None:
    """Attaches the encrypted database at ``path`` as ``name``; it is created if the file is absent.

    ``connection`` is an sqlite3 or APSW connection; one that :func:`lumocrypt.connect` did not make must
    have been opened with ``uri=True``. ``key``, ``cipher``, ``kdf`` and ``kdf_limit`` are as for
    :func:`lumocrypt.connect`.

    SQLite writes the temporary files of a connection through the VFS of its main database, and would sort
    the attached rows into clear files. So the main database must be on one of our VFSs, too: opened by
    lumocrypt.connect (``":memory:"`` is enough) or with ``vfs=lumocrypt``; any other is an InUseError.

    Raises what lumocrypt.connect raises.
    """
    hidden = Hidden(key)
    del key
    stdlib_host()
    options = open_options(hidden.remote() or hidden.key(), cipher, kdf, kdf_limit)
    given = opening_key(hidden, absolute(path), options)
    # An absolute path: were the URI taken for a plain name, it would lead to a directory "file:" that does
    # not exist, instead of creating a plaintext file with a strange name.
    uri = handle_uri(absolute(path), given, options)
    connection.execute("ATTACH DATABASE ? AS ?", (uri, name)).close()
