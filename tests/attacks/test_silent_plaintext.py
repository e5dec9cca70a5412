"""Every way in which something could end up in clear without anybody having asked for it.

Registering a default VFS lasts as long as the process, so each test is a program of its own.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import lumocrypt
from support.known_keys import RAW
from support.plaintext import MARKER, fill, make_plain

KEY = lumocrypt.Key.raw(RAW)

_PROLOGUE = f"""
import sqlite3, sys, os
import lumocrypt
MARKER = {MARKER!r}
key = lumocrypt.Key.raw(bytes(range(32)))
lumocrypt.install(default=True)
def refused(cls, action):
    try:
        action()
    except cls as error:
        print(type(error).__name__)
    else:
        sys.exit("not refused")
"""


def program(code: str, *arguments: object) -> list[str]:
    """Runs a program under ``lumocrypt.install(default=True)``; the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", _PROLOGUE + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "", "LUMO_KEY": ""},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def is_clear(path: Path) -> bool:
    content = path.read_bytes()
    return content.startswith(b"SQLite format 3") or MARKER.encode() in content


def assert_nothing_clear(folder: Path) -> None:
    assert [path.name for path in folder.rglob("*") if path.is_file() and is_clear(path)] == []


def test_plain_files_stay_plain(tmp_path: Path) -> None:
    """The control: with plaintext databases nothing changes, and the scan sees them."""
    make_plain(tmp_path / "old.db", rows=5)
    program(
        """
old, new, copy = sys.argv[1:]
connection = sqlite3.connect(old)
connection.execute("VACUUM INTO ?", (copy,))
connection.execute("ATTACH ? AS other", (new,))
connection.execute("CREATE TABLE other.t AS SELECT * FROM main.t")
connection.commit()
""",
        tmp_path / "old.db",
        tmp_path / "new.db",
        tmp_path / "copy.db",
    )
    assert all(is_clear(tmp_path / name) for name in ("old.db", "new.db", "copy.db"))


@pytest.mark.parametrize("how", ["install", "connect"])
def test_vacuum_into_and_attach_of_a_new_file_are_never_clear_hazard_3(encrypted: Path, how: str) -> None:
    folder = encrypted.parent
    program(
        """
path, how = sys.argv[1:]
if how == "install":
    lumocrypt.unlock(path, key)
    connection = sqlite3.connect(path)
else:
    lumocrypt.install(default=False)
    connection = lumocrypt.connect(path, key=key)
connection.execute("VACUUM INTO ?", (path + "-copy",))
connection.execute("ATTACH ? AS other", (path + "-attached",))
connection.execute("CREATE TABLE other.t AS SELECT * FROM main.t")
connection.commit()
""",
        encrypted,
        how,
    )
    assert_nothing_clear(folder)
    copy, attached = (lumocrypt.info(f"{encrypted}-{name}") for name in ("copy", "attached"))
    original = lumocrypt.info(encrypted)
    assert copy.key_id == original.key_id == attached.key_id
    assert len({original.uuid, copy.uuid, attached.uuid}) == 3
    for name in ("copy", "attached"):
        connection = lumocrypt.connect(f"{encrypted}-{name}", key=KEY)
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (500,)
        connection.close()
        assert lumocrypt.verify(f"{encrypted}-{name}", key=KEY).ok


def test_clear_on_request(encrypted: Path) -> None:
    """``lumo_plain=1`` is how somebody asks for it."""
    program(
        """
path, = sys.argv[1:]
lumocrypt.unlock(path, key)
connection = sqlite3.connect("file:" + path, uri=True)
connection.execute("VACUUM INTO ?", ("file:" + path + "-copy?lumo_plain=1",))
connection.execute("ATTACH ? AS other", ("file:" + path + "-attached?lumo_plain=1",))
connection.execute("CREATE TABLE other.t AS SELECT * FROM main.t")
connection.commit()
""",
        encrypted,
    )
    for name in ("copy", "attached"):
        assert is_clear(Path(f"{encrypted}-{name}"))
        connection = sqlite3.connect(f"{encrypted}-{name}")
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (500,)
        connection.close()


