"""Recorders: what is told of every read and write of a VFS of the gosqlite format."""

from __future__ import annotations

import atexit
import functools
import logging
import threading
from typing import Any, Protocol, runtime_checkable

from . import native

#: The kinds of files, by the numbers that the format gives them (docs/reference/format.md).
_KINDS = {1: "main", 2: "journal", 3: "wal", 4: "temp", 5: "temp-journal", 6: "sub-journal"}
_SQLITE_OK = 0
#: A read behind the end of a file: every new database begins with some.
_SQLITE_IOERR_SHORT_READ = 522
_READ = 0


def file_kind_name(kind: int) -> str:
    """The name of a kind of file: ``"main"``, ``"journal"``, ``"wal"``, ``"temp"``, ``"temp-journal"`` or
    ``"sub-journal"``, as in :func:`lumocrypt.stats` and ``CryptError.file_kind``.

    Numbers that are no kind are ``"unencrypted"``: a label for logs and metrics never fails.
    """
    return _KINDS.get(kind, "unencrypted")


@runtime_checkable
class Recorder(Protocol):
    """Is told of each read and write that SQLite makes through a VFS, after it was made.

    The methods are called on the thread that runs the statement, which waits for them; in SQLite's calls,
    not in system calls (a write of a part of a block is one event, and a read and a write below). ``kind``
    is the kind of file (:func:`file_kind_name`), ``offset`` and ``size`` are what SQLite asked for, in
    bytes, ``seconds`` how long it took, ``rc`` SQLite's result code: 0, or 522 (SQLITE_IOERR_SHORT_READ)
    for a read behind the end of the file, or an error. What a method raises goes to ``sys.unraisablehook``
    and changes nothing.
    """

    def on_read(self, kind: int, offset: int, size: int, seconds: float, rc: int) -> object:
        """A read has ended."""
        ...

    def on_write(self, kind: int, offset: int, size: int, seconds: float, rc: int) -> object:
        """A write has ended."""
        ...


class LoggingRecorder:
    """A :class:`Recorder` that writes one log record per event.

    Level DEBUG for what succeeds and for reads behind the end of a file, WARNING for everything else. The
    numbers are attributes of the record, too: ``kind`` (the name), ``offset``, ``size``, ``seconds``,
    ``rc``.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        """``logger``: the one named ``lumocrypt.vfs`` if None."""
        self._logger = logger or logging.getLogger("lumocrypt.vfs")

    def on_read(self, kind: int, offset: int, size: int, seconds: float, rc: int) -> None:
        """Logs a read."""
        self._log("read", kind, offset, size, seconds, rc)

    def on_write(self, kind: int, offset: int, size: int, seconds: float, rc: int) -> None:
        """Logs a write."""
        self._log("write", kind, offset, size, seconds, rc)

    def _log(self, operation: str, kind: int, offset: int, size: int, seconds: float, rc: int) -> None:
        level = logging.DEBUG if rc in (_SQLITE_OK, _SQLITE_IOERR_SHORT_READ) else logging.WARNING
        if self._logger.isEnabledFor(level):
            name = file_kind_name(kind)
            self._logger.log(
                level,
                "%s of %s: %d bytes at %d, %.6f s, rc=%d",
                *(operation, name, size, offset, seconds, rc),
                extra={"kind": name, "offset": offset, "size": size, "seconds": seconds, "rc": rc},
            )


_lock = threading.Lock()
_recorders: dict[int, Recorder] = {}
_next = 1


def keep(recorder: Recorder) -> int:
    """A number under which the engine reports to ``recorder``, until :func:`forget`."""
    global _next
    with _lock:
        number, _next = _next, _next + 1
        _recorders[number] = recorder
        return number


def forget(number: int) -> None:
    """Reports under ``number`` go nowhere any more."""
    with _lock:
        _recorders.pop(number, None)


def _tell(number: int, operation: int, kind: int, offset: int, size: int, nanoseconds: int, rc: int) -> None:
    # Without the lock: dict.get is atomic, and a recorder may make or close VFSs.
    recorder = _recorders.get(number)
    if recorder is None:
        return
    try:
        method = recorder.on_read if operation == _READ else recorder.on_write
        method(kind, offset, size, nanoseconds / 1e9, rc)
    except BaseException as error:
        _report(error)


class _Raised:
    """Hands an exception to ``sys.unraisablehook``, which has no other entrance for Python code."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __del__(self) -> None:
        raise self._error


def _report(error: BaseException) -> None:
    _Raised(error)


@functools.cache
def _make_callback() -> Any:
    # Kept for ever: the engine may be about to call it on another thread. And not at the interpreter's end.
    atexit.register(native.recorders_stop)
    return native.recorder_callback(_tell)


def callback() -> Any:
    """The C function that the engine calls."""
    with _lock:
        return _make_callback()
