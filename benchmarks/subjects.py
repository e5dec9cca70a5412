"""Whose databases are measured."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

#: 32 bytes, as hexadecimal digits.
RAW = "11" * 32
PASSPHRASE = "correct horse battery staple"

Kind = Literal["engine", "api", "opening"]


@dataclass(frozen=True, slots=True)
class Subject:
    """A way to open a database, and the one that its times are compared with."""

    name: str
    #: Opens in autocommit mode.
    connect: Callable[[str], Any]
    #: The same library without encryption; itself for that one, which is the control.
    base: str
    #: The environment that has what it needs; see environments.py.
    environment: str = "own"
    #: What it is measured in: the engine's workloads, the Python interface's, or opening.py.
    kind: Kind = "engine"
    #: How the report calls it.
    title: str = ""

    @property
    def control(self) -> bool:
        """Whether it is compared with itself."""
        return self.base == self.name


def _plain(path: str) -> Any:
    return importlib.import_module("sqlite3").connect(path, isolation_level=None)


def _lumocrypt(*, passphrase: bool = False, threads: int = 0, **options: str) -> Callable[[str], Any]:
    lumocrypt: Any = None
    key: Any = None

    def connect(path: str) -> Any:
        # Kept, so that opening.py does not time them.
        nonlocal lumocrypt, key
        if lumocrypt is None:
            if threads:
                os.environ["LUMO_THREADS"] = str(threads)
            lumocrypt = importlib.import_module("lumocrypt")
            key = PASSPHRASE if passphrase else lumocrypt.Key.raw(bytes.fromhex(RAW))
        return lumocrypt.connect(path, key=key, isolation_level=None, **options)

    return connect


def _bare(path: str) -> Any:
    """What lumocrypt.connect is to cost no more than: the standard library's own connection on our VFS."""
    lumocrypt: Any = importlib.import_module("lumocrypt")
    lumocrypt.unlock(path, lumocrypt.Key.raw(bytes.fromhex(RAW)))
    return importlib.import_module("sqlite3").connect(
        f"file:{path}?vfs=lumocrypt", uri=True, isolation_level=None
    )


def _sqlcipher(pragma: str | None) -> Callable[[str], Any]:
    def connect(path: str) -> Any:
        connection = importlib.import_module("sqlcipher3").connect(path, isolation_level=None)
        if pragma:
            connection.execute(pragma)
        return connection

    return connect


def _multiple_ciphers(cipher: str | None, pragma: str = "hexkey", key: str = RAW) -> Callable[[str], Any]:
    def connect(path: str) -> Any:
        connection = importlib.import_module("apsw").Connection(path)
        if cipher:
            connection.pragma("cipher", cipher)
            connection.pragma(pragma, key)
        return connection

    return connect


def _apsw(path: str) -> Any:
    return importlib.import_module("apsw").Connection(path)


def _apsw_lumocrypt(path: str) -> Any:
    apsw: Any = importlib.import_module("apsw")
    # Stays loaded in the library: this is cheap from the second time on.
    importlib.import_module("lumocrypt").load(apsw.Connection(":memory:"))
    flags = apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    connection = apsw.Connection(f"file:{path}?vfs=lumocrypt", flags=flags)
    connection.execute(f"PRAGMA lumo_key = \"x'{RAW}'\"").fetchall()
    return connection


def _by_name(subjects: Iterable[Subject]) -> dict[str, Subject]:
    return {subject.name: subject for subject in subjects}


SUBJECTS = _by_name(
    (
        Subject("plain", _plain, "plain", title="plaintext"),
        Subject("map", _lumocrypt(), "plain", title="lumocrypt"),
        Subject("one-thread", _lumocrypt(threads=1), "plain", title="lumocrypt, one thread"),
        Subject("pread", _lumocrypt(io="pread"), "plain", title="lumocrypt, pread"),
        *[
            Subject(cipher, _lumocrypt(cipher=cipher), "plain", title=f"lumocrypt, {cipher}")
            for cipher in ("aegis-256", "aes-256-gcm", "xchacha20-poly1305")
        ],
        Subject("mc-plain", _multiple_ciphers(None), "mc-plain", "mc", title="MC plaintext"),
        Subject("mc-aegis", _multiple_ciphers("aegis"), "mc-plain", "mc", title="MC aegis"),
        Subject("mc-chacha20", _multiple_ciphers("chacha20"), "mc-plain", "mc", title="MC chacha20"),
        Subject(
            "sqlcipher-plain", _sqlcipher(None), "sqlcipher-plain", "sqlcipher", title="SQLCipher plaintext"
        ),
        Subject(
            "sqlcipher",
            _sqlcipher(f"""PRAGMA key = "x'{RAW}'" """),
            "sqlcipher-plain",
            "sqlcipher",
            title="SQLCipher",
        ),
        Subject("apsw-plain", _apsw, "apsw-plain", "apsw", title="APSW plaintext"),
        Subject("apsw-lumocrypt", _apsw_lumocrypt, "apsw-plain", "apsw", title="lumocrypt in APSW"),
        Subject("bare", _bare, "bare", kind="api", title="bare connection"),
        Subject("connect", _lumocrypt(), "bare", kind="api", title="lumocrypt.connect"),
        Subject(
            "passphrase", _lumocrypt(passphrase=True), "plain", kind="opening", title="lumocrypt, passphrase"
        ),
        Subject("raw", _lumocrypt(), "plain", kind="opening", title="lumocrypt, raw key"),
        Subject(
            "mc-aegis-passphrase",
            _multiple_ciphers("aegis", "key", PASSPHRASE),
            "mc-plain",
            "mc",
            "opening",
            "MC aegis, passphrase",
        ),
        Subject(
            "mc-chacha20-passphrase",
            _multiple_ciphers("chacha20", "key", PASSPHRASE),
            "mc-plain",
            "mc",
            "opening",
            "MC chacha20, passphrase",
        ),
        Subject(
            "sqlcipher-passphrase",
            _sqlcipher(f"PRAGMA key = '{PASSPHRASE}'"),
            "sqlcipher-plain",
            "sqlcipher",
            "opening",
            "SQLCipher, passphrase",
        ),
    )
)
#: What a campaign takes unless told otherwise: not the ciphers that are not the default.
USUAL = (
    "map", "one-thread", "pread", "mc-aegis", "mc-chacha20", "sqlcipher", "apsw-lumocrypt", "connect",
)  # fmt: skip


def with_controls(names: Iterable[str]) -> list[str]:
    """The subjects, after the control of each library: without it nothing can be said about them."""
    names = list(names)
    return list(dict.fromkeys(name for one in names for name in (SUBJECTS[one].base, one)))
