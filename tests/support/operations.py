"""What one can do with a file, and what it means that it is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lumocrypt
from support.known_keys import RAW

KEY = lumocrypt.Key.raw(RAW)
WRONG = lumocrypt.Key.raw(bytes(32))
PASSPHRASE = "a passphrase that must not be shown"

Operation = Callable[[Path, lumocrypt.Key | str | None], Any]


def query(path: Path, key: lumocrypt.Key | str | None) -> Any:
    connection = lumocrypt.connect(path, key=key)
    try:
        return connection.execute("SELECT * FROM t").fetchall()
    finally:
        connection.close()


def write(path: Path, key: lumocrypt.Key | str | None) -> Any:
    connection = lumocrypt.connect(path, key=key)
    try:
        return connection.execute("CREATE TABLE written (a)")
    finally:
        connection.close()


def decrypt_beside(path: Path, key: lumocrypt.Key | str | None) -> Any:
    return lumocrypt.decrypt(path, path.with_name("decrypted.db"), key=key)


def decrypt_in_place(path: Path, key: lumocrypt.Key | str | None) -> Any:
    return lumocrypt.decrypt(path, key=key)


def verify(path: Path, key: lumocrypt.Key | str | None) -> Any:
    return lumocrypt.verify(path, key=key)


def unlock(path: Path, key: lumocrypt.Key | str | None) -> Any:
    assert key is not None
    lumocrypt.unlock(path, key)


def info(path: Path, key: lumocrypt.Key | str | None) -> Any:
    return lumocrypt.info(path)


def encrypt_in_place(path: Path, key: lumocrypt.Key | str | None) -> Any:
    return lumocrypt.encrypt(path, key=key)


CONNECTIONS = [query, write]
READERS = [*CONNECTIONS, verify, decrypt_beside, decrypt_in_place]
EVERYTHING = [*READERS, info, encrypt_in_place]


def digest(folder: Path) -> dict[str, str]:
    """What is in a folder, to see that an operation left no trace."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(folder.iterdir())
    }


def refused(
    expected: type[Exception],
    operation: Operation,
    path: Path,
    key: lumocrypt.Key | str | None,
    advice: str = ".",
) -> Exception:
    """The operation raises exactly that class, with advice, and changes nothing beside ``path``."""
    before = digest(path.parent)
    try:
        with pytest.raises(expected, match=advice) as caught:
            operation(path, key)
    finally:
        # A key that did not fit is not kept.
        assert not lumocrypt.lock(path)
    assert digest(path.parent) == before
    ours = [cls for cls in type(caught.value).__mro__ if cls.__module__ == "lumocrypt"]
    if issubclass(expected, lumocrypt.CryptError):
        assert ours[0].__name__ == expected.__name__
        assert str(path) in str(caught.value)
    for secret in (RAW.hex(), PASSPHRASE, repr(RAW)):
        assert secret not in f"{caught.value}{caught.value!r}"
    return caught.value


def by_name(operation: Operation) -> str:
    return operation.__name__
