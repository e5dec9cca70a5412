"""``attach``: another encrypted database on an open connection."""

from __future__ import annotations

from typing import Any

from .connection import handle_uri, open_options
from .kdf import Kdf
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
    kdf: Kdf = "interactive",
) -> None:
    """Attaches the encrypted database at ``path`` as ``name``; it is created if the file is absent.

    ``connection`` is an sqlite3 or APSW connection; one that :func:`lumocrypt.connect` did not make must have
    been opened with ``uri=True``. ``key``, ``cipher`` and ``kdf`` are as for :func:`lumocrypt.connect`.

    SQLite writes the temporary files of a connection through the VFS of its main database, and would sort
    the attached rows into clear files. So the main database must be on one of our VFSs, too: opened by
    lumocrypt.connect (``":memory:"`` is enough) or with ``vfs=lumocrypt``; any other is an InUseError.

    Raises what lumocrypt.connect raises.
    """
    hidden = Hidden(key)
    del key
    given = hidden.key()
    stdlib_host()
    # An absolute path: were the URI taken for a plain name, it would lead to a directory "file:" that does
    # not exist, instead of creating a plaintext file with a strange name.
    uri = handle_uri(absolute(path), given, open_options(given, cipher, kdf))
    connection.execute("ATTACH DATABASE ? AS ?", (uri, name)).close()
