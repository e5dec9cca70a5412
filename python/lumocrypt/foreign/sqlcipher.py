"""The pages of a SQLCipher 4 database, with the default parameters of that version.

    offset  page 1: 16 bytes of salt, then as every page: ciphertext, 16 bytes of IV, 64 bytes of HMAC

Pages have 4096 bytes; AES-256-CBC without padding; HMAC-SHA-512 over ciphertext, IV and the page number as
4 bytes, little-endian. The encryption key is PBKDF2-HMAC-SHA512(passphrase, salt, 256,000), the key of the
HMAC PBKDF2-HMAC-SHA512(encryption key, salt with 0x3a on every byte by XOR, 2). Sources:
https://www.zetetic.net/sqlcipher/design/ and the defaults of SQLCipher 4.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import hmac
import os
import re
import resource
import struct
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from ..errors import CryptError, InUseError, NotEncryptedError, TamperedError, WrongKeyError, make
from ..errors.names import shown
from ..files.attributes import Attributes
from ..files.paths import existing_file, size
from ..keys.key import Hidden

PAGE_BYTES = 4096
_SALT_BYTES, _IV_BYTES, _TAG_BYTES = 16, 16, 64
#: What each page keeps for IV and HMAC. SQLite's header names it as reserved space.
RESERVED_BYTES = _IV_BYTES + _TAG_BYTES
_KEY_BYTES = 32
_PASSPHRASE_ROUNDS, _TAG_KEY_ROUNDS = 256_000, 2
_TAG_SALT_MASK = 0x3A

_SQLITE_MAGIC = b"SQLite format 3\0"
_WAL_HEADER_BYTES = 32
# Where SQLite takes its locks (https://sqlite.org/lockingv3.html): PENDING, RESERVED, 510 bytes of SHARED.
_PENDING_BYTE, _LOCK_BYTES, _SHARED_OFFSET = 1 << 30, 512, 2
# Offset of the file format's write version in page 1: 2 is WAL mode.
_WRITE_VERSION_AT, _WAL_MODE = 18, 2

_RAW = re.compile(r"[xX]'([0-9a-fA-F]*)'")
_RAW_DIGITS = (64, 96)
#: How many numbers are tried where /proc does not say which descriptors there are: a second's worth.
_MOST_DESCRIPTORS = 1 << 20


class SqlcipherKey:
    """A passphrase, or ``x'<64 hex digits>'``, or ``x'<96 hex digits>'`` with the salt behind the key.

    Raises ValueError for an empty text and for ``x'...'`` of another length, TypeError for anything but text.
    """

    __slots__ = ("_passphrase", "_raw", "_salt")

    def __init__(self, hidden: Hidden) -> None:
        text = hidden.utf8().decode("utf-8")
        self._passphrase: bytes | None = None
        self._raw: bytes | None = None
        self._salt: bytes | None = None
        if not text:
            raise ValueError("the key of the SQLCipher database is empty")
        if text[:2].lower() != "x'":
            self._passphrase = text.encode("utf-8")
            return
        digits = _RAW.fullmatch(text)
        if digits is None or len(digits[1]) not in _RAW_DIGITS:
            raise ValueError(
                "a raw key of SQLCipher is written x'...' with 64 hexadecimal digits, or 96 with the salt"
            )
        raw = bytes.fromhex(digits[1])
        self._raw, self._salt = raw[:_KEY_BYTES], raw[_KEY_BYTES:] or None

    def __repr__(self) -> str:
        return "<SqlcipherKey>"

    def derive(self, salt: bytes) -> tuple[bytes, bytes]:
        """The keys of cipher and HMAC for a file that begins with ``salt``."""
        salt = self._salt or salt
        key = self._raw
        if key is None:
            assert self._passphrase is not None
            key = _pbkdf2(self._passphrase, salt, _PASSPHRASE_ROUNDS)
        return key, _pbkdf2(key, bytes(byte ^ _TAG_SALT_MASK for byte in salt), _TAG_KEY_ROUNDS)


def _pbkdf2(secret: bytes, salt: bytes, rounds: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha512", secret, salt, rounds, _KEY_BYTES)


def _own_descriptors() -> Iterable[int]:
    """The numbers of this process's open files, and perhaps others."""
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        # Without /proc all numbers have to be tried.
        return range(min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], _MOST_DESCRIPTORS))


