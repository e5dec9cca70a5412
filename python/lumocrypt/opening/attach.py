"""``attach``: another encrypted database on an open connection."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..engine.registration import VFS, stdlib_host
from ..engine.uri import parse
from ..files.paths import StrPath, absolute
from ..keys.identity import UuidLike, inspect_as, resolve_uuid
from ..keys.kdf import DEFAULT, Kdf, KdfLimit
from ..keys.key import Hidden, KeyLike, hiding
from ..keys.unlocking import options_of
from .connection import handle, open_options
from .creation import opening_key


@hiding("key")
def attach(
    connection: Any,
    path: StrPath,
    name: str,
    key: KeyLike | None = None,
    *,
    cipher: str | None = None,
    kdf: Kdf = DEFAULT,
    kdf_limit: KdfLimit | None = None,
    uuid: UuidLike | None = None,
) -> None:
    """Attaches the encrypted database at ``path`` as ``name``; it is created if the file is absent.

    ``connection`` is an sqlite3 or APSW connection; one that :func:`lumocrypt.connect` did not make must
    have been opened with ``uri=True``. ``key``, ``cipher``, ``kdf``, ``kdf_limit`` and ``uuid`` are as for
    :func:`lumocrypt.connect`.

    SQLite writes the temporary files of a connection through the VFS of its main database, and would sort
    the attached rows into clear files. So the main database must be on one of our VFSs, too: opened by
    lumocrypt.connect (``":memory:"`` is enough) or with ``vfs=lumocrypt``; any other is an InUseError.

    Raises what lumocrypt.connect raises.
    """
    hidden = Hidden(key)
    stdlib_host()
    wanted, location = resolve_uuid(uuid), absolute(path)
    options = open_options(
        hidden.remote() or hidden.key(), cipher, kdf, kdf_limit, **options_of(None, hidden)
    )
    if hidden.remote() and wanted is not None:
        inspect_as(location, wanted)
    given = opening_key(hidden, location, options, create=wanted is None)
    # An absolute path: were the URI taken for a plain name, it would lead to a directory "file:" that does
    # not exist, instead of creating a plaintext file with a strange name.
    target = replace(parse(location, uri=False), uuid=wanted)
    uri = target.build(VFS, lumo_handle=handle(given, options))
    connection.execute("ATTACH DATABASE ? AS ?", (uri, name)).close()
