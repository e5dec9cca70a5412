"""The preloaded recorder: its source, and talking to it from the process that it is loaded into."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Mapping
from pathlib import Path

#: What the page cache takes as one.
PAGE = 4096
SOURCE = Path(__file__).with_name("recorder.c")
#: What it is linked with.
LIBRARIES = ("-ldl",)
#: Tells a worker which recorder is in front of its C library.
VARIABLE = "LD_PRELOAD"
#: What is called with the descriptor of a sync that fails.
_Failed = ctypes.CFUNCTYPE(None, ctypes.c_int)


class Recorder:
    """The recorder that this process was started with."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(os.environ[VARIABLE])
        self._library.recorder_log.restype = ctypes.c_void_p
        self._library.recorder_start.argtypes = [ctypes.c_char_p]
        self._library.recorder_mark.argtypes = [ctypes.c_int64]
        self._library.recorder_fail.argtypes = [
            ctypes.c_char_p, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int, _Failed,
        ]  # fmt: skip
        self._library.recorder_restore.argtypes = [
            ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int64,
        ]  # fmt: skip
        # The library does not keep it alive.
        self._failed = _Failed()

    def start(self, folder: Path) -> None:
        """Records the files of ``folder`` that are opened from now on."""
        self._library.recorder_start(os.fsencode(folder))

    def mark(self, number: int) -> None:
        """Puts a number into the log."""
        self._library.recorder_mark(number)

    def fail_sync(
        self, pattern: str, after: int, times: int, failed: Callable[[int], None] | None = None
    ) -> None:
        """In the recording that was started, ``times`` syncs fail after ``after`` others.

        Of files that are called like ``pattern``. ``failed`` gets the descriptor before the program learns of
        it.
        """
        self._failed = _Failed(failed) if failed else _Failed()
        self._library.recorder_fail(pattern.encode(), 0, after, times, errno.EIO, self._failed)

    def fail_write(self, pattern: str, after: int, error: int) -> None:
        """The same for one write, which fails with that number."""
        self._failed = _Failed()
        self._library.recorder_fail(pattern.encode(), 1, after, 1, error, self._failed)

    def evict(self, descriptor: int, pages: Mapping[int, bytes]) -> None:
        """Reads of an open file find these pages from here on, which are not written to the medium."""
        for page, content in pages.items():
            if self._library.recorder_restore(descriptor, content, len(content), page * PAGE):
                raise OSError(f"page {page} cannot be put back")
        self._library.recorder_evicted(descriptor)

    def stop(self) -> bytes:
        """Ends the recording; the log."""
        self._library.recorder_stop()
        return self.log()

    def log(self) -> bytes:
        """What was recorded so far."""
        length = ctypes.c_size_t()
        address = self._library.recorder_log(ctypes.byref(length))
        return ctypes.string_at(address, length.value) if length.value else b""