@pytest.mark.parametrize("value", ["0", "no", "off", ""])
def test_lumo_plain_switched_off(encrypted: Path, value: str) -> None:
    program(
        """
path, value = sys.argv[1:]
lumocrypt.unlock(path, key)
connection = sqlite3.connect("file:" + path, uri=True)
connection.execute("VACUUM INTO ?", ("file:" + path + "-copy?lumo_plain=" + value,))
""",
        encrypted,
        value,
    )
    assert_nothing_clear(encrypted.parent)


def test_an_existing_plaintext_database_beside_an_encrypted_one(encrypted: Path, tmp_path: Path) -> None:
    """Attaching one that is plaintext already is allowed under install(): it stays what it is."""
    make_plain(tmp_path / "plain.db", rows=5)
    lines = program(
        """
encrypted, plain = sys.argv[1:]
lumocrypt.unlock(encrypted, key)
connection = sqlite3.connect(encrypted)
connection.execute("ATTACH ? AS plain", (plain,))
print(connection.execute("SELECT count(*) FROM plain.t").fetchone()[0])
""",
        encrypted,
        tmp_path / "plain.db",
    )
    assert lines == ["5"]


@pytest.mark.parametrize("replacement", ["plaintext", "nothing"])
def test_an_unlocked_path_that_was_replaced_hazard_3(
    encrypted: Path, tmp_path: Path, replacement: str
) -> None:
    """A path that was unlocked never opens, or is created, in clear."""
    plain = make_plain(tmp_path / "plain.db", rows=5)
    lines = program(
        """
path, plain, replacement = sys.argv[1:]
lumocrypt.unlock(path, key)
if replacement == "plaintext":
    os.replace(plain, path)
    insert = "INSERT INTO t (name) VALUES (1)"
    refused(lumocrypt.NotEncryptedError, lambda: sqlite3.connect(path).execute(insert))
else:
    os.unlink(path)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t AS SELECT ? AS marker", (MARKER,))
    connection.commit()
    print("created")
""",
        encrypted,
        plain,
        replacement,
    )
    if replacement == "plaintext":
        assert lines == ["NotEncryptedError"]
        # Untouched.
        assert encrypted.read_bytes() == make_plain(tmp_path / "again.db", rows=5).read_bytes()
    else:
        assert lines == ["created"]
        assert not is_clear(encrypted)


def test_an_encrypted_file_without_a_key_is_not_overwritten(encrypted: Path) -> None:
    before = encrypted.read_bytes()
    lines = program(
        """
path, = sys.argv[1:]
refused(lumocrypt.KeyRequiredError, lambda: sqlite3.connect(path).execute("CREATE TABLE mine (a)"))
refused(lumocrypt.KeyRequiredError, lambda: sqlite3.connect(path).execute("SELECT * FROM t"))
""",
        encrypted,
    )
    assert lines == ["KeyRequiredError"] * 2
    assert encrypted.read_bytes() == before


def test_an_environment_key_encrypts_new_files_and_leaves_plaintext_alone(tmp_path: Path) -> None:
    plain = make_plain(tmp_path / "plain.db", rows=5)
    program(
        """
plain, new = sys.argv[1:]
os.environ["LUMO_KEY"] = "x'" + bytes(range(32)).hex() + "'"
connection = sqlite3.connect(plain)
connection.execute("INSERT INTO t (name) VALUES ('x')")
connection.commit()
connection = sqlite3.connect(new)
connection.execute("CREATE TABLE t AS SELECT ? AS marker", (MARKER,))
connection.commit()
""",
        plain,
        tmp_path / "new.db",
    )
    assert is_clear(plain)
    assert not is_clear(tmp_path / "new.db")
    connection = lumocrypt.connect(tmp_path / "new.db", key=KEY)
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (1,)
    connection.close()


