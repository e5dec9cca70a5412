"""Each class of error, met in reality, names the file and says what to do next."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

import lumocrypt
from support.bytes_on_disk import flip
from support.known_keys import RAW
from support.layout import VERSION_AT, patched, slot_at, u32

KEY = lumocrypt.Key.raw(RAW)
OTHER = lumocrypt.Key.raw(bytes(32))


def read(path: Path, key: lumocrypt.Key | None) -> None:
    with contextlib.closing(lumocrypt.connect(path, key=key)) as connection:
        connection.execute("SELECT sum(length(data)) FROM t").fetchall()


def no_key(path: Path, plain: Path) -> None:
    read(path, None)


def no_key_for_a_file(path: Path, plain: Path) -> None:
    lumocrypt.verify(path)


def wrong_key(path: Path, plain: Path) -> None:
    read(path, OTHER)


def plaintext(path: Path, plain: Path) -> None:
    plain.rename(path)
    read(path, KEY)


def neither(path: Path, plain: Path) -> None:
    path.write_bytes(b"neither of the two" * 5000)
    read(path, KEY)


def changed_block(path: Path, plain: Path) -> None:
    flip(path, slot_at(5, 4096) + 9)
    read(path, KEY)


def cut(path: Path, plain: Path) -> None:
    path.write_bytes(path.read_bytes()[: slot_at(0, 4096)])
    read(path, KEY)


def damaged_header(path: Path, plain: Path) -> None:
    for offset in (100, 16384 + 100):
        flip(path, offset)
    read(path, KEY)


def newer_format(path: Path, plain: Path) -> None:
    path.write_bytes(patched(path.read_bytes(), VERSION_AT, u32(99)))
    read(path, KEY)


def dear_passphrase(path: Path, plain: Path) -> None:
    lumocrypt.add_key(path, key=KEY, new_key="passphrase", kdf={"t": 2, "m": 19456, "p": 1})
    lumocrypt.connect(path, key="passphrase", kdf_limit={"m": 1024})


def foreign_main(path: Path, plain: Path) -> None:
    with contextlib.closing(sqlite3.connect(plain, uri=True)) as connection:
        lumocrypt.attach(connection, path, "other", key=KEY)
        connection.execute("SELECT * FROM other.t")


def busy(path: Path, plain: Path) -> None:
    with contextlib.closing(lumocrypt.connect(path, key=KEY, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        lumocrypt.decrypt(path, key=KEY)


@pytest.mark.parametrize(
    ("trouble", "expected", "advice"),
    [
        (no_key, lumocrypt.KeyRequiredError, "pass key="),
        (no_key_for_a_file, lumocrypt.KeyRequiredError, "give key="),
        (wrong_key, lumocrypt.WrongKeyError, "check the key"),
        (plaintext, lumocrypt.NotEncryptedError, "encrypt it first"),
        (neither, lumocrypt.NotEncryptedError, "check the path"),
        (changed_block, lumocrypt.TamperedError, "run `lumocrypt verify`.*restore"),
        (cut, lumocrypt.TamperedError, "restore it from a backup"),
        (damaged_header, lumocrypt.HeaderDamagedError, "restore"),
        (newer_format, lumocrypt.UnsupportedFormatError, "newer"),
        (dear_passphrase, lumocrypt.KdfLimitError, 'allow it with kdf_limit="m=19456"'),
        (foreign_main, lumocrypt.InUseError, "Open the main database through lumocrypt"),
        (busy, lumocrypt.InUseError, "close"),
    ],
)
def test_what_to_do(
    encrypted: Path,
    plain: Path,
    trouble: Callable[[Path, Path], None],
    expected: type[lumocrypt.CryptError],
    advice: str,
) -> None:
    with pytest.raises(expected, match=f"(?s){advice}") as caught:
        trouble(encrypted, plain)
    assert type(caught.value).__name__ == expected.__name__
    assert str(encrypted) in str(caught.value)
