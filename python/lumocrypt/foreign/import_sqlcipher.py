"""``import_sqlcipher``: a SQLCipher database becomes one of lumocrypt's."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass

from ..engine import native
from ..engine.native import Progress
from ..engine.registration import stdlib_host
from ..files.newfile import NewFile
from ..files.paths import StrPath, absolute, refuse_existing
from ..keys.kdf import DEFAULT, Kdf, KdfLimit
from ..keys.key import Hidden, KeyLike, hiding
from ..opening.connection import CHECKSUM, handle_uri, open_options
from ..opening.contentcheck import check_content
from ..opening.creation import new_key
from .sqlcipher import PAGE_BYTES, SqlcipherFile, SqlcipherKey


@dataclass(frozen=True, slots=True)
class Import:
    """What :func:`import_sqlcipher` did."""

    source: str
    destination: str
    cipher: str
    pages: int
    #: Bytes of the source and of the result.
    source_size: int
    destination_size: int


@hiding("key", "source_key")
def import_sqlcipher(
    source: StrPath,
    destination: StrPath,
    *,
    source_key: str | Hidden,
    key: KeyLike,
    cipher: str | None = None,
    kdf: Kdf = DEFAULT,
    kdf_limit: KdfLimit | None = None,
    progress: Progress | None = None,
) -> Import:
    """Copies a SQLCipher 4 database with default parameters to a new one, which is never in clear on disk.

    ``source_key`` is a passphrase, ``x'<64 hex digits>'`` for a raw key, or ``x'<96 hex digits>'`` for one
    with its salt. ``key``, ``cipher``, ``kdf`` and ``kdf_limit`` are those of the result, as for
    :func:`lumocrypt.connect`.
    ``progress`` is as for :func:`lumocrypt.encrypt`. Needs the package cryptography
    (``lumocrypt[sqlcipher]``).

    The HMAC of every page is checked, and SQLite's quick_check passes over the result before it gets its
    name. Nobody else may have the source open; it is not changed. A WAL or a hot journal next to it is
    refused. The result's pages keep 80 unused bytes each, which SQLCipher had reserved: VACUUM leaves them.

    Raises WrongKeyError, TamperedError with the page, NotEncryptedError for a plaintext database, InUseError,
    CryptError for other files and for a log that is to be recovered first, FileExistsError, ImportError,
    ValueError or TypeError for bad arguments, and what :func:`lumocrypt.encrypt` raises.
    """
    hidden, hidden_source = Hidden(key), Hidden(source_key)
    old = SqlcipherKey(hidden_source)
    if cipher == CHECKSUM:
        raise ValueError("the checksum cipher would leave the database in clear; choose a cipher")
    target = absolute(destination)
    refuse_existing(target)
    with SqlcipherFile(absolute(source)) as file, NewFile(target) as new:
        file.unlock(old)
        given, identity = new_key(hidden)
        if given is None:
            raise TypeError("import_sqlcipher() needs a key for the new database")
        options = open_options(given, cipher, kdf, kdf_limit, block_size=PAGE_BYTES) | identity
        answer = native.encrypt_stream(new.descriptor, file.size, given.number, options, file.read, progress)
        # The engine has to be known to the standard library's SQLite.
        stdlib_host()
        new.require_path()
        uri = handle_uri(
            new.path, given, {"kdf_limit": options["kdf_limit"]}, mode="ro", cache="private", immutable="1"
        )
        check_content(lambda: sqlite3.connect(uri, uri=True), source=file.path)
        file.attributes().limit(new.descriptor, clear=False)
        new.get_name()
        return Import(
            source=file.path,
            destination=target,
            cipher=str(answer["cipher"]),
            pages=file.size // PAGE_BYTES,
            source_size=file.size,
            destination_size=os.stat(target).st_size,
        )
