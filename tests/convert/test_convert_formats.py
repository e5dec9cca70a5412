"""Plaintext, lumocrypt's format and gosqlite's: every way between them, and what stops one."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import lumocrypt
from support.bytes_on_disk import flip
from support.crash import crashed
from support.gosqlite import KEYS
from support.known_keys import RAW
from support.plaintext import MARKER, fill, make_plain
from support.program import run

FORMATS = ["lumocrypt", "gosqlite-adiantum", "gosqlite-aes-256-xts"]
OTHER = {cipher: bytes(byte ^ 0x5A for byte in key) for cipher, key in KEYS.items()}


def side(name: str, *, new: bool = False, other: bool = False) -> dict[str, Any]:
    """The arguments of one side of a conversion."""
    prefix = "new_" if new else ""
    if name == "lumocrypt":
        key = bytes(reversed(RAW)) if other else RAW
        return {f"{prefix}format": "lumocrypt", f"{prefix}key": lumocrypt.Key.raw(key)}
    cipher = name.removeprefix("gosqlite-")
    key = (OTHER if other else KEYS)[cipher]
    return {f"{prefix}format": "gosqlite", f"{prefix}key": key, f"{prefix}cipher": cipher}


def encrypted(plain: Path, name: str) -> Path:
    path = plain.with_name(f"{name}.db")
    lumocrypt.encrypt(plain, path, **side(name))
    return path


def decrypted(path: Path, name: str, *, other: bool = False) -> bytes:
    target = path.with_name(path.name + ".clear")
    lumocrypt.decrypt(path, target, **side(name, other=other))
    try:
        return target.read_bytes()
    finally:
        target.unlink()


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
@pytest.mark.parametrize("cipher", KEYS)
def test_to_gosqlite_and_back(
    tmp_path: Path, cipher: str, journal_mode: str, in_place: bool, page_size: int
) -> None:
    plain = make_plain(tmp_path / "a.db", journal_mode=journal_mode, page_size=page_size)
    original = plain.read_bytes()
    options: dict[str, Any] = {"key": KEYS[cipher], "format": "gosqlite", "cipher": cipher}
    names = [None, None] if in_place else [tmp_path / "b.db", tmp_path / "c.db"]
    seen: list[tuple[int, int]] = []
    done = lumocrypt.encrypt(
        plain, names[0], page_size=page_size, progress=lambda now, total: seen.append((now, total)), **options
    )
    assert (done.cipher, done.source_size, done.destination_size) == (cipher, len(original), len(original))
    # Half of the work is to read the result back.
    assert seen[-1] == (2 * len(original), 2 * len(original))
    sealed = Path(done.destination).read_bytes()
    assert MARKER.encode() not in sealed
    assert original[:16] not in sealed
    lumocrypt.decrypt(done.destination, names[1], **options)
    assert (names[1] or plain).read_bytes() == original
    assert sorted(os.listdir(tmp_path)) == (["a.db"] if in_place else ["a.db", "b.db", "c.db"])


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("new", FORMATS)
@pytest.mark.parametrize("old", FORMATS)
def test_between_encrypted_formats(tmp_path: Path, plain: Path, old: str, new: str, in_place: bool) -> None:
    path = encrypted(plain, old)
    before = path.read_bytes()
    target = path if in_place else tmp_path / "target.db"
    done = lumocrypt.convert(
        path, None if in_place else target, **side(old), **side(new, new=True, other=True)
    )
    assert done.cipher == ("aegis-256x2" if new == "lumocrypt" else new.removeprefix("gosqlite-"))
    assert done.destination == str(target)
    assert decrypted(target, new, other=True) == plain.read_bytes()
    if not in_place:
        assert path.read_bytes() == before
    with pytest.raises(lumocrypt.WrongKeyError):
        decrypted(target, new)


def test_nothing_is_in_clear_meanwhile(tmp_path: Path, plain: Path) -> None:
    path = encrypted(plain, "gosqlite-adiantum")
    plain.unlink()
    contents: list[bytes] = []

    def look(now: int, total: int) -> None:
        # Not the source: closing it would drop the lock that this process has on it.
        contents.extend(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file() and file != path)

    lumocrypt.convert(path, progress=look, **side("gosqlite-adiantum"), **side("lumocrypt", new=True))
    assert contents
    assert not any(MARKER.encode() in content or b"CREATE TABLE" in content for content in contents)


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_a_log_that_a_crash_left_is_applied_first(tmp_path: Path, plain: Path, journal_mode: str) -> None:
    path = encrypted(plain, "gosqlite-adiantum")
    with lumocrypt.crypto_vfs(KEYS["adiantum"]) as vfs:
        connection = sqlite3.connect(f"file:{path}?vfs={vfs.name}", uri=True, isolation_level=None)
        connection.execute(f"PRAGMA journal_mode={journal_mode}")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("UPDATE t SET name = 'committed'")
        connection.execute("PRAGMA cache_size=2")
        connection.execute("BEGIN")
        connection.execute("UPDATE t SET name = 'never committed'")
        copy = crashed(path, tmp_path / "crash")
        connection.close()
    lumocrypt.decrypt(copy, tmp_path / "clear.db", key=KEYS["adiantum"], format="gosqlite")
    reader = sqlite3.connect(tmp_path / "clear.db")
    assert reader.execute("SELECT DISTINCT name FROM t").fetchall() == [("committed",)]
    reader.close()


def refused(path: Path, **arguments: Any) -> Exception:
    """The error of a decryption; the file is as it was and nothing is left behind."""
    before, names = path.read_bytes(), sorted(os.listdir(path.parent))
    with pytest.raises(Exception) as caught:  # noqa: PT011
        lumocrypt.decrypt(path, format="gosqlite", **arguments)
    assert path.read_bytes() == before
    assert sorted(os.listdir(path.parent)) == names
    return caught.value


@pytest.mark.parametrize("cipher", KEYS)
def test_keys_and_page_sizes_are_told_apart(tmp_path: Path, cipher: str) -> None:
    plain = make_plain(tmp_path / "a.db", page_size=8192)
    path = tmp_path / "b.db"
    with pytest.raises(ValueError, match="8192 bytes"):
        lumocrypt.encrypt(plain, path, key=KEYS[cipher], format="gosqlite", cipher=cipher, page_size=4096)
    lumocrypt.encrypt(plain, path, key=KEYS[cipher], format="gosqlite", cipher=cipher)
    error = refused(path, key=KEYS[cipher], cipher=cipher, page_size=4096)
    assert isinstance(error, lumocrypt.UnsupportedFormatError)
    assert "page_size is 8192 in the file, and 4096 was given" in str(error)
    assert isinstance(refused(path, key=OTHER[cipher], cipher=cipher), lumocrypt.WrongKeyError)
    (other,) = set(KEYS) - {cipher}
    assert isinstance(refused(path, key=KEYS[other], cipher=other), lumocrypt.WrongKeyError)
    assert isinstance(refused(plain, key=KEYS[cipher], cipher=cipher), lumocrypt.NotEncryptedError)


def test_damage_that_sqlite_can_see_stops_a_conversion(plain: Path) -> None:
    # Nothing authenticates in this format; a garbled page is no b-tree page.
    path = encrypted(plain, "gosqlite-adiantum")
    flip(path, 5 * 4096 + 100)
    error = refused(path, key=KEYS["adiantum"])
    assert "quick_check" in str(error)


def test_somebody_else_uses_it(plain: Path) -> None:
    path = encrypted(plain, "gosqlite-adiantum")
    with lumocrypt.crypto_vfs(KEYS["adiantum"]) as vfs:
        connection = sqlite3.connect(f"file:{path}?vfs={vfs.name}", uri=True, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        assert isinstance(refused(path, key=KEYS["adiantum"]), lumocrypt.InUseError)
        connection.close()


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"key": "a passphrase", "format": "gosqlite"}, TypeError, "a key for adiantum is 32 bytes, not str"),
        ({"key": None, "format": "gosqlite"}, TypeError, "32 bytes"),
        ({"key": bytes(31), "format": "gosqlite"}, ValueError, "32 bytes, not 31"),
        ({"key": bytes(range(32)), "format": "gosqlite", "cipher": "aes-256-xts"}, ValueError, "64 bytes"),
        ({"key": bytes(64), "format": "gosqlite", "cipher": "aes-256-xts"}, ValueError, "halves"),
        ({"key": bytes(32), "format": "gosqlite", "cipher": "aegis-256"}, ValueError, "adiantum"),
        ({"key": bytes(32), "format": "sqlcipher"}, ValueError, "lumocrypt and gosqlite"),
        ({"key": bytes(32), "format": "gosqlite", "page_size": 1000}, ValueError, "power of two"),
        ({"key": bytes(32), "format": "gosqlite", "block_size": 4096}, ValueError, "block_size"),
        ({"key": "x", "page_size": 4096}, ValueError, "block_size"),
        ({"key": bytes(32)}, TypeError, "Key.raw"),
    ],
)
def test_bad_arguments(plain: Path, arguments: dict[str, Any], error: type[Exception], says: str) -> None:
    before = plain.read_bytes()
    with pytest.raises(error, match=says):
        lumocrypt.encrypt(plain, **arguments)
    assert plain.read_bytes() == before


def test_a_content_that_is_damaged_already_is_not_moved(tmp_path: Path) -> None:
    plain = make_plain(tmp_path / "a.db")
    with plain.open("r+b") as file:
        file.seek(5 * 4096)
        file.write(b"\xff" * 200)
    before = plain.read_bytes()
    with pytest.raises(lumocrypt.CryptError, match="quick_check"):
        lumocrypt.encrypt(plain, key=KEYS["adiantum"], format="gosqlite")
    assert plain.read_bytes() == before


def test_the_commands(tmp_path: Path) -> None:
    plain = make_plain(tmp_path / "a.db")
    original = plain.read_bytes()
    raw = {name: f"x'{key.hex()}'" for name, key in KEYS.items()}
    go = ["--format", "gosqlite"]
    done = run("encrypt", plain, *go, "--page-size", 4096, "--json", env={"LUMO_KEY": raw["adiantum"]})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cipher"] == "adiantum"
    # To the other cipher, by a passphrase; to lumocrypt's format; and out.
    salt = "00" * 15 + "01"
    environment = {"LUMO_KEY": raw["adiantum"], "LUMO_NEW_KEY": "a passphrase"}
    options = ["--from", "gosqlite", "--to", "gosqlite", "--new-cipher", "aes-256-xts", "--new-salt", salt]
    done = run("convert", plain, *options, env=environment)
    assert done.returncode == 0, done.stderr
    assert b"aes-256-xts" in done.stdout
    derived = lumocrypt.derive_key("a passphrase", bytes.fromhex(salt), "aes-256-xts")
    with lumocrypt.crypto_vfs(derived, "aes-256-xts") as vfs:
        connection = sqlite3.connect(f"file:{plain}?vfs={vfs.name}", uri=True)
        with contextlib.closing(connection):
            assert connection.execute("SELECT count(*) FROM t").fetchone() == (500,)
    environment = {"LUMO_KEY": "a passphrase", "LUMO_NEW_KEY": f"x'{RAW.hex()}'"}
    options = ["--from", "gosqlite", "--to", "lumocrypt", "--cipher", "aes-256-xts", "--salt", salt]
    done = run("convert", plain, tmp_path / "native.db", *options, env=environment)
    assert done.returncode == 0, done.stderr
    assert lumocrypt.verify(tmp_path / "native.db", key=lumocrypt.Key.raw(RAW)).ok
    done = run(
        "decrypt", plain, *go, "--cipher", "aes-256-xts", "--salt", salt, env={"LUMO_KEY": "a passphrase"}
    )
    assert done.returncode == 0, done.stderr
    assert plain.read_bytes() == original


@pytest.mark.parametrize(
    ("options", "key", "code", "says"),
    [
        ([], "a passphrase", 2, "salt"),
        (["--salt", "00"], "a passphrase", 2, "too short"),
        (["--salt", "xy"], "a passphrase", 2, "salt"),
        (["--salt", "00" * 16], f"x'{'12' * 32}'", 2, "raw"),
        ([], f"x'{'12' * 31}'", 3, "64 hexadecimal digits"),
        ([], f"x'{'12' * 32}'", 3, "key"),
        (["--cipher", "aes-256-xts"], f"x'{'12' * 32}'", 3, "128 hexadecimal digits"),
        (["--cipher", "aegis-256"], f"x'{'12' * 32}'", 2, "adiantum"),
    ],
)
def test_what_the_command_refuses(plain: Path, options: list[str], key: str, code: int, says: str) -> None:
    path = encrypted(plain, "gosqlite-adiantum")
    done = run("decrypt", path, "--format", "gosqlite", *options, env={"LUMO_KEY": key})
    assert done.returncode == code, done.stderr
    assert says in done.stderr.decode()


def test_a_foreign_collation_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    connection = sqlite3.connect(path)
    connection.create_collation("own", lambda a, b: (a > b) - (a < b))
    fill(connection, 10)
    connection.execute("CREATE INDEX by_own ON t (name COLLATE own)")
    connection.commit()
    connection.close()
    lumocrypt.encrypt(path, key=KEYS["adiantum"], format="gosqlite")
