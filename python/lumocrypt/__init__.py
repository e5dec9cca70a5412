"""Encryption at rest for the SQLite you already have.

    import lumocrypt
    conn = lumocrypt.connect("app.db", key="correct horse battery staple")

``conn`` is a ``sqlite3.Connection``. This module can be used wherever a DB-API module is asked for.
"""

from __future__ import annotations

import sqlite3
from importlib.metadata import version as _version
from sqlite3 import (
    PARSE_COLNAMES,
    PARSE_DECLTYPES,
    Binary,
    Blob,
    Connection,
    Cursor,
    DatabaseError,
    DataError,
    Date,
    DateFromTicks,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    PrepareProtocol,
    ProgrammingError,
    Row,
    Time,
    TimeFromTicks,
    TimestampFromTicks,
    Warning,
    adapt,
    adapters,
    apilevel,
    complete_statement,
    converters,
    enable_callback_tracebacks,
    paramstyle,
    register_adapter,
    register_converter,
    sqlite_version,
    sqlite_version_info,
    threadsafety,
)
from sqlite3.dbapi2 import Timestamp
from typing import Any

from . import native, translation
from .attach import attach
from .bench import Bench, CipherSpeed, KdfTime, bench
from .connection import connect
from .convert import Conversion, convert, decrypt, encrypt
from .damage import DamagedPage
from .derivation import derive_key
from .errors import (
    CryptError,
    HeaderDamagedError,
    InUseError,
    KdfLimitError,
    KeyRequiredError,
    KeySourceError,
    NotEncryptedError,
    TamperedError,
    UnsupportedFormatError,
    WrongDatabaseError,
    WrongKeyError,
)
from .gosqlite import CryptoVFS, crypto_vfs
from .header import RestoredHeader, backup_header, restore_header
from .importing import Import, import_sqlcipher
from .info import DatabaseInfo, Keyslot, info
from .kdf import PROFILES, Argon2id
from .keys import NO_KEY, Key
from .keyslots import add_key, change_key, keyslots, label_key, remove_key
from .kms import KmsKey
from .metrics import stats, stats_prometheus
from .native import Progress
from .recorder import LoggingRecorder, Recorder, file_kind_name
from .registration import install, known_stdlib, load, loadable_path
from .rekey import Rekeying, rekey
from .salvage import SalvagedTable, SalvageResult, salvage
from .unlocking import lock, unlock
from .verify import VerifyResult, verify

__version__ = _version("lumocrypt")

translation.install(known_stdlib, native.failure_behind)


def __getattr__(name: str) -> Any:
    # The SQLITE_* constants differ between builds of sqlite3; they are passed on as they are.
    if name.startswith("SQLITE_"):
        return getattr(sqlite3, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "NO_KEY",
    "PARSE_COLNAMES",
    "PARSE_DECLTYPES",
    "PROFILES",
    "Argon2id",
    "Bench",
    "Binary",
    "Blob",
    "CipherSpeed",
    "Connection",
    "Conversion",
    "CryptError",
    "CryptoVFS",
    "Cursor",
    "DamagedPage",
    "DataError",
    "DatabaseError",
    "DatabaseInfo",
    "Date",
    "DateFromTicks",
    "Error",
    "HeaderDamagedError",
    "Import",
    "InUseError",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "KdfLimitError",
    "KdfTime",
    "Key",
    "KeyRequiredError",
    "KeySourceError",
    "Keyslot",
    "KmsKey",
    "LoggingRecorder",
    "NotEncryptedError",
    "NotSupportedError",
    "OperationalError",
    "PrepareProtocol",
    "ProgrammingError",
    "Progress",
    "Recorder",
    "Rekeying",
    "RestoredHeader",
    "Row",
    "SalvageResult",
    "SalvagedTable",
    "TamperedError",
    "Time",
    "TimeFromTicks",
    "Timestamp",
    "TimestampFromTicks",
    "UnsupportedFormatError",
    "VerifyResult",
    "Warning",
    "WrongDatabaseError",
    "WrongKeyError",
    "__version__",
    "adapt",
    "adapters",
    "add_key",
    "apilevel",
    "attach",
    "backup_header",
    "bench",
    "change_key",
    "complete_statement",
    "connect",
    "convert",
    "converters",
    "crypto_vfs",
    "decrypt",
    "derive_key",
    "enable_callback_tracebacks",
    "encrypt",
    "file_kind_name",
    "import_sqlcipher",
    "info",
    "install",
    "keyslots",
    "label_key",
    "load",
    "loadable_path",
    "lock",
    "paramstyle",
    "register_adapter",
    "register_converter",
    "rekey",
    "remove_key",
    "restore_header",
    "salvage",
    "sqlite_version",
    "sqlite_version_info",
    "stats",
    "stats_prometheus",
    "threadsafety",
    "unlock",
    "verify",
]
