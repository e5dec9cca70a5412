"""The error classes, and how an engine failure becomes one of them.

A VFS can hand SQLite nothing but a number. The engine therefore keeps a *failure record* per thread
(class, message, path, kind of file, number of the block), and :mod:`lumocrypt.engine.translation` puts it
back into the exception that the standard library raises for that number.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Generator

from .names import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Slower to load than all else that is loaded with the package.
    from typing import Any, ClassVar

# SQLite's result codes (https://sqlite.org/rescode.html) that the engine uses. The sqlite3 module exports
# the numbers too, but some share a value with an authorizer action, so that a lookup by value is ambiguous.
SQLITE_ERROR = 1
SQLITE_BUSY = 5
SQLITE_LOCKED = 6
SQLITE_NOMEM = 7
SQLITE_READONLY = 8
SQLITE_IOERR = 10
SQLITE_CANTOPEN = 14
SQLITE_CORRUPT = 11
SQLITE_FULL = 13
SQLITE_AUTH = 23
SQLITE_NOTADB = 26
SQLITE_IOERR_DATA = 8202

_CODE_NAMES = {
    SQLITE_ERROR: "SQLITE_ERROR",
    SQLITE_BUSY: "SQLITE_BUSY",
    SQLITE_LOCKED: "SQLITE_LOCKED",
    SQLITE_READONLY: "SQLITE_READONLY",
    SQLITE_IOERR: "SQLITE_IOERR",
    SQLITE_CORRUPT: "SQLITE_CORRUPT",
    SQLITE_FULL: "SQLITE_FULL",
    SQLITE_CANTOPEN: "SQLITE_CANTOPEN",
    SQLITE_AUTH: "SQLITE_AUTH",
    SQLITE_NOTADB: "SQLITE_NOTADB",
    SQLITE_IOERR_DATA: "SQLITE_IOERR_DATA",
}


class Failure:
    """One failure as the engine recorded it (docs/reference/c-abi.md, "Failure record")."""

    __slots__ = ("code", "file_kind", "message", "number", "path", "sqlite_pages", "status")

    def __init__(
        self,
        status: int,
        message: str,
        path: str | None = None,
        file_kind: str | None = None,
        number: int | None = None,
        code: int = 0,
        sqlite_pages: tuple[int, int] | None = None,
    ) -> None:
        self.status = status
        self.message = message
        self.path = path
        self.file_kind = file_kind
        #: Of the block, frame or extent, from 0.
        self.number = number
        #: SQLite's pages in the block, from 1: the first and the last.
        self.sqlite_pages = sqlite_pages
        self.code = code


#: What damage is numbered by, in files of different kinds.
UNIT_NAMES = ("block", "frame", "extent")
#: What a file of each kind is sealed in, and what its parts are called in errors and reports.
UNITS = {"wal": "frame", "journal": "extent", "temp-journal": "extent", "sub-journal": "extent"}


def unit(file_kind: str | None) -> str:
    """``"block"``, ``"frame"`` or ``"extent"``."""
    return UNITS.get(file_kind or "", "block")


def place(failure: Failure) -> dict[str, Any]:
    """The attributes of an error that say what a failure is about."""
    found: dict[str, Any] = {"path": failure.path, "file_kind": failure.file_kind}
    if failure.number is not None:
        found[unit(failure.file_kind)] = failure.number
    if failure.sqlite_pages is not None:
        first, last = failure.sqlite_pages
        found["sqlite_pages"] = tuple(range(first, last + 1))
    return found


def number_as_page(reported: Any) -> int | None:
    """What ``page`` was of an error or a report: a block, a frame or an extent."""
    import warnings

    warnings.warn(
        "page is deprecated, since it never was SQLite's: use block, frame, extent or sqlite_pages",
        DeprecationWarning,
        stacklevel=3,
    )
    numbers = (getattr(reported, name) for name in UNIT_NAMES)
    return next((number for number in numbers if number is not None), None)


class _ErrorCode:
    """``sqlite_errorcode`` of our classes.

    The standard library sets this attribute after it has made the exception. An exception that was
    translated because of its message is then checked against the exact code, and turned back into what
    it was if the record belongs to another failure.
    """

    def __get__(self, error: Any, owner: type | None = None) -> Any:
        if error is None:
            return self
        try:
            return error.__dict__["sqlite_errorcode"]
        except KeyError:
            raise AttributeError("sqlite_errorcode") from None

    def __set__(self, error: Any, code: int) -> None:
        state = error.__dict__
        original = state.pop("_untranslated", None)
        state["sqlite_errorcode"] = code
        if original is not None and not same_code(code, original.code, exact=original.exact):
            for name in ("path", "file_kind", *UNIT_NAMES, "sqlite_pages"):
                state.pop(name, None)
            error.__class__ = original.type
            error.args = original.args


class Untranslated:
    """What an exception was before its translation."""

    __slots__ = ("args", "code", "exact", "type")

    def __init__(
        self, kind: type[sqlite3.DatabaseError], args: tuple[Any, ...], code: int, *, exact: bool = False
    ) -> None:
        """``exact``: only the very same code will do."""
        self.type = kind
        self.args = args
        self.code = code
        self.exact = exact


def same_code(raised: int, recorded: int, *, exact: bool = False) -> bool:
    """Whether the code of an exception is the one that the engine returned.

    SQLite passes extended codes on, but reports the primary one in a few places; that will not do if
    ``exact`` is asked for.
    """
    return raised == recorded or (not exact and raised <= 0xFF and raised == recorded & 0xFF)


class CryptError(sqlite3.DatabaseError):
    """Base of all lumocrypt errors.

    ``path`` is the file concerned; ``file_kind`` is ``"main"``, ``"journal"``, ``"wal"``, ``"temp"``,
    ``"temp-journal"`` or ``"sub-journal"``. What of it is concerned counts from zero: a ``block`` of a main
    or temporary file, a ``frame`` of a WAL, or an ``extent`` of a journal. Each is None where it is not
    known.
    ``sqlite_pages`` are SQLite's numbers, from 1, of the pages in the block, where they are known.
    """

    path: str | None = None
    file_kind: str | None = None
    block: int | None = None
    frame: int | None = None
    extent: int | None = None
    sqlite_pages: tuple[int, ...] = ()
    sqlite_errorcode: int
    sqlite_errorname: str

    _default_code: ClassVar[int] = 1

    @property
    def page(self) -> int | None:
        """Deprecated: as ``block``, and of a log its frame or extent. It never was SQLite's page."""
        return number_as_page(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # A class made by combine() has no importable name: pickle as the public class it stands for.
        public = next(cls for cls in type(self).__mro__ if "_combined" not in cls.__dict__)
        return public, self.args, dict(self.__dict__)


# Not declared in the class body: a type checker should see a plain int.
setattr(CryptError, "sqlite_errorcode", _ErrorCode())  # noqa: B010


class KeyRequiredError(CryptError, sqlite3.OperationalError):
    """The database is encrypted and no key was given."""

    _default_code = SQLITE_AUTH


class WrongKeyError(CryptError, sqlite3.OperationalError):
    """The key opens none of the database's keyslots."""

    _default_code = SQLITE_AUTH


class KeySourceError(CryptError, sqlite3.OperationalError):
    """No usable key came from where it is kept: a key-management service, a keyring, a file.

    ``__cause__`` is what the service's own library raised, if it did.
    """

    _default_code = SQLITE_AUTH


class NotEncryptedError(CryptError):
    """The file is not a lumocrypt database; nothing was read from it or written to it."""

    _default_code = SQLITE_NOTADB


class TamperedError(CryptError, sqlite3.OperationalError):
    """A page or a log failed authentication: it was damaged, changed, or moved from another place."""

    _default_code = SQLITE_IOERR_DATA


class HeaderDamagedError(CryptError):
    """Both copies of the header, or of the WAL cell, are damaged."""

    _default_code = SQLITE_NOTADB


class UnsupportedFormatError(CryptError):
    """A newer format, an unknown suite, or key-derivation costs that do not exist."""

    _default_code = SQLITE_NOTADB


class KdfLimitError(CryptError, sqlite3.OperationalError):
    """To try a passphrase, the header asks for more key derivation than ``kdf_limit`` allows.

    Nothing of a header is authenticated before a key has opened it, so nothing was derived. The message names
    the limit with which the database opens.
    """

    _default_code = SQLITE_AUTH


class WrongDatabaseError(CryptError):
    """Another database than the one that was asked for, by its UUID or by a path that was unlocked."""

    _default_code = SQLITE_NOTADB


class InUseError(CryptError, sqlite3.OperationalError):
    """Other connections use the file in a way that forbids the operation."""

    _default_code = SQLITE_BUSY


#: The engine's failure classes (docs/reference/c-abi.md) that have an exception class of their own.
CLASSES: dict[int, type[CryptError]] = {
    1: KeyRequiredError,
    2: WrongKeyError,
    3: NotEncryptedError,
    4: TamperedError,
    5: HeaderDamagedError,
    6: UnsupportedFormatError,
    7: InUseError,
    12: KdfLimitError,
    13: WrongDatabaseError,
    # A file that is no database yet, as one of no bytes.
    14: CryptError,
}
_INVALID_ARGUMENT, _IO, _NO_MEMORY = 8, 9, 10

for _cls in (CryptError, KeySourceError, *CLASSES.values()):
    _cls.__module__ = "lumocrypt"


def combine(ours: type[CryptError], theirs: type[sqlite3.DatabaseError]) -> type[CryptError]:
    """Our class, made a subclass of the standard library's class if it is not one already.

    Which class sqlite3 raises depends on the SQLite code alone, so that each of ours can turn up where
    either a DatabaseError or an OperationalError would have been raised; ``except`` clauses for
    those must go on catching it.
    """
    if issubclass(ours, theirs):
        return ours
    made = _combinations.get((ours, theirs))
    if made is None:
        body = {"__module__": ours.__module__, "__doc__": ours.__doc__, "_combined": True}
        made = _combinations[ours, theirs] = type(ours.__name__, (ours, theirs), body)
    return made


_combinations: dict[tuple[type[CryptError], type[sqlite3.DatabaseError]], type[CryptError]] = {}


def describe(failure: Failure) -> str:
    """The message of a failure: which file, and the engine's words for what happened and what to do next."""
    if failure.path and shown(failure.path) not in failure.message:
        return f"{shown(failure.path)}: {failure.message}"
    return failure.message


def make(cls: type[CryptError], message: str, *, path: str | None = None) -> CryptError:
    """An error raised by the Python side, with the attributes that the engine's errors have."""
    error = cls(describe(Failure(0, message, path)))
    _fill(error, Failure(0, message, path), cls._default_code)  # pyright: ignore[reportPrivateUsage]
    return error


def exception_from(failure: Failure) -> Exception:
    """The exception for a failure of a direct engine call (no SQLite in between)."""
    cls = CLASSES.get(failure.status)
    message = describe(failure)
    if cls is not None:
        error = cls(message)
        code = failure.code or cls._default_code  # pyright: ignore[reportPrivateUsage]
        _fill(error, failure, code)
        return error
    if failure.status == _INVALID_ARGUMENT:
        return ValueError(message)
    if failure.status == _NO_MEMORY:
        return MemoryError(message)
    if failure.status == _IO:
        return _io_error(failure, message)
    return CryptError(message)


# How Rust's std::io::Error ends; the number is the operating system's.
_OS_ERROR = "(os error "


def os_error(message: str, path: str | None) -> OSError | None:
    """The error of the operating system that the engine's ``message`` is about, if it is about one."""
    _, found, rest = message.partition(_OS_ERROR)
    digits, end, _ = rest.partition(")")
    if not found or not end or not digits.isdecimal():
        return None
    return OSError(int(digits), os.strerror(int(digits)), path)


def _io_error(failure: Failure, message: str) -> Exception:
    error = os_error(failure.message, failure.path)
    if error is not None:
        return error
    primary = failure.code & 0xFF
    if primary == SQLITE_FULL:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), failure.path)
    if primary == SQLITE_READONLY:
        return PermissionError(errno.EACCES, os.strerror(errno.EACCES), failure.path)
    refused = sqlite3.OperationalError(message)
    code = failure.code or SQLITE_IOERR
    refused.sqlite_errorcode = code
    refused.sqlite_errorname = error_name(code)
    return refused


def _fill(error: CryptError, failure: Failure, code: int) -> None:
    error.__dict__.update(place(failure))
    error.sqlite_errorcode = code
    error.sqlite_errorname = error_name(code)


def error_name(code: int) -> str:
    """The symbolic name of a SQLite result code, of its primary code if the extended one is not known."""
    return _CODE_NAMES.get(code) or _CODE_NAMES.get(code & 0xFF, "SQLITE_ERROR")


@contextlib.contextmanager
def quoting_files() -> Generator[None, None, None]:
    """Around SQL on a database that anybody may have written.

    SQLite's messages quote names of a damaged schema as they are; where that is not UTF-8 the sqlite3 module
    raises UnicodeDecodeError in place of the failure, which is the DatabaseError that this raises.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        message = error.object.decode("utf-8", "replace")
    else:
        return
    raise sqlite3.DatabaseError(message)


def is_busy(error: sqlite3.Error) -> bool:
    """Whether SQLite refused because somebody else holds a lock."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (SQLITE_BUSY, SQLITE_LOCKED)
