"""Files and arguments that cannot be used: each has its own error, and no file changes."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lumocrypt
from conftest import FAST, make_plain
from support.layout import (
    BLOCK_SIZE_AT,
    COPY,
    FLAGS_AT,
    HEADER,
    KDF_M_AT,
    KDF_P_AT,
    KDF_T_AT,
    KEYSLOTS_AT,
    SUITE_AT,
    VERSION_AT,
    patched,
    u32,
    u64,
)
from support.tiny import RAW, make_tiny

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


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return make_tiny(tmp_path / "tiny.db")


@pytest.fixture(scope="module")
def with_passphrase(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a database with a passphrase slot."""
    path = tmp_path_factory.mktemp("passphrase") / "tiny.db"
    make_plain(path, rows=5)
    lumocrypt.encrypt(path, key=PASSPHRASE, kdf=FAST)
    return path.read_bytes()


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
def test_a_key_for_a_checksum_file(tmp_path: Path, operation: Operation) -> None:
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


# Headers that anybody can write: the digest is unkeyed


@pytest.mark.parametrize("operation", [*READERS, unlock, info], ids=by_name)
@pytest.mark.parametrize(
    ("offset", "value", "advice"),
    [
        (VERSION_AT, u32(2), "version 2.*newer"),
        (VERSION_AT, u32(2**32 - 1), "version"),
        (SUITE_AT, u32(99), "suite 99"),
        (FLAGS_AT, u64(1 << 40), "flags"),
        (BLOCK_SIZE_AT, u32(1000), "block size"),
        (BLOCK_SIZE_AT, u32(2**31), "block size"),
        (100, b"\x01", "reserved"),
        (KEYSLOTS_AT, u32(77), "keyslot"),
    ],
)
def test_headers_of_another_version(
    tiny: Path, operation: Operation, offset: int, value: bytes, advice: str
) -> None:
    tiny.write_bytes(patched(tiny.read_bytes(), offset, value))
    error = refused(lumocrypt.UnsupportedFormatError, operation, tiny, KEY)
    assert "Traceback" not in str(error)
    with pytest.raises(lumocrypt.UnsupportedFormatError, match=advice):
        operation(tiny, KEY)
    lumocrypt.lock(tiny)


@pytest.mark.parametrize("operation", READERS, ids=by_name)
@pytest.mark.parametrize(
    ("offset", "value"),
    [(SUITE_AT, u32(3)), (BLOCK_SIZE_AT, u32(1024)), (32, bytes(16)), (KEYSLOTS_AT + 8, u64(1))],
    ids=["suite", "block size", "uuid", "keyslot"],
)
def test_headers_that_somebody_without_the_key_rewrote(
    tiny: Path, operation: Operation, offset: int, value: bytes
) -> None:
    """The fields are fine and so is the digest; the MAC, or the keyslot's seal, is not."""
    tiny.write_bytes(patched(tiny.read_bytes(), offset, value))
    refused(lumocrypt.HeaderDamagedError, operation, tiny, KEY, "changed by somebody|restore")


def test_a_rewritten_copy_loses_against_the_sound_one(tiny: Path) -> None:
    """Even at a higher generation: a header is believed for its MAC."""
    original = tiny.read_bytes()
    for copy in (0, COPY):
        forged = patched(original, 24, u64(1000), copies=(copy,))
        tiny.write_bytes(patched(forged, BLOCK_SIZE_AT, u32(1024), copies=(copy,)))
        assert len(query(tiny, KEY)) > 0
        assert not verify(tiny, KEY).ok


@pytest.mark.parametrize("operation", [*READERS, unlock], ids=by_name)
@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (KDF_T_AT, 2**32 - 1),
        (KDF_T_AT, 65),
        (KDF_M_AT, 2**32 - 1),
        (KDF_M_AT, 5 << 20),
        (KDF_P_AT, 2**24),
        (KDF_T_AT, 0),
        (KDF_P_AT, 0),
        (KDF_M_AT, 7),
    ],
)
def test_monstrous_kdf_costs_are_refused_before_they_are_paid(
    tmp_path: Path, with_passphrase: bytes, operation: Operation, offset: int, value: int
) -> None:
    path = tmp_path / "bomb.db"
    path.write_bytes(patched(with_passphrase, KEYSLOTS_AT + offset, u32(value)))
    runs, start = lumocrypt.stats()["kdf_runs"], time.monotonic()
    refused(lumocrypt.UnsupportedFormatError, operation, path, PASSPHRASE, "Argon2id")
    assert lumocrypt.stats()["kdf_runs"] == runs
    assert time.monotonic() - start < 2


def test_the_costs_of_all_slots_together_have_a_cap(tmp_path: Path, with_passphrase: bytes) -> None:
    """Twelve slots of which each is just bearable."""
    content = with_passphrase
    slot = bytearray(content[KEYSLOTS_AT : KEYSLOTS_AT + 1024])
    slot[KDF_T_AT : KDF_T_AT + 4] = u32(64)
    slot[KDF_M_AT : KDF_M_AT + 4] = u32(4 << 20)
    path = tmp_path / "bomb.db"
    path.write_bytes(patched(content, KEYSLOTS_AT, bytes(slot) * 12))
    runs = lumocrypt.stats()["kdf_runs"]
    refused(lumocrypt.UnsupportedFormatError, query, path, PASSPHRASE, "all slots")
    assert lumocrypt.stats()["kdf_runs"] == runs


