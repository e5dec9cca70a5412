"""py-lmdb's exceptions, and how the engine's failures become them.

Errors about keys or damage are ours, too: ``except lumocrypt.WrongKeyError`` and
``except lmdb.Error`` both catch it.
"""

from __future__ import annotations

import errno

from .. import errors as ours
from ..engine import native


class Error(Exception):
    """Whatever goes wrong in an LMDB environment."""

    #: LMDB's code, or the system's error number.
    code: int = 0


class KeyExistsError(Error):
    """The pair of key and value is there already."""


class NotFoundError(Error):
    """There is no such key, or no such database."""


class PageNotFoundError(Error):
    """A page is not there."""


class CorruptedError(Error):
    """A page is damaged, or not the one that belongs in its place."""


class PanicError(Error):
    """A meta page could not be written; the environment can no longer be used."""


class VersionMismatchError(Error):
    """The environment is of another version of LMDB."""


class InvalidError(Error):
    """The file is no LMDB environment."""


class MapFullError(Error):
    """The limit of ``map_size=`` is reached."""


class DbsFullError(Error):
    """The limit of ``max_dbs=`` is reached."""


class ReadersFullError(Error):
    """The limit of ``max_readers=`` is reached."""


class TlsFullError(Error):
    """There are too many environments in this process."""


class TxnFullError(Error):
    """The transaction is too large."""


class CursorFullError(Error):
    """The tree is deeper than a cursor."""


class PageFullError(Error):
    """A page has no more room."""


class MapResizedError(Error):
    """The environment has grown beyond this process's ``map_size=``."""


class IncompatibleError(Error):
    """The database is of another kind than the operation is for."""


class BadRslotError(Error):
    """A reader's slot was used twice."""


class BadTxnError(Error):
    """The transaction has failed, or one within it has not ended."""


class BadValsizeError(Error):
    """A key is empty or too long, or a value has a size that it may not have."""


class BadDbiError(Error):
    """The database is not there any more, or is one of another environment."""


class ProblemError(Error):
    """The transaction cannot go on."""


class BadChecksumError(Error):
    """A page has another checksum than it should."""


class CryptoFailError(Error):
    """A page does not open under this key."""


class EnvEncryptionError(Error):
    """The environment is encrypted and no key was given, or the other way round."""


class InvalidParameterError(Error):
    """An argument is wrong."""


class ReadonlyError(Error):
    """The transaction or the environment is for reading only."""


class LockError(Error):
    """Another process has the environment locked."""


class MemoryError(Error):
    """There is no memory."""


class DiskError(Error):
    """There is no more room on the disk."""


_BY_CODE: dict[int, type[Error]] = {
    -30799: KeyExistsError,
    -30798: NotFoundError,
    -30797: PageNotFoundError,
    -30796: CorruptedError,
    -30795: PanicError,
    -30794: VersionMismatchError,
    -30793: InvalidError,
    -30792: MapFullError,
    -30791: DbsFullError,
    -30790: ReadersFullError,
    -30789: TlsFullError,
    -30788: TxnFullError,
    -30787: CursorFullError,
    -30786: PageFullError,
    -30785: MapResizedError,
    -30784: IncompatibleError,
    -30783: BadRslotError,
    -30782: BadTxnError,
    -30781: BadValsizeError,
    -30780: BadDbiError,
    -30779: ProblemError,
    -30778: BadChecksumError,
    -30777: CryptoFailError,
    -30776: EnvEncryptionError,
    -30770: ReadonlyError,
    errno.EINVAL: InvalidParameterError,
    errno.EACCES: ReadonlyError,
    errno.EAGAIN: LockError,
    errno.ENOMEM: MemoryError,
    errno.ENOSPC: DiskError,
}
#: py-lmdb's class that an exception of ours is an instance of, too.
_BESIDE: dict[type[ours.CryptError], type[Error]] = {
    ours.KeyRequiredError: EnvEncryptionError,
    ours.NotEncryptedError: EnvEncryptionError,
    ours.WrongKeyError: CryptoFailError,
    ours.TamperedError: CorruptedError,
    ours.HeaderDamagedError: CorruptedError,
    ours.UnsupportedFormatError: InvalidError,
}
_combined: dict[type[ours.CryptError], type[ours.CryptError]] = {}


def _both(cls: type[ours.CryptError]) -> type[ours.CryptError]:
    made = _combined.get(cls)
    if made is None:
        # Pickled as the class of ours that it stands for.
        body = {"__module__": cls.__module__, "__doc__": cls.__doc__, "_combined": True}
        made = _combined[cls] = type(cls.__name__, (cls, _BESIDE.get(cls, Error)), body)
    return made


def failure(what: str) -> Exception:
    """The exception for the failure that ``what`` has just had in this thread."""
    record = native.take_failure()
    if record is None:
        return Error(f"{what}: the engine reported a failure without details")
    if record.status not in ours.CLASSES:
        if not record.code and record.status == 8:
            return ours.exception_from(record)
        number = record.code or getattr(ours.os_error(record.message, record.path), "errno", 0)
        return from_code(number, f"{what}: {ours.describe(record)}")
    error = ours.exception_from(record)
    if isinstance(error, ours.CryptError):
        error.__class__ = _both(type(error))
    return error


def from_code(code: int, message: str) -> Error:
    """The exception for a code of LMDB's or of the system's."""
    error = _BY_CODE.get(code, Error)(message)
    error.code = code
    return error


def closed() -> Error:
    """The exception for something that has ended."""
    return Error("attempt to operate on closed/deleted/dropped object: it has ended; open another one")
