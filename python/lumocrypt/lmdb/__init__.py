"""Encrypted LMDB environments, with py-lmdb's names.

import lumocrypt.lmdb
env = lumocrypt.lmdb.open("app.lmdb", key="correct horse battery staple")
"""

from .cursor import Cursor
from .database import Database as _Database
from .engine import version
from .environment import Environment
from .errors import (
    BadChecksumError,
    BadDbiError,
    BadRslotError,
    BadTxnError,
    BadValsizeError,
    CorruptedError,
    CryptoFailError,
    CursorFullError,
    DbsFullError,
    DiskError,
    EnvEncryptionError,
    Error,
    IncompatibleError,
    InvalidError,
    InvalidParameterError,
    KeyExistsError,
    LockError,
    MapFullError,
    MapResizedError,
    MemoryError,
    NotFoundError,
    PageFullError,
    PageNotFoundError,
    PanicError,
    ProblemError,
    ReadersFullError,
    ReadonlyError,
    TlsFullError,
    TxnFullError,
    VersionMismatchError,
)
from .transaction import Transaction

open = Environment

__all__ = [
    "BadChecksumError", "BadDbiError", "BadRslotError", "BadTxnError", "BadValsizeError", "CorruptedError",
    "CryptoFailError", "Cursor", "CursorFullError", "DbsFullError", "DiskError", "EnvEncryptionError",
    "Environment", "Error", "IncompatibleError", "InvalidError", "InvalidParameterError", "KeyExistsError",
    "LockError", "MapFullError", "MapResizedError", "MemoryError", "NotFoundError", "PageFullError",
    "PageNotFoundError", "PanicError", "ProblemError", "ReadersFullError", "ReadonlyError", "TlsFullError",
    "Transaction", "TxnFullError", "VersionMismatchError", "_Database", "open", "version",
]  # fmt: skip
