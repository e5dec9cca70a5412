"""VFSs of the gosqlite format: databases without a header, readable by the Go package of that name."""

from __future__ import annotations

import contextlib
import threading
from types import TracebackType
from typing import final

from ..engine import native, recorder
from ..engine.recorder import Recorder
from ..engine.registration import stdlib_host
from ..errors import InUseError
from ..keys.key import Hidden, hiding

#: The ciphers of the format and the bytes of their keys.
KEY_BYTES = {"adiantum": 32, "aes-256-xts": 64}
#: SQLite's default page size, in bytes, and all that it has.
DEFAULT_PAGE_SIZE = 4096
PAGE_SIZES = tuple(2**exponent for exponent in range(9, 17))


@final
class CryptoVFS:
    """A registered VFS; :func:`crypto_vfs` makes them.

    It stays registered, and its key in memory, until :meth:`close` or the end of the process, also when the
    object is gone: a connection may still need it. As a context manager it closes itself.
    """

    __slots__ = ("_closed", "_lock", "_name", "_number", "_recorder")

    def __init__(self, number: int, name: str, recorder_number: int) -> None:
        """For :func:`crypto_vfs`."""
        self._number = number
        self._name = name
        self._recorder = recorder_number
        self._closed = False
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """What to put behind ``vfs=`` in a URI; random, and nobody else's in this process."""
        return self._name

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def close(self) -> None:
        """Unregisters the VFS and wipes its key. Closing it again does nothing.

        Raises InUseError while databases are open through it; nothing has changed then.
        """
        with self._lock:
            if not self._closed:
                native.gosqlite_close(self._number)
                self._closed = True
                recorder.forget(self._recorder)

    def __enter__(self) -> CryptoVFS:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # An exception matters more than the connection that it keeps open.
        with contextlib.suppress(*([InUseError] if kind is not None else [])):
            self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<lumocrypt.CryptoVFS {self._name} {state}>"


@hiding("key")
def crypto_vfs(
    key: bytes | bytearray | memoryview,
    cipher: str = "adiantum",
    page_size: int = DEFAULT_PAGE_SIZE,
    recorder: Recorder | None = None,
    wrap_vfs: str | None = None,
) -> CryptoVFS:
    """Registers a VFS for databases in the gosqlite format and returns it.

        with lumocrypt.crypto_vfs(key) as vfs:
            connection = sqlite3.connect(f"file:app.db?vfs={vfs.name}", uri=True)

    The main file, its journal or WAL, and temporary files are encrypted block by block under the key;
    nothing is authenticated (SECURITY.md). ``lumocrypt.connect`` is for databases that only lumocrypt has
    to read.

    ``key``: 32 bytes for ``cipher="adiantum"``, 64 for ``"aes-256-xts"``, which must not be twice the same
    32; the engine keeps a copy in locked memory, so a bytearray may be wiped afterwards. ``page_size``: bytes
    of a block of the main file, a power of two from 512 to 65536; as a rule, and always in a database that is
    made here, ``PRAGMA page_size``. ``recorder`` is told of every read and write. ``wrap_vfs`` names the VFS
    that does the work, SQLite's default one if None.

    Raises ValueError for a key of another length, equal halves, an unknown cipher, a bad page size or an
    unknown ``wrap_vfs``; TypeError for a key that is no bytes; sqlite3.NotSupportedError as
    :func:`lumocrypt.connect` does. A wrong key or page size is an error of the first statement:
    WrongKeyError, UnsupportedFormatError or NotEncryptedError.
    """
    hidden = Hidden(key)
    return _register(hidden, cipher, page_size, recorder, wrap_vfs)


def _register(
    hidden: Hidden, cipher: str, page_size: int, listener: Recorder | None, wrap_vfs: str | None
) -> CryptoVFS:
    if cipher not in KEY_BYTES:
        raise ValueError(f"cipher={cipher!r}: the ciphers of this format are {' and '.join(KEY_BYTES)}")
    if page_size not in PAGE_SIZES:
        raise ValueError(f"page_size={page_size!r}: it must be a power of two from 512 to 65536")
    material = hidden.sized(KEY_BYTES[cipher], f"a key for {cipher}")
    number = recorder.keep(listener) if listener is not None else 0
    function = recorder.callback() if listener is not None else None
    status, vfs, name = native.gosqlite_open(
        stdlib_host().number, wrap_vfs, cipher, material, page_size, function, number
    )
    del material
    if status:
        recorder.forget(number)
        raise native.key_failure(status)
    return CryptoVFS(vfs, name, number)
