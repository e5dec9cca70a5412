"""Keys that do not fit and files that are something else: each has its own error, and no file changes."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import lumocrypt
from support.known_keys import RAW
from support.layout import (
    COPY,
    HEADER,
)
from support.operations import (
    CONNECTIONS,
    EVERYTHING,
    KEY,
    READERS,
    WRONG,
    Operation,
    by_name,
    decrypt_beside,
    decrypt_in_place,
    encrypt_in_place,
    info,
    query,
    refused,
    unlock,
    verify,
)
from support.plaintext import make_plain

# Keys


@pytest.mark.parametrize("operation", [*READERS, unlock], ids=by_name)
def test_a_wrong_key(tiny: Path, operation: Operation) -> None:
    refused(lumocrypt.WrongKeyError, operation, tiny, WRONG, "check the key")


@pytest.mark.parametrize("operation", [*READERS, unlock], ids=by_name)
def test_a_wrong_passphrase(tmp_path: Path, with_passphrase: bytes, operation: Operation) -> None:
    path = tmp_path / "p.db"
    path.write_bytes(with_passphrase)
    error = refused(lumocrypt.WrongKeyError, operation, path, "wrong, but secret as well", "check the key")
    assert "wrong, but secret" not in str(error)


@pytest.mark.parametrize("operation", READERS, ids=by_name)
def test_no_key(tiny: Path, operation: Operation) -> None:
    refused(lumocrypt.KeyRequiredError, operation, tiny, None, "LUMO_KEY")


@pytest.mark.parametrize("operation", [*READERS, unlock], ids=by_name)
def test_a_key_for_a_plaintext_database(tmp_path: Path, operation: Operation) -> None:
    plain = make_plain(tmp_path / "plain.db", rows=5)
    refused(lumocrypt.NotEncryptedError, operation, plain, KEY, "encrypt")


@pytest.mark.parametrize("operation", CONNECTIONS, ids=by_name)
def test_a_plaintext_database_without_a_key(tmp_path: Path, operation: Operation) -> None:
    plain = make_plain(tmp_path / "plain.db", rows=5)
    refused(lumocrypt.NotEncryptedError, operation, plain, None, "encrypt")


@pytest.mark.parametrize("operation", [*READERS, unlock], ids=by_name)
def test_a_key_for_a_checksum_file_hazard_3(tmp_path: Path, operation: Operation) -> None:
    """Swapped in for an encrypted database it would take clear writes."""
    path = make_plain(tmp_path / "sums.db", rows=5)
    lumocrypt.encrypt(path, key=None, cipher="checksum")
    refused(lumocrypt.NotEncryptedError, operation, path, KEY, "checksum")
    assert len(query(path, None)) == 5


def test_an_encrypted_database_is_not_encrypted_twice(tiny: Path) -> None:
    refused(lumocrypt.CryptError, encrypt_in_place, tiny, KEY, "encrypted already")


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("", ValueError),
        ("nul\0inside", ValueError),
        ("x'1234'", ValueError),
        (f"x'{RAW.hex()[:-1]}g'", ValueError),
        (RAW, TypeError),
        (17, TypeError),
    ],
)
def test_malformed_keys(tiny: Path, key: Any, expected: type[Exception]) -> None:
    for operation in (*READERS, unlock):
        error = refused(expected, operation, tiny, key)
        if isinstance(key, bytes):
            assert "Key.raw" in str(error)
        assert RAW.hex()[:-1] not in str(error)


# Kinds of file


@pytest.mark.parametrize("operation", EVERYTHING, ids=by_name)
def test_a_directory(tmp_path: Path, operation: Operation) -> None:
    folder = tmp_path / "folder.db"
    folder.mkdir()
    expected = sqlite3.OperationalError if operation in CONNECTIONS else IsADirectoryError
    refused(expected, operation, folder, KEY)


@pytest.mark.parametrize(
    "operation", [verify, decrypt_beside, decrypt_in_place, info, encrypt_in_place], ids=by_name
)
def test_a_missing_file(tmp_path: Path, operation: Operation) -> None:
    refused(FileNotFoundError, operation, tmp_path / "missing.db", KEY, r"missing\.db")


@pytest.mark.parametrize(
    "operation", [verify, decrypt_beside, decrypt_in_place, info, encrypt_in_place], ids=by_name
)
def test_an_empty_file(tmp_path: Path, operation: Operation) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    refused(lumocrypt.CryptError, operation, path, KEY, "empty")


@pytest.mark.parametrize("operation", [*READERS, unlock, info], ids=by_name)
@pytest.mark.parametrize("size", [2, 100, 512, COPY, HEADER, HEADER + 5000])
def test_random_bytes(tmp_path: Path, operation: Operation, size: int) -> None:
    path = tmp_path / "random.db"
    path.write_bytes(b"\x01" + os.urandom(size - 1))
    refused(lumocrypt.NotEncryptedError, operation, path, KEY)


@pytest.mark.parametrize("operation", [*READERS, unlock, info], ids=by_name)
@pytest.mark.parametrize("keep", [2, 8, 16, 100, COPY, 2 * COPY, HEADER - 1])
def test_a_truncated_header(tiny: Path, operation: Operation, keep: int) -> None:
    tiny.write_bytes(tiny.read_bytes()[:keep])
    refused(lumocrypt.HeaderDamagedError, operation, tiny, KEY, "restore")


@pytest.mark.parametrize("operation", [*READERS, unlock, info], ids=by_name)
def test_both_copies_damaged(tiny: Path, operation: Operation) -> None:
    content = bytearray(tiny.read_bytes())
    for copy in (0, COPY):
        content[copy + 5000] ^= 1
    tiny.write_bytes(content)
    refused(lumocrypt.HeaderDamagedError, operation, tiny, KEY, "restore")