class SqlcipherFile:
    """A database that nobody else uses, to read pages from; a context manager.

    Entering takes SQLite's locks, the exclusive one where the file may be written. Raises InUseError where
    somebody has the database open, CryptError where a log has to be recovered first or the file's length is
    not that of a database, NotEncryptedError for a plaintext database, FileNotFoundError, PermissionError.
    """

    def __init__(self, path: str) -> None:
        self.path = existing_file(path)
        self._descriptor = -1
        self._keys: Any = None
        #: Bytes in the file.
        self.size = 0

    def __enter__(self) -> Self:
        self._refuse_own_connections()
        self._writable = os.access(self.path, os.W_OK)
        self._descriptor = os.open(
            self.path, (os.O_RDWR if self._writable else os.O_RDONLY) | os.O_NOFOLLOW | os.O_CLOEXEC
        )
        try:
            self._lock()
            self._check_files()
        except BaseException:
            os.close(self._descriptor)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keys = None
        os.close(self._descriptor)

    def _refuse_own_connections(self) -> None:
        # Closing our descriptor would drop all locks that this process has on the file.
        status = os.stat(self.path)
        for descriptor in _own_descriptors():
            try:
                other = os.fstat(descriptor)
            except OSError:
                continue
            if (other.st_dev, other.st_ino) == (status.st_dev, status.st_ino):
                raise self._in_use("this process")

    def _lock(self) -> None:
        kind, offset = (fcntl.F_WRLCK, 0) if self._writable else (fcntl.F_RDLCK, _SHARED_OFFSET)
        # struct flock: type, whence, start, length, pid. Locks of the descriptor, since those of the process
        # would not keep its own connections away.
        lock = struct.pack("@hhqqi4x", kind, os.SEEK_SET, _PENDING_BYTE + offset, _LOCK_BYTES - offset, 0)
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, lock)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise self._in_use("another process") from None

    def _in_use(self, who: str) -> CryptError:
        return make(InUseError, f"{who} has the database open; close it there and try again", path=self.path)

    def _check_files(self) -> None:
        self.size = os.fstat(self._descriptor).st_size
        if os.pread(self._descriptor, len(_SQLITE_MAGIC), 0) == _SQLITE_MAGIC:
            raise make(
                NotEncryptedError,
                "the file begins like a plaintext database; encrypt one with `lumocrypt encrypt` "
                "(of SQLCipher's, those with a plaintext header cannot be imported)",
                path=self.path,
            )
        if self.size % PAGE_BYTES:
            raise make(
                CryptError,
                f"{self.size:,} bytes are no whole pages of {PAGE_BYTES}: the file was cut, or is no "
                "SQLCipher 4 database with default parameters",
                path=self.path,
            )
        if size(self.path + "-wal") > _WAL_HEADER_BYTES:
            raise self._unfinished("-wal", "commits that are not in the database file yet")
        if self._is_hot(self.path + "-journal"):
            raise self._unfinished("-journal", "what undoes an interrupted transaction")

    def _is_hot(self, journal: str) -> bool:
        # A finished one is empty (journal_mode=TRUNCATE) or begins with zeros (PERSIST).
        try:
            with open(journal, "rb") as file:
                return any(file.read(28))
        except FileNotFoundError:
            return False

    def _unfinished(self, suffix: str, what: str) -> CryptError:
        return make(
            CryptError,
            f"{shown(self.path + suffix)} holds {what}; open the database once with SQLCipher, run "
            "PRAGMA wal_checkpoint(TRUNCATE), close it, and import it then",
            path=self.path,
        )

    def attributes(self) -> Attributes:
        """What the file carries besides its bytes."""
        return Attributes.of(self._descriptor)

    def unlock(self, key: SqlcipherKey) -> None:
        """Derives the keys and checks page 1.

        Raises WrongKeyError if the key opens none of the first pages, TamperedError if it opens others but
        not page 1, PermissionError for a database in WAL mode that only a writer could hold still,
        ImportError without the package cryptography.
        """
        self._keys = key.derive(os.pread(self._descriptor, _SALT_BYTES, 0))
        try:
            first = self.page(1)
        except TamperedError:
            if any(self._opens(number) for number in range(2, min(self.size // PAGE_BYTES, 16) + 1)):
                raise
            raise make(
                WrongKeyError,
                "the key does not open the first page: it is another one, or the database has other "
                "parameters than the defaults of SQLCipher 4",
                path=self.path,
            ) from None
        if first[_WRITE_VERSION_AT] == _WAL_MODE and not self._writable:
            raise PermissionError(
                errno.EACCES,
                "a database in WAL mode cannot be held still without write permission; copy it first",
                self.path,
            )

    def _opens(self, number: int) -> bool:
        try:
            return any(self.page(number))
        except TamperedError:
            return False

    def page(self, number: int) -> bytes:
        """A page in clear, counted from 1, with zeros as its reserved bytes.

        A page of nothing but zeros was never written and stays one, as in SQLCipher. Raises TamperedError.
        """
        page = os.pread(self._descriptor, PAGE_BYTES, (number - 1) * PAGE_BYTES)
        cipher_key, tag_key = self._keys
        start = _SALT_BYTES if number == 1 else 0
        content, iv = page[start:-RESERVED_BYTES], page[-RESERVED_BYTES:-_TAG_BYTES]
        expected = hmac.digest(tag_key, content + iv + struct.pack("<I", number), "sha512")
        if not hmac.compare_digest(expected, page[-_TAG_BYTES:]):
            if number > 1 and len(page) == PAGE_BYTES and not any(page):
                return page
            error = make(
                TamperedError,
                f"page {number} of the SQLCipher database does not authenticate: it was changed, moved or "
                "damaged",
                path=self.path,
            )
            error.file_kind, error.block, error.sqlite_pages = "main", number - 1, (number,)
            raise error
        clear = _aes_cbc(cipher_key, iv, content)
        return (_SQLITE_MAGIC if number == 1 else b"") + clear + bytes(RESERVED_BYTES)

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the database in clear. Raises TamperedError."""
        first, last = offset // PAGE_BYTES, -(-(offset + length) // PAGE_BYTES)
        pages = b"".join(self.page(index + 1) for index in range(first, last))
        return pages[offset - first * PAGE_BYTES :][:length]


def _aes_cbc(key: bytes, iv: bytes, content: bytes) -> bytes:
    ciphers = _ciphers()
    decryptor = ciphers.Cipher(ciphers.algorithms.AES(key), ciphers.modes.CBC(iv)).decryptor()
    return decryptor.update(content) + decryptor.finalize()


def _ciphers() -> Any:
    try:
        from cryptography.hazmat.primitives import ciphers
    except ImportError as error:
        raise ImportError(
            "reading SQLCipher databases needs the package cryptography: pip install 'lumocrypt[sqlcipher]'"
        ) from error
    return ciphers