def test_lower_kdf_costs_do_not_open_the_slot(tmp_path: Path, with_passphrase: bytes) -> None:
    """A downgrade changes the derived key: nobody can make guessing cheaper."""
    path = tmp_path / "cheap.db"
    path.write_bytes(patched(with_passphrase, KEYSLOTS_AT + KDF_T_AT, u32(1)))
    with pytest.raises((lumocrypt.WrongKeyError, lumocrypt.HeaderDamagedError)):
        query(path, PASSPHRASE)


# Permissions


_AS_NOBODY = """
import os, sys
import lumocrypt
lumocrypt.connect(":memory:").close()
os.setgroups([]); os.setgid(65534); os.setuid(65534)
key = lumocrypt.Key.raw(bytes(range(32)))
path, operation = sys.argv[1:]
try:
    if operation == "query":
        lumocrypt.connect(path, key=key).execute("SELECT * FROM t").fetchall()
    elif operation == "write":
        lumocrypt.connect(path, key=key).execute("CREATE TABLE written (a)")
    elif operation == "encrypt":
        lumocrypt.encrypt(path, key=key)
    elif operation == "decrypt":
        lumocrypt.decrypt(path, key=key)
    else:
        getattr(lumocrypt, operation)(path, **({} if operation == "info" else {"key": key}))
except BaseException as error:
    print(type(error).__name__, "|", error)
else:
    print("fine")
"""

_needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root can become nobody")


@pytest.fixture
def reachable(tiny: Path) -> Iterator[Path]:
    """A database in a folder that everybody may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="lumocrypt-") as folder:
        Path(folder).chmod(0o755)
        yield shutil.copy(tiny, Path(folder) / "tiny.db")


def as_nobody(path: Path, operation: str) -> str:
    """What a process without rights says."""
    done = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY, str(path), operation], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@_needs_root
@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("query", "OperationalError | unable to open database file"),
        ("verify", "PermissionError"),
        ("info", "PermissionError"),
        ("decrypt", "PermissionError"),
        ("encrypt", "PermissionError"),
    ],
)
def test_a_file_that_may_not_be_read(reachable: Path, operation: str, expected: str) -> None:
    reachable.chmod(0o600)
    before = digest(reachable.parent)
    assert as_nobody(reachable, operation).startswith(expected)
    assert digest(reachable.parent) == before


@_needs_root
@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("query", "fine"),
        ("verify", "fine"),
        ("info", "fine"),
        ("write", "OperationalError | attempt to write a readonly database"),
        ("decrypt", "PermissionError"),
    ],
)
def test_a_file_that_may_only_be_read(reachable: Path, operation: str, expected: str) -> None:
    reachable.chmod(0o644)
    before = digest(reachable.parent)
    assert as_nobody(reachable, operation).startswith(expected)
    assert digest(reachable.parent) == before


# A full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("NOT TESTED: no file system can be mounted here to fill it")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_up(folder: Path, leave: int) -> Path:
    """Leaves that many bytes free."""
    ballast = folder / "ballast"
    free = os.statvfs(folder)
    ballast.write_bytes(bytes(free.f_bavail * free.f_bsize - leave))
    return ballast


@pytest.mark.parametrize("mode", ["DELETE", "TRUNCATE", "PERSIST", "WAL", "MEMORY"])
def test_a_disk_that_fills_up_in_a_transaction(small_disk: Path, mode: str) -> None:
    path = make_tiny(small_disk / "tiny.db")
    connection = lumocrypt.connect(path, key=KEY, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode={mode}")
    right = connection.execute("SELECT * FROM t").fetchall()
    ballast = fill_up(small_disk, 8192)
    connection.execute("BEGIN")
    many = (
        "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n LIMIT 200) "
        "INSERT INTO t SELECT i, '', randomblob(4000) FROM n; COMMIT"
    )
    with pytest.raises(sqlite3.OperationalError, match="full") as caught:
        connection.executescript(many)
    assert caught.value.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    assert connection.execute("SELECT * FROM t").fetchall() == right
    connection.close()
    ballast.unlink()
    assert query(path, KEY) == right
    assert verify(path, KEY).ok


def test_a_full_disk_when_a_database_is_made(small_disk: Path) -> None:
    for leave in (0, 4096, 40_000, 65_536, 70_000):
        path = small_disk / f"new-{leave}.db"
        ballast = fill_up(small_disk, leave)
        with pytest.raises(sqlite3.OperationalError, match=r"full|disk I/O"):
            write(path, KEY)
        ballast.unlink()
        # What is left behind is still a new database.
        write(path, KEY)
        assert verify(path, KEY).ok
        path.unlink()


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("operation", [lumocrypt.encrypt, lumocrypt.decrypt], ids=by_name)
def test_a_full_disk_when_a_file_is_converted(small_disk: Path, operation: Any, in_place: bool) -> None:
    path = small_disk / "app.db"
    if operation is lumocrypt.encrypt:
        make_plain(path, rows=300)
    else:
        make_plain(path, rows=300)
        lumocrypt.encrypt(path, key=KEY)
    fill_up(small_disk, 20_000)
    before = digest(small_disk)
    with pytest.raises(OSError) as caught:  # noqa: PT011
        operation(path, None if in_place else small_disk / "other.db", key=KEY)
    assert caught.value.errno == errno.ENOSPC
    assert digest(small_disk) == before
