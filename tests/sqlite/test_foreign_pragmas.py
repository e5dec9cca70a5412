"""Statements of other encryption products, and misspelt ones of ours: none seems to do anything."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

import lumocrypt

FOREIGN = [
    "key = 'x'",
    "rekey = 'new pass phrase'",
    "hexkey = '00'",
    "hexrekey = '00'",
    "textkey = 'x'",
    "textrekey('x')",
    "cipher = 'sqlcipher'",
    "cipher_integrity_check",
    "cipher_migrate",
    "cipher_page_size = 4096",
    "cipher_anything_else",
    "CIPHER_VERSION",
    "kdf_iter = 1",
    "fast_kdf_iter",
    "legacy = 1",
    "legacy_page_size = 1024",
    "mc_legacy_wal = 1",
    "hmac_use = 0",
    "lic = 'x'",
    "cerod",
    "activate_extensions = 'see-x'",
    "lumo_kee = 'x'",
    "LUMO_",
    "lumo_change_passphrase = 'x'",
]


def refused(connection: sqlite3.Connection, statement: str) -> None:
    with pytest.raises(sqlite3.OperationalError, match=r"lumocrypt|lumo_|no effect|nothing like it"):
        connection.execute(statement).fetchall()


@pytest.fixture
def installed() -> Iterator[None]:
    lumocrypt.install()
    yield
    lumocrypt.install(default=False)


@pytest.mark.parametrize("pragma", FOREIGN)
def test_on_an_encrypted_database(encrypted: Path, key: lumocrypt.Key, pragma: str) -> None:
    connection = lumocrypt.connect(encrypted, key=key)
    for form in (f"PRAGMA {pragma}", f"pragma main.{pragma}", f"EXPLAIN PRAGMA {pragma}"):
        refused(connection, form)
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (500,)
    connection.close()
    lumocrypt.connect(encrypted, key=key).execute("SELECT * FROM t")


@pytest.mark.parametrize("pragma", ["key = 'x'", "rekey = 'x'", "cipher_version", "lumo_kee = 'x'"])
def test_on_every_kind_of_database(
    tmp_path: Path, plain: Path, encrypted: Path, key: lumocrypt.Key, installed: None, pragma: str
) -> None:
    connection = lumocrypt.connect(":memory:")
    lumocrypt.attach(connection, encrypted, "x", key=key)
    refused(connection, f"PRAGMA x.{pragma}")
    connection.close()
    # In clear, through the VFS that lets it pass; and not there yet.
    for path in (plain, tmp_path / "new.db"):
        connection = sqlite3.connect(path)
        refused(connection, f"PRAGMA {pragma}")
        connection.close()
    with lumocrypt.crypto_vfs(bytes(32)) as vfs:
        connection = sqlite3.connect(f"file:{tmp_path}/go.db?vfs={vfs.name}", uri=True)
        refused(connection, f"PRAGMA {pragma}")
        connection.close()


@pytest.mark.parametrize("name", [":memory:", ""])
@pytest.mark.parametrize(
    "pragma", ["lumo_rekey = 'x'", "lumo_key = 'x'", "main.rekey = 'x'", "lumo_status", "KEY='x'"]
)
def test_in_memory(name: str, pragma: str) -> None:
    connection = lumocrypt.connect(name)
    refused(connection, f"PRAGMA {pragma}")
    assert connection.execute("PRAGMA user_version").fetchall() == [(0,)]
    connection.execute("CREATE TABLE t (a)")
    connection.close()


def test_pragmas_of_sqlite_pass(encrypted: Path, key: lumocrypt.Key) -> None:
    connection = lumocrypt.connect(encrypted, key=key)
    assert connection.execute("PRAGMA legacy_alter_table").fetchall() == [(0,)]
    assert connection.execute("PRAGMA legacy_file_format").fetchall() == []
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA nobody_knows_this").fetchall() == []
    connection.close()


def test_through_apsw(encrypted: Path) -> None:
    lumocrypt.load(apsw.Connection(":memory:"))
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI
    connection = apsw.Connection(f"file:{encrypted}?vfs=lumocrypt", flags=flags)
    with pytest.raises(apsw.SQLError, match="lumo_rekey"):
        connection.execute("PRAGMA rekey = 'x'")
    connection.close()


@pytest.mark.parametrize("clause", ["KEY 'other'", "KEY ?", "key x'00'", "/* */ Key ''"])
def test_attach_with_a_key_clause(
    tmp_path: Path, plain: Path, encrypted: Path, key: lumocrypt.Key, installed: None, clause: str
) -> None:
    parameters = ("other",) if "?" in clause else ()
    main = lumocrypt.connect(tmp_path / "main.db", key=key, isolation_level=None)
    main.execute("CREATE TABLE m (a)")
    passed = sqlite3.connect(plain, isolation_level=None)
    for connection in (main, passed, lumocrypt.connect(":memory:", isolation_level=None)):
        for path in (tmp_path / "new.db", encrypted, plain):
            if path == plain and connection is not passed:
                continue
            with pytest.raises(sqlite3.OperationalError, match=r"lumocrypt\.attach"):
                connection.execute(f"ATTACH '{path}' AS n {clause}", parameters)
            assert [row[1] for row in connection.execute("PRAGMA database_list")] == ["main"]
    assert not (tmp_path / "new.db").exists()
    # A name that only looks like the clause.
    passed.execute(f"ATTACH '{tmp_path}/other.db' AS key")
    passed.execute("CREATE TABLE key.t (a)")
