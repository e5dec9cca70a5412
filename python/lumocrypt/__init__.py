"""Encryption at rest for the SQLite you already have.

    import lumocrypt
    conn = lumocrypt.connect("app.db", key="correct horse battery staple")

``conn`` is a ``sqlite3.Connection``. This module can be used wherever a DB-API module is asked for.
"""

from __future__ import annotations

import importlib
import os
import sqlite3
from _thread import RLock
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

from .engine import native, translation
from .engine.registration import known_stdlib
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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__version__: str

# A program needs few of these names: each is loaded when it is first asked for. The statements are for
# those who read code instead of running it: type checkers, and programs that pack others into one file.
# EAGER_IMPORT, which other packages know too, has them executed.
if TYPE_CHECKING or os.environ.get("EAGER_IMPORT"):
    from .database.convert import Conversion, convert, decrypt, encrypt
    from .database.header import RestoredHeader, backup_header, restore_header
    from .database.info import info
    from .database.keyslots import add_key, change_key, keyslots, label_key, remove_key
    from .database.rekey import Rekeying, rekey
    from .database.verify import VerifyResult, verify
    from .engine.metrics import stats, stats_prometheus
    from .engine.native import Progress
    from .engine.recorder import LoggingRecorder, Recorder, file_kind_name
    from .engine.registration import install, load, loadable_path
    from .foreign.derivation import derive_key
    from .foreign.gosqlite import CryptoVFS, crypto_vfs
    from .foreign.import_sqlcipher import Import, import_sqlcipher
    from .keys.bench import Bench, CipherSpeed, KdfTime, bench
    from .keys.inspection import DatabaseInfo, Keyslot
    from .keys.kdf import PROFILES, Argon2id
    from .keys.key import NO_KEY, Key
    from .keys.kms import KmsKey
    from .keys.unlocking import lock, unlock
    from .opening.attach import attach
    from .opening.connection import connect
    from .pages.damage import DamagedPage, KeyRange
    from .salvaging.salvage import SalvagedTable, SalvageResult, salvage

_NAMES = {
    "database.convert": ("Conversion", "convert", "decrypt", "encrypt"),
    "database.header": ("RestoredHeader", "backup_header", "restore_header"),
    "database.info": ("info",),
    "database.keyslots": ("add_key", "change_key", "keyslots", "label_key", "remove_key"),
    "database.rekey": ("Rekeying", "rekey"),
    "database.verify": ("VerifyResult", "verify"),
    "engine.metrics": ("stats", "stats_prometheus"),
    "engine.native": ("Progress",),
    "engine.recorder": ("LoggingRecorder", "Recorder", "file_kind_name"),
    "engine.registration": ("install", "load", "loadable_path"),
    "foreign.derivation": ("derive_key",),
    "foreign.gosqlite": ("CryptoVFS", "crypto_vfs"),
    "foreign.import_sqlcipher": ("Import", "import_sqlcipher"),
    "keys.bench": ("Bench", "CipherSpeed", "KdfTime", "bench"),
    "keys.inspection": ("DatabaseInfo", "Keyslot"),
    "keys.kdf": ("PROFILES", "Argon2id"),
    "keys.key": ("NO_KEY", "Key"),
    "keys.kms": ("KmsKey",),
    "keys.unlocking": ("lock", "unlock"),
    "opening.attach": ("attach",),
    "opening.connection": ("connect",),
    "pages.damage": ("DamagedPage", "KeyRange"),
    "salvaging.salvage": ("SalvagedTable", "SalvageResult", "salvage"),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}

# Python's locks on modules stay held in a child whose parent forks while another thread imports.
_loading = RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_loading.acquire, after_in_parent=_loading.release, after_in_child=_loading.release
    )

translation.install(known_stdlib, native.failure_behind)


def __getattr__(name: str) -> Any:
    value: Any
    if name in _MODULES:
        with _loading:
            value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    elif name == "__version__":
        from importlib.metadata import version

        value = version("lumocrypt")
    elif name == "lmdb":
        with _loading:
            value = importlib.import_module(f"{__name__}.lmdb")
    elif name.startswith("SQLITE_"):
        # These constants differ between builds of sqlite3; they are passed on as they are.
        return getattr(sqlite3, name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # From now on it is found without this function.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


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
    "KeyRange",
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
