"""The tests of CPython's suite that cannot pass with an encrypted file in the database's place, and why."""

from __future__ import annotations

ALL = (3, 11)
WARNINGS_NAME_FILES = (3, 13)

#: Name without ``test.test_sqlite3.``: the first Python that it holds for, and the reason.
EXCEPTIONS = {
    "test_backup.BackupTests.test_modifying_progress": (
        ALL,
        "counts the steps of a backup of a :memory: database that is written meanwhile; with any file as the "
        "source, a plaintext one too, SQLite takes one step less",
    ),
    "test_dbapi.ConnectionTests.test_connect_positional_arguments": (
        WARNINGS_NAME_FILES,
        "wants a DeprecationWarning to name its own file, but the replacement of sqlite3.connect "
        "is one Python frame in between",
    ),
    "test_factory.ConnectionFactoryTests.test_connection_factory_as_positional_arg": (
        WARNINGS_NAME_FILES,
        "the same warning",
    ),
}
