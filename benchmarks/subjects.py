"""Whose databases are timed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: 32 bytes, as hexadecimal digits.
KEY = "11" * 32


@dataclass(frozen=True, slots=True)
class Subject:
    """A way to open a database, and the one without encryption on the same library."""

    name: str
    #: Opens in autocommit mode.
    connect: Callable[[str], Any]
    #: What its times are divided by; itself for plaintext, which is the control.
    base: str
    #: The environment of ``make bench`` that has what it needs.
    environment: str = "own"


def _plain(path: str) -> Any:
    return importlib.import_module("sqlite3").connect(path, isolation_level=None)


def _lumocrypt(**options: str) -> Callable[[str], Any]:
    def connect(path: str) -> Any:
        lumocrypt = importlib.import_module("lumocrypt")
        key = lumocrypt.Key.raw(bytes.fromhex(KEY))
        return lumocrypt.connect(path, key=key, isolation_level=None, **options)

    return connect


def _sqlcipher(key: bool) -> Callable[[str], Any]:
    def connect(path: str) -> Any:
        connection = importlib.import_module("sqlcipher3").connect(path, isolation_level=None)
        if key:
            connection.execute(f"""PRAGMA key = "x'{KEY}'" """)
        return connection

    return connect


def _multiple_ciphers(cipher: str | None) -> Callable[[str], Any]:
    def connect(path: str) -> Any:
        connection = importlib.import_module("apsw").Connection(path)
        if cipher:
            connection.pragma("cipher", cipher)
            connection.pragma("hexkey", KEY)
        return connection

    return connect


SUBJECTS: dict[str, Subject] = {
    subject.name: subject
    for subject in (
        Subject("plain", _plain, "plain"),
        Subject("map", _lumocrypt(), "plain"),
        Subject("pread", _lumocrypt(io="pread"), "plain"),
        *[
            Subject(cipher, _lumocrypt(cipher=cipher), "plain")
            for cipher in ("aegis-256", "aes-256-gcm", "xchacha20-poly1305")
        ],
        Subject("sqlcipher-plain", _sqlcipher(False), "sqlcipher-plain", "sqlcipher"),
        Subject("sqlcipher", _sqlcipher(True), "sqlcipher-plain", "sqlcipher"),
        Subject("mc-plain", _multiple_ciphers(None), "mc-plain", "mc"),
        Subject("mc-chacha20", _multiple_ciphers("chacha20"), "mc-plain", "mc"),
        Subject("mc-aegis", _multiple_ciphers("aegis"), "mc-plain", "mc"),
    )
}