def test_an_encrypted_database_under_a_foreign_main_hazard_3(encrypted: Path, tmp_path: Path) -> None:
    """The temporary files of a connection go through the VFS of its main database."""
    plain = make_plain(tmp_path / "plain.db", rows=5)
    lines = program(
        """
plain, encrypted = sys.argv[1:]
lumocrypt.unlock(encrypted, key)
import time
start = time.monotonic()
raw = "file:" + encrypted + "?vfs=lumocrypt"
for main in ("file:" + plain + "?vfs=unix", "file::memory:?vfs=unix"):
    connection = sqlite3.connect(main, uri=True, timeout=120)
    refused(sqlite3.OperationalError, lambda: connection.execute("ATTACH ? AS e", (raw,)))
# No waiting for a lock that would change nothing.
assert time.monotonic() - start < 100
""",
        plain,
        encrypted,
    )
    assert lines == ["InUseError"] * 2


def test_mmap_size_changes_nothing(encrypted: Path) -> None:
    """Answered as in clear. SQLite's own map would show it ciphertext, and its writes would be clear."""
    lines = program(
        """
path, = sys.argv[1:]
lumocrypt.unlock(path, key)
for mode in ("delete", "wal"):
    connection = sqlite3.connect(path, isolation_level=None)
    print(connection.execute("PRAGMA mmap_size=268435456").fetchone()[0])
    connection.execute("PRAGMA journal_mode=" + mode)
    connection.execute("CREATE TABLE m" + mode + " AS SELECT ? AS marker FROM t", (MARKER,))
    connection.execute("UPDATE t SET name = name || 'x'")
    print(connection.execute("PRAGMA mmap_size").fetchone()[0])
    print(connection.execute("PRAGMA integrity_check").fetchone()[0])
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
""",
        encrypted,
    )
    assert lines == ["268435456", "268435456", "ok"] * 2
    assert_nothing_clear(encrypted.parent)
    assert lumocrypt.verify(encrypted, key=KEY).ok


def test_a_pragma_key_on_a_stock_connection_is_noticed_hazard_3(tmp_path: Path) -> None:
    """Unknown pragmas are ignored by SQLite: a program must not take silence for encryption."""
    lines = program(
        """
path, = sys.argv[1:]
lumocrypt.install(default=False)
connection = sqlite3.connect(path)
print(connection.execute("PRAGMA lumo_key = 'pass'").fetchall())
lumocrypt.install(default=True)
connection = sqlite3.connect(path)
print(len(connection.execute("PRAGMA lumo_key = 'pass'").fetchall()))
connection.execute("CREATE TABLE t AS SELECT ? AS marker", (MARKER,))
connection.commit()
""",
        tmp_path / "new.db",
    )
    # A row is the answer that tells a stock connection from ours.
    assert lines == ["[]", "1"]
    assert not is_clear(tmp_path / "new.db")


def test_load_refuses_a_connection_that_it_cannot_encrypt_hazard_3(tmp_path: Path) -> None:
    lines = program(
        """
path, = sys.argv[1:]
lumocrypt.install(default=False)
refused(lumocrypt.CryptError, lambda: lumocrypt.load(sqlite3.connect(path)))
""",
        tmp_path / "new.db",
    )
    assert lines == ["CryptError"]


def test_connect_refuses_a_plaintext_vfs(tmp_path: Path) -> None:
    """Whatever VFS a caller names, ours is put over it."""
    for vfs in ("unix", "unix-excl", "unix-none"):
        path = tmp_path / f"{vfs}.db"
        connection = lumocrypt.connect(f"{path.as_uri()}?vfs={vfs}", key=KEY, uri=True)
        fill(connection, 10)
        connection.close()
        assert not is_clear(path)


def test_a_checksum_database_beside_an_encrypted_one_hazard_3(encrypted: Path, tmp_path: Path) -> None:
    """What is written to it would be in clear: one in the place of an encrypted one is refused."""
    checked = tmp_path / "checked.db"
    make_plain(tmp_path / "plain.db", rows=5)
    lumocrypt.encrypt(tmp_path / "plain.db", checked, key=None, cipher="checksum")
    connection = lumocrypt.connect(encrypted, key=KEY)
    with pytest.raises(lumocrypt.NotEncryptedError, match="only checksummed"):
        connection.execute("ATTACH ? AS other", (str(checked),))
    # Unless that is meant.
    connection.execute("ATTACH ? AS other", (f"file:{checked}?lumo_cipher=checksum",))
    assert connection.execute("SELECT count(*) FROM other.t").fetchone() == (5,)
    connection.close()
