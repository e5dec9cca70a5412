"""``encrypt`` and ``decrypt``: whole files, in place or to another name."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import native
from .connection import CHECKSUM, handle_uri, open_options
from .creation import new_key
from .errors import CryptError, NotEncryptedError, make
from .info import inspect
from .kdf import Kdf, KdfLimit, resolve_limit
from .keys import Hidden, Key, KeyLike
from .native import Progress
from .newfile import NewFileBeside, copy_attributes, rename_to_new_name
from .paths import StrPath, absolute, existing_file, refuse_existing, refuse_hard_links
from .quiesce import LOCK_WAIT, Open, Snapshot, Takeover
from .registration import stdlib_host
from .unlocking import resolve_key
from .uri import parse


@dataclass(frozen=True, slots=True)
class Conversion:
    """What :func:`encrypt` or :func:`decrypt` did."""

    source: str
    #: The same as ``source`` if it was done in place.
    destination: str
    cipher: str
    #: Bytes of the source and of the result.
    source_size: int
    destination_size: int


def encrypt(
    source: StrPath,
    destination: StrPath | None = None,
    *,
    key: KeyLike | None,
    cipher: str | None = None,
    kdf: Kdf = "interactive",
    kdf_limit: KdfLimit | None = None,
    block_size: int | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """Encrypts a plaintext database, in place if there is no ``destination``.

    ``key``, ``cipher``, ``kdf`` and ``kdf_limit`` are as for :func:`lumocrypt.connect`;
    ``cipher="checksum"`` takes no key and only detects damage. ``block_size`` is in bytes, a power of two
    from 512 to 65536; the default is the source's page size. ``progress(done_bytes, total_bytes)`` is
    called about ten times a second; an exception that it raises stops the work and comes through. All cores
    work; ``LUMO_THREADS`` limits that.

    In place, the encrypted file is written beside the source and renamed over it; nobody else may
    have the database open. With a destination, which must not exist, the source is left as it is, except that
    a WAL is checkpointed. After a failure the source is as it was and nothing else is left behind.

    The blocks of the disk that held the plaintext are freed, not wiped.

    Raises FileNotFoundError, FileExistsError, PermissionError, OSError(ENOSPC), InUseError, CryptError for
    a source that is empty, encrypted already or not a database, KeySourceError, ValueError or TypeError for
    bad arguments.
    """
    hidden = Hidden(key)
    del key
    given = None if hidden.remote() else hidden.key()
    options = open_options(hidden.remote() or given, cipher, kdf, kdf_limit, block_size=block_size)
    path = existing_file(source)
    _refuse_encrypted(path)
    if hidden.remote():
        given, identity = new_key(hidden)
        options |= identity
    if cipher != CHECKSUM:
        given = resolve_key(path, given)
    number = 0 if given is None else given.number
    host = stdlib_host()

    def write(new: str) -> dict[str, Any]:
        return native.encrypt_file(host.number, path, new, number, options, progress)

    return _convert(path, destination, _plaintext_opener(path), write)


def decrypt(
    source: StrPath,
    destination: StrPath | None = None,
    *,
    key: KeyLike | None,
    kdf_limit: KdfLimit | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """Decrypts a database, in place if there is no ``destination``.

    The result is the database as SQLite sees it; of a file made by :func:`encrypt` and not written to
    since, it is the original bit for bit. ``key=None`` takes the key of :func:`lumocrypt.unlock` or
    ``LUMO_KEY``. ``kdf_limit``, ``progress``, locks and failures are as for :func:`encrypt`.

    Raises WrongKeyError, KeyRequiredError, NotEncryptedError, TamperedError, HeaderDamagedError,
    UnsupportedFormatError, and what encrypt raises.
    """
    hidden = Hidden(key)
    del key
    path = existing_file(source)
    given = hidden.key(path)
    given = None if inspect(path).cipher == CHECKSUM and given is None else resolve_key(path, given)
    number = 0 if given is None else given.number
    options = {"kdf_limit": resolve_limit(kdf_limit)}
    host = stdlib_host()

    def write(new: str) -> dict[str, Any]:
        return native.decrypt_file(host.number, path, new, number, options, progress)

    return _convert(path, destination, _encrypted_opener(path, given, options), write)


def _convert(
    path: str, destination: StrPath | None, opener: Open, write: Callable[[str], dict[str, Any]]
) -> Conversion:
    source_size = os.stat(path).st_size
    if destination is None:
        refuse_hard_links(path)
        target = path
        with Takeover(path, opener) as held, NewFileBeside(path) as new:
            answer = write(new)
            copy_attributes(path, new)
            held.replace_by(new)
    else:
        target = absolute(destination)
        refuse_existing(target)
        with Snapshot(path, opener), NewFileBeside(target) as new:
            answer = write(new)
            copy_attributes(path, new)
            rename_to_new_name(new, target)
    return Conversion(path, target, str(answer.get("cipher", "")), source_size, os.stat(target).st_size)


def _refuse_encrypted(path: str) -> None:
    try:
        cipher = inspect(path).cipher
    except NotEncryptedError:
        return
    raise make(CryptError, f"the database is encrypted already (with {cipher})", path=path)


def _plaintext_opener(path: str) -> Open:
    mode = "rw" if os.access(path, os.W_OK) else "ro"
    # By name: lumocrypt.install() may have made ours the default.
    uri = parse(path, uri=False).build(stdlib_host().base_vfs, mode=mode, cache="private")
    return lambda: _plain_connection(uri)


def _encrypted_opener(path: str, key: Key | None, options: dict[str, Any]) -> Open:
    mode = "rw" if os.access(path, os.W_OK) else "ro"
    return lambda: _plain_connection(handle_uri(path, key, options, mode=mode, cache="private"))


def _plain_connection(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=LOCK_WAIT)
