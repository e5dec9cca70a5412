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

from .database.convert import Conversion, convert, decrypt, encrypt
from .database.header import RestoredHeader, backup_header, restore_header
from .database.keyslots import add_key, change_key, keyslots, label_key, remove_key
from .database.rekey import Rekeying, rekey
from .database.verify import VerifyResult, verify
from .engine import native, translation
from .engine.metrics import stats, stats_prometheus
from .engine.native import Progress
from .engine.recorder import LoggingRecorder, Recorder, file_kind_name
from .engine.registration import install, known_stdlib, load, loadable_path
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
from .foreign.derivation import derive_key
from .foreign.gosqlite import CryptoVFS, crypto_vfs
from .foreign.import_sqlcipher import Import, import_sqlcipher
from .keys.bench import Bench, CipherSpeed, KdfTime, bench
from .keys.inspection import DatabaseInfo, Keyslot, info
from .keys.kdf import PROFILES, Argon2id
from .keys.key import NO_KEY, Key
from .keys.kms import KmsKey
from .keys.unlocking import lock, unlock
from .opening.attach import attach
from .opening.connection import connect
from .pages.damage import DamagedPage
from .salvaging.salvage import SalvagedTable, SalvageResult, salvage

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
