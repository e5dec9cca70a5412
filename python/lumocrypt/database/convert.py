"""``encrypt``, ``decrypt`` and ``convert``: whole files, in place or to another name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..engine import native
from ..engine.native import Progress
from ..engine.registration import stdlib_host
from ..errors import CryptError, InUseError, NotEncryptedError, make, quoting_files
from ..files.folder import Original
from ..files.newfile import NewFile
from ..files.paths import StrPath, absolute, existing_file, refuse_existing, refuse_hard_links
from ..keys.identity import UuidLike
from ..keys.inspection import inspect
from ..keys.kdf import DEFAULT, Kdf, KdfLimit
from ..keys.key import Hidden, KeyLike, hiding
from ..keys.source import Source
from ..keys.unlocking import key_of_new, unlock_again
from ..opening.connection import CHECKSUM, open_options
from ..opening.contentcheck import Open, check_content
from ..opening.creation import new_key as new_key_of
from .formats import GOSQLITE, NATIVE, Format, Gosqlite, Native, Plain, Side
from .quiesce import Snapshot, Takeover

#: A key of lumocrypt's own format, or the bytes of one of gosqlite's.
AnyKey = KeyLike | native.Material


@dataclass(frozen=True, slots=True)
class Conversion:
    """What :func:`encrypt`, :func:`decrypt` or :func:`convert` did."""

    source: str
    #: The same as ``source`` if it was done in place.
    destination: str
    cipher: str
    #: Bytes of the source and of the result.
    source_size: int
    destination_size: int


@hiding("key")
def encrypt(
    source: StrPath,
    destination: StrPath | None = None,
    *,
    key: AnyKey | None,
    cipher: str | None = None,
    kdf: Kdf = DEFAULT,
    kdf_limit: KdfLimit | None = None,
    block_size: int | None = None,
    format: Format = NATIVE,
    page_size: int | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """Encrypts a plaintext database, in place if there is no ``destination``.

    ``key``, ``cipher``, ``kdf`` and ``kdf_limit`` are as for :func:`lumocrypt.connect`;
    ``cipher="checksum"`` takes no key and only detects damage: with ``key=None`` it is refused where the
    process knows one for this path, and ``key=lumocrypt.NO_KEY`` says that none is meant. ``block_size``
    is in bytes, a power of two from 512 to 65536; the default is the source's page size.
    ``progress(done_bytes, total_bytes)`` is called about ten times a second; an exception that it raises
    stops the work and comes through. All cores work; ``LUMO_THREADS`` limits that.

    In place, the encrypted file is written next to the source and renamed over it; nobody else may
    have the database open. Owner, permissions, access control list, extended attributes and the time of the
    last change stay; where this user cannot keep them it is refused. With a destination, which must not
    exist, the source is left as it is, except that a WAL is checkpointed; the new file lets in nobody whom
    the source does not, and if it is in clear nobody whom ``umask`` does not. After a failure, and if
    somebody exchanges files in the folder meanwhile, the source is as it was and nothing else is left behind.

    With ``format="gosqlite"`` the result is what gosqlite's ``vfs/crypto`` reads: ``key`` is then 32 bytes
    for ``cipher="adiantum"``, the default, or 64 for ``"aes-256-xts"``, ``page_size`` is checked to be that
    of the database, and the other options are not for it. The result is read back and compared before it
    gets its name.

    The blocks of the disk that held the plaintext are freed, not wiped.

    Raises FileNotFoundError, FileExistsError, PermissionError, OSError(ENOSPC), InUseError, CryptError for
    a source that is empty, encrypted already or not a database, KeySourceError, ValueError or TypeError for
    bad arguments.
    """
    hidden = Hidden(key)
    if _is_gosqlite(format, page_size):
        _refuse_options(kdf_limit=kdf_limit, block_size=block_size)
        new = Gosqlite(hidden, cipher, page_size)
        path = existing_file(source)
        _refuse_encrypted(path)
        return _transcode(path, destination, Plain(), new, progress)
    given = None if hidden.remote() else hidden.key()
    options = open_options(hidden.remote() or given, cipher, kdf, kdf_limit, block_size=block_size)
    path = existing_file(source)
    _refuse_encrypted(path)
    if hidden.remote():
        given, identity = new_key_of(hidden)
        options |= identity
    given = key_of_new(path, hidden, given, takes_none=cipher == CHECKSUM)
    number = 0 if given is None else given.number
    host = stdlib_host()

    def write(old: Original, new: NewFile) -> dict[str, Any]:
        return native.encrypt_file(host.number, _held(old), new.descriptor, number, options, progress)

    with Plain().opener(path) as opener:
        return _convert(path, destination, opener, write, clear=cipher == CHECKSUM, encrypts=True)


@hiding("key")
def decrypt(
    source: StrPath,
    destination: StrPath | None = None,
    *,
    key: AnyKey | None,
    kdf_limit: KdfLimit | None = None,
    uuid: UuidLike | None = None,
    format: Format = NATIVE,
    cipher: str | None = None,
    page_size: int | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """Decrypts a database, in place if there is no ``destination``.

    The result is the database as SQLite sees it; of a file made by :func:`encrypt` and not written to
    since, it is the original bit for bit. ``key=None`` takes the key of :func:`lumocrypt.unlock` or
    ``LUMO_KEY``. ``uuid`` is as for :func:`lumocrypt.connect`; ``kdf_limit``, ``progress``, locks and
    failures are as for :func:`encrypt`. With ``format="gosqlite"`` ``key`` and ``cipher`` are as for
    :func:`encrypt`, and ``page_size`` is found out if it is not given.

    Raises WrongKeyError, KeyRequiredError, NotEncryptedError, TamperedError, HeaderDamagedError,
    UnsupportedFormatError, and what encrypt raises.
    """
    if _is_gosqlite(format, page_size):
        _refuse_options(kdf_limit=kdf_limit, uuid=uuid)
        path = existing_file(source)
        return _transcode(path, destination, Gosqlite(Hidden(key), cipher, page_size), Plain(), progress)
    _refuse_options(cipher=cipher)
    old = Source.open(source, Hidden(key), kdf_limit=kdf_limit, uuid=uuid)
    host = stdlib_host()

    def write(original: Original, new: NewFile) -> dict[str, Any]:
        held = _held(original)
        return native.decrypt_file(host.number, held, new.descriptor, old.number, old.options, progress)

    with Native(old.key, old.options).opener(old.path) as opener:
        return _convert(old.path, destination, opener, write, clear=True)


@hiding("key", "new_key")
def convert(
    source: StrPath,
    destination: StrPath | None = None,
    *,
    format: Format,
    key: AnyKey | None,
    new_format: Format,
    new_key: AnyKey | None,
    cipher: str | None = None,
    page_size: int | None = None,
    new_cipher: str | None = None,
    uuid: UuidLike | None = None,
    kdf: Kdf = DEFAULT,
    kdf_limit: KdfLimit | None = None,
    block_size: int | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """Moves an encrypted database to another format or key, in place if there is no ``destination``.

    ``format`` and ``key`` are those of the source, ``new_format`` and ``new_key`` of the result:
    ``"lumocrypt"`` with a key as for :func:`lumocrypt.connect`, or ``"gosqlite"`` with the bytes of one.
    ``cipher`` and ``page_size`` are the source's if it is in the gosqlite format; the page size is found
    out if it is not given, and ``uuid``, for lumocrypt's own, as for :func:`lumocrypt.connect`.
    ``new_cipher`` is for both formats, ``kdf``, ``kdf_limit`` and ``block_size`` as for :func:`encrypt`.
    Within the gosqlite format this is how a key is replaced.

    Nothing is on disk in clear. The result is read back, compared byte by byte with the source as SQLite sees
    it, and checked by SQLite's quick_check before it gets its name; the rest is as for :func:`encrypt`.

    Raises WrongKeyError, UnsupportedFormatError for another page size, NotEncryptedError, TamperedError, and
    what :func:`encrypt` raises.
    """
    hidden, hidden_new = Hidden(key), Hidden(new_key)
    path = existing_file(source)
    old: Side
    if _is_gosqlite(format, page_size):
        _refuse_options(uuid=uuid)
        old = Gosqlite(hidden, cipher, page_size)
    else:
        _refuse_options(cipher=cipher)
        opened = Source.open(source, hidden, kdf_limit=kdf_limit, uuid=uuid)
        old = Native(opened.key, opened.options)
    new: Side
    if _is_gosqlite(new_format, None):
        _refuse_options(block_size=block_size)
        new = Gosqlite(hidden_new, new_cipher, None)
    else:
        given, identity = new_key_of(hidden_new)
        if given is None and new_cipher != CHECKSUM:
            raise TypeError("convert() needs a new_key for the result")
        options = open_options(given, new_cipher, kdf, kdf_limit, block_size=block_size)
        new = Native(given, options | identity)
    return _transcode(path, destination, old, new, progress)


def _is_gosqlite(format: str, page_size: int | None) -> bool:
    if format not in (NATIVE, GOSQLITE):
        raise ValueError(f"format={format!r}: the formats are {NATIVE} and {GOSQLITE}")
    if format == NATIVE and page_size is not None:
        raise ValueError("page_size is for the gosqlite format; lumocrypt's own takes block_size")
    return format == GOSQLITE


def _refuse_options(**options: object) -> None:
    for name, value in options.items():
        if value is not None:
            raise ValueError(f"{name} is not for this format")


def _transcode(
    path: str, destination: StrPath | None, old: Side, new: Side, progress: Progress | None
) -> Conversion:
    host = stdlib_host()

    def write(original: Original, target: NewFile) -> dict[str, Any]:
        native.convert_file(
            host.number,
            (_held(original), old.options, old.number, old.secret),
            (target.descriptor, new.options, new.number, new.secret),
            progress,
        )
        # By name, since SQLite reads it: to check it, and for nothing else.
        target.require_path()
        with new.reader(target.path) as reader:
            check_content(reader, source=path)
        return {"cipher": new.cipher_of(target.path)}

    with old.opener(path) as opener:
        encrypts = isinstance(new, Native)
        return _convert(path, destination, opener, write, clear=new.clear, encrypts=encrypts)


def _held(original: Original) -> native.Held:
    return original.path, original.folder.descriptor


@quoting_files()
def _convert(
    path: str,
    destination: StrPath | None,
    opener: Open,
    write: Callable[[Original, NewFile], dict[str, Any]],
    *,
    clear: bool,
    encrypts: bool = False,
) -> Conversion:
    with Original(path) as original:
        source_size = original.status().st_size
        if destination is None:
            refuse_hard_links(path)
            _refuse_rekeying(path)
            target = path
            with Takeover(original, opener) as held, NewFile(path, original.folder) as new:
                # Recovery may have written to it.
                attributes = original.attributes()
                attributes.require_owner(new.descriptor, path)
                answer = write(original, new)
                size = os.fstat(new.descriptor).st_size
                attributes.give_all(new.descriptor, path)
                held.replace_by(new)
            if encrypts:
                with contextlib.suppress(CryptError):
                    # Its key may be another one now.
                    unlock_again(path)
        else:
            target = absolute(destination)
            refuse_existing(target)
            with Snapshot(original, opener), NewFile(target) as new:
                answer = write(original, new)
                original.check()
                size = os.fstat(new.descriptor).st_size
                original.attributes().limit(new.descriptor, clear=clear)
                new.get_name()
    return Conversion(path, target, str(answer.get("cipher", "")), source_size, size)


def _refuse_encrypted(path: str) -> None:
    try:
        cipher = inspect(path).cipher
    except NotEncryptedError:
        return
    raise make(CryptError, f"the database is encrypted already (with {cipher})", path=path)


def _refuse_rekeying(path: str) -> None:
    with contextlib.suppress(NotEncryptedError):
        if inspect(path).rekeying:
            raise make(
                InUseError,
                "the database's data key is being changed, or the change was interrupted; "
                "run lumocrypt rekey to its end first",
                path=path,
            )
