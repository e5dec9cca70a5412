"""Copies of the header, and their way back."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

import lumocrypt
from support.known_keys import RAW
from support.layout import CELL_A, COPY, GENERATION_AT, HEADER, patched, u64
from support.peers import Peer
from support.plaintext import fill

KEY = lumocrypt.Key.raw(RAW)
OTHER = lumocrypt.Key.raw(bytes([1] * 32))


@pytest.fixture
def backup(encrypted: Path) -> Path:
    path = encrypted.with_name("header.bin")
    assert lumocrypt.backup_header(encrypted, path) == str(path)
    return path


def rows(path: Path, key: lumocrypt.Key = KEY) -> int:
    with contextlib.closing(lumocrypt.connect(path, key=key)) as connection:
        return connection.execute("SELECT count(*) FROM t").fetchone()[0]


def overwrite(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def saved_headers(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.lumo-header-*"))


def assert_refused(
    error: type[Exception],
    path: Path,
    source: Path,
    key: lumocrypt.Key | str | None = KEY,
    match: str | None = None,
) -> None:
    before = path.read_bytes()
    with pytest.raises(error, match=match):
        lumocrypt.restore_header(path, source, key=key)
    assert path.read_bytes() == before
    assert saved_headers(path) == []


def test_a_backup_is_the_header_and_private(encrypted: Path, backup: Path) -> None:
    assert backup.read_bytes() == encrypted.read_bytes()[:HEADER]
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        lumocrypt.backup_header(encrypted, backup)
    os.symlink("nowhere", encrypted.with_name("link"))
    with pytest.raises(FileExistsError):
        lumocrypt.backup_header(encrypted, encrypted.with_name("link"))
    assert sorted(path.name for path in encrypted.parent.iterdir()) == ["app.db", "header.bin", "link"]


def test_what_has_no_header_gives_no_backup(plain: Path, encrypted: Path) -> None:
    with pytest.raises(lumocrypt.NotEncryptedError):
        lumocrypt.backup_header(plain, plain.with_name("header.bin"))
    overwrite(encrypted, 0, bytes(2 * COPY))
    with pytest.raises(lumocrypt.CryptError):
        lumocrypt.backup_header(encrypted, plain.with_name("header.bin"))
    assert not plain.with_name("header.bin").exists()


@pytest.mark.parametrize(
    "damage", [bytes(HEADER), b"\xff" * HEADER, b"lumocrypt" * 7300], ids=["zero", "ones", "text"]
)
def test_a_database_whose_header_is_gone_comes_back(encrypted: Path, backup: Path, damage: bytes) -> None:
    overwrite(encrypted, 0, damage[:HEADER])
    with pytest.raises(lumocrypt.CryptError):
        rows(encrypted)
    done = lumocrypt.restore_header(encrypted, backup, key=KEY)
    assert (done.path, done.generation, done.new_cells) == (str(encrypted), 2, True)
    assert 0 < done.opened == done.tried
    assert [str(path) for path in saved_headers(encrypted)] == [done.saved]
    assert Path(done.saved).read_bytes() == damage[:HEADER]
    assert stat.S_IMODE(Path(done.saved).stat().st_mode) == 0o600
    assert rows(encrypted) == 500
    assert lumocrypt.verify(encrypted, key=KEY).ok


def test_the_generation_goes_on(encrypted: Path, backup: Path) -> None:
    """Whoever compares generations sees the restoration as the latest change."""
    for label in ("a", "b", "c"):
        lumocrypt.label_key(encrypted, label, key=KEY)
    assert lumocrypt.restore_header(encrypted, backup, key=KEY).generation == 5
    assert lumocrypt.info(encrypted).copies == {"a": "ok", "b": "ok"}
    assert lumocrypt.keyslots(encrypted)[0].label == ""


def test_keys_are_those_of_the_backup(encrypted: Path, backup: Path) -> None:
    """What removing a key does not revoke: whoever has the old header and the old key."""
    lumocrypt.change_key(encrypted, key=KEY, new_key=OTHER)
    with pytest.raises(lumocrypt.WrongKeyError):
        rows(encrypted)
    assert_refused(lumocrypt.WrongKeyError, encrypted, backup, OTHER, "backup")
    lumocrypt.restore_header(encrypted, backup, key=KEY)
    assert rows(encrypted) == 500
    with pytest.raises(lumocrypt.WrongKeyError):
        rows(encrypted, OTHER)


def test_a_whole_copy_of_the_database_will_do(encrypted: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_bytes(encrypted.read_bytes())
    overwrite(encrypted, 0, bytes(HEADER))
    with contextlib.closing(lumocrypt.connect(copy, key=KEY)) as open_copy:
        open_copy.execute("SELECT 1 FROM t").fetchall()
        lumocrypt.restore_header(encrypted, copy, key=KEY)
    assert rows(encrypted) == 500


def test_the_header_of_another_file_is_refused_hazard_6(
    encrypted: Path, backup: Path, tmp_path: Path
) -> None:
    """Of another database, of a copy with the same data key, of the same one before it was encrypted anew."""
    other, copy = tmp_path / "other.db", tmp_path / "copy.db"
    with contextlib.closing(lumocrypt.connect(other, key=KEY)) as connection:
        fill(connection)
        connection.execute("SELECT 1")
    with contextlib.closing(lumocrypt.connect(encrypted, key=KEY)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    for path in (other, copy):
        assert_refused(ValueError, path, backup, KEY, "another database")
        overwrite(path, 0, bytes(HEADER))
        assert_refused(ValueError, path, backup, KEY, "another database")
    lumocrypt.decrypt(encrypted, key=KEY)
    lumocrypt.encrypt(encrypted, key=KEY)
    assert_refused(ValueError, encrypted, backup, KEY, "data key")


def test_the_backup_has_to_be_sound_and_to_open(
    encrypted: Path, backup: Path, plain: Path, tmp_path: Path
) -> None:
    good = backup.read_bytes()
    assert_refused(lumocrypt.WrongKeyError, encrypted, backup, OTHER)
    assert_refused(lumocrypt.WrongKeyError, encrypted, backup, "a passphrase")
    assert_refused(lumocrypt.KeyRequiredError, encrypted, backup, None)
    assert_refused(lumocrypt.NotEncryptedError, encrypted, plain)
    short = tmp_path / "short"
    short.write_bytes(good[:-1])
    assert_refused(ValueError, encrypted, short, KEY, "shorter")
    assert_refused(FileNotFoundError, encrypted, tmp_path / "none")
    # Somebody without the key made it: the digests are right.
    backup.write_bytes(patched(good, GENERATION_AT, u64(99)))
    assert_refused(lumocrypt.HeaderDamagedError, encrypted, backup)
    backup.write_bytes(b"\0" * 200 + good[200:COPY] + b"\0" * 200 + good[COPY + 200 :])
    assert_refused(lumocrypt.CryptError, encrypted, backup)
    # One sound copy is enough.
    backup.write_bytes(good[:100] + b"\1" + good[101:])
    lumocrypt.restore_header(encrypted, backup, key=KEY)
    assert rows(encrypted) == 500


def test_a_forged_header_does_not_keep_the_right_one_out(encrypted: Path, backup: Path) -> None:
    """Anybody can write another key id, and make the digest right again: every block says otherwise."""
    content = encrypted.read_bytes()
    encrypted.write_bytes(patched(patched(content, 48, b"another key id.."), GENERATION_AT, u64(2**63 - 1)))
    done = lumocrypt.restore_header(encrypted, backup, key=KEY)
    assert done.opened == done.tried == lumocrypt.info(encrypted).blocks
    assert rows(encrypted) == 500


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_nobody_else_may_use_the_database(
    encrypted: Path, backup: Path, peer: Callable[..., Peer], mode: str
) -> None:
    other = peer(encrypted, RAW)
    other.run(f"PRAGMA journal_mode={mode}")
    other.run("BEGIN")
    other.run("SELECT count(*) FROM t")
    assert_refused(lumocrypt.InUseError, encrypted, backup, match="close them")
    other.run("COMMIT")
    if mode == "wal":
        # It holds a lock for as long as it is open.
        assert_refused(lumocrypt.InUseError, encrypted, backup)
    other.close()
    with contextlib.closing(lumocrypt.connect(encrypted, key=KEY)) as ours:
        ours.execute("BEGIN IMMEDIATE")
        # Reading the file in here, as assert_refused does, would drop this process's locks.
        with pytest.raises(lumocrypt.InUseError):
            lumocrypt.restore_header(encrypted, backup, key=KEY)
        another = peer(encrypted, RAW)
        assert another.run("BEGIN IMMEDIATE")["error"] == "OperationalError"
        another.close()
    lumocrypt.restore_header(encrypted, backup, key=KEY)
    assert rows(encrypted) == 500


def test_the_wal_goes_on_where_the_cells_are_sound(
    encrypted: Path, backup: Path, peer: Callable[..., Peer]
) -> None:
    """A backup is older than the log, whose name the cells keep."""
    writer = peer(encrypted, RAW)
    for sql in (
        "PRAGMA journal_mode=WAL",
        "PRAGMA wal_autocheckpoint=0",
        "INSERT INTO t (name) VALUES ('in the log')",
    ):
        assert "rows" in writer.run(sql)
    writer.kill()
    assert encrypted.with_name("app.db-wal").stat().st_size
    overwrite(encrypted, 0, bytes(2 * COPY))
    assert not lumocrypt.restore_header(encrypted, backup, key=KEY).new_cells
    assert rows(encrypted) == 501
    assert lumocrypt.verify(encrypted, key=KEY).ok


def test_a_log_that_nothing_names_is_not_guessed_at(
    encrypted: Path, backup: Path, peer: Callable[..., Peer]
) -> None:
    writer = peer(encrypted, RAW)
    for sql in ("PRAGMA journal_mode=WAL", "INSERT INTO t (name) VALUES ('in the log')"):
        assert "rows" in writer.run(sql)
    writer.kill()
    overwrite(encrypted, 0, bytes(CELL_A + 8192))
    assert_refused(lumocrypt.HeaderDamagedError, encrypted, backup, match="-wal")
    for suffix in ("-wal", "-shm"):
        encrypted.with_name(f"app.db{suffix}").unlink()
    assert lumocrypt.restore_header(encrypted, backup, key=KEY).new_cells
    assert rows(encrypted) == 500


def test_damaged_blocks_are_told(encrypted: Path, backup: Path) -> None:
    overwrite(encrypted, 0, bytes(HEADER + 6000))
    done = lumocrypt.restore_header(encrypted, backup, key=KEY)
    assert 0 < done.opened < done.tried
    with pytest.raises(lumocrypt.TamperedError):
        rows(encrypted)


def test_damaged_blocks_alone_are_no_reason_to_change_the_header(encrypted: Path, backup: Path) -> None:
    overwrite(encrypted, HEADER, bytes(encrypted.stat().st_size - HEADER))
    assert_refused(lumocrypt.TamperedError, encrypted, backup, match="does not mend")


def test_a_checksummed_database_has_a_header_too(plain: Path) -> None:
    lumocrypt.encrypt(plain, key=None, cipher="checksum")
    backup = plain.with_name("header.bin")
    lumocrypt.backup_header(plain, backup)
    overwrite(plain, 0, bytes(HEADER))
    lumocrypt.restore_header(plain, backup, key=None)
    assert lumocrypt.verify(plain, key=None).ok
