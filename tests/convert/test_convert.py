"""``encrypt`` and ``decrypt``: the same bytes come back, nobody is overlooked, failures leave no trace."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lumocrypt
from lumocrypt.files.newfile import NewFile
from samples import SUITES
from support.bytes_on_disk import flip
from support.crash import crashed
from support.known_keys import FAST, RAW
from support.peers import Peer
from support.plaintext import MARKER, fill, make_plain
from support.unprivileged import Unprivileged


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("journal_mode", ["delete", "wal", "persist", "truncate"])
@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_the_same_bytes_come_back(
    tmp_path: Path, key: lumocrypt.Key, journal_mode: str, page_size: int, in_place: bool
) -> None:
    plain = make_plain(tmp_path / "a.db", journal_mode=journal_mode, page_size=page_size)
    original = plain.read_bytes()
    assert original[18] == (2 if journal_mode == "wal" else 1)
    if in_place:
        lumocrypt.encrypt(plain, key=key)
        assert original[:16] not in plain.read_bytes()
        assert MARKER.encode() not in plain.read_bytes()
        lumocrypt.decrypt(plain, key=key)
        assert names(tmp_path) == ["a.db"]
        assert plain.read_bytes() == original
    else:
        lumocrypt.encrypt(plain, tmp_path / "b.db", key=key)
        lumocrypt.decrypt(tmp_path / "b.db", tmp_path / "c.db", key=key)
        assert plain.read_bytes() == (tmp_path / "c.db").read_bytes() == original


@pytest.mark.parametrize("cipher", SUITES)
def test_every_suite(plain: Path, key: lumocrypt.Key, cipher: str) -> None:
    original = plain.read_bytes()
    suite_key = None if cipher == "checksum" else key
    done = lumocrypt.encrypt(plain, key=suite_key, cipher=cipher)
    assert done.source_size == len(original)
    assert done.destination_size == plain.stat().st_size
    assert lumocrypt.info(plain).cipher == cipher
    assert lumocrypt.verify(plain, key=suite_key).ok
    lumocrypt.decrypt(plain, key=suite_key)
    assert plain.read_bytes() == original


def test_a_real_database(tmp_path: Path) -> None:
    pyproj_datadir = pytest.importorskip("pyproj.datadir")
    source = Path(pyproj_datadir.get_data_dir()) / "proj.db"
    copy = tmp_path / "proj.db"
    shutil.copyfile(source, copy)
    lumocrypt.encrypt(copy, key="pass", kdf=FAST)
    connection = lumocrypt.connect(copy, key="pass")
    assert connection.execute("SELECT name FROM crs_view WHERE code = '4326'").fetchone() == ("WGS 84",)
    connection.close()
    lumocrypt.decrypt(copy, key="pass")
    assert copy.read_bytes() == source.read_bytes()


def test_block_sizes(plain: Path, tmp_path: Path, key: lumocrypt.Key) -> None:
    assert lumocrypt.encrypt(plain, tmp_path / "default.db", key=key)
    assert lumocrypt.info(tmp_path / "default.db").block_size == 4096
    lumocrypt.encrypt(plain, tmp_path / "small.db", key=key, block_size=512)
    assert lumocrypt.info(tmp_path / "small.db").block_size == 512
    lumocrypt.decrypt(tmp_path / "small.db", tmp_path / "back.db", key=key)
    assert (tmp_path / "back.db").read_bytes() == plain.read_bytes()
    for wrong in (0, 100, 1000, 131072, -512):
        with pytest.raises(ValueError, match=r"."):
            lumocrypt.encrypt(plain, tmp_path / "wrong.db", key=key, block_size=wrong)
    assert "wrong.db" not in names(tmp_path)


def test_a_live_wal_is_included(tmp_path: Path, key: lumocrypt.Key, peer: Callable[..., Peer]) -> None:
    plain = make_plain(tmp_path / "a.db", journal_mode="wal")
    other = peer(plain)
    other.run("PRAGMA wal_autocheckpoint=0")
    other.run("INSERT INTO t (name) VALUES ('only in the WAL')")
    assert (tmp_path / "a.db-wal").stat().st_size > 0
    # An idle peer may stay when the source is only copied.
    lumocrypt.encrypt(plain, tmp_path / "b.db", key=key)
    connection = lumocrypt.connect(tmp_path / "b.db", key=key)
    assert connection.execute("SELECT count(*) FROM t WHERE name = 'only in the WAL'").fetchone() == (1,)
    connection.close()
    assert other.run("INSERT INTO t (name) VALUES ('later')") == {"rows": []}
    other.kill()
    # After a crash the WAL is recovered.
    lumocrypt.encrypt(plain, key=key)
    connection = lumocrypt.connect(plain, key=key)
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (502,)
    connection.close()
    assert MARKER.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("a.db*"))


def test_a_hot_journal_is_rolled_back(tmp_path: Path, key: lumocrypt.Key, peer: Callable[..., Peer]) -> None:
    plain = make_plain(tmp_path / "a.db")
    other = peer(plain)
    other.run("PRAGMA cache_size=5")
    other.run("PRAGMA cache_spill=1")
    other.run("BEGIN")
    other.run("UPDATE t SET data = zeroblob(200)")
    other.kill()
    assert (tmp_path / "a.db-journal").stat().st_size > 0
    lumocrypt.encrypt(plain, key=key)
    connection = lumocrypt.connect(plain, key=key)
    assert connection.execute("SELECT count(*) FROM t WHERE data = zeroblob(200)").fetchone() == (2,)
    connection.close()
    assert names(tmp_path) == ["a.db"]


# In place: nobody may use the database


@pytest.mark.parametrize("operation", ["encrypt", "decrypt"])
@pytest.mark.parametrize(
    ("journal_mode", "statements"),
    [
        ("wal", ["SELECT count(*) FROM t"]),  # idle
        ("wal", ["BEGIN", "SELECT count(*) FROM t"]),
        ("wal", ["BEGIN IMMEDIATE"]),
        ("delete", ["BEGIN IMMEDIATE", "DELETE FROM t"]),
        ("delete", ["BEGIN", "SELECT count(*) FROM t"]),
        ("delete", ["PRAGMA locking_mode=EXCLUSIVE", "BEGIN EXCLUSIVE", "COMMIT"]),
    ],
)
@pytest.mark.parametrize("where", ["process", "thread"])
def test_a_peer_is_noticed_hazard_7(
    tmp_path: Path,
    key: lumocrypt.Key,
    peer: Callable[..., Peer],
    operation: str,
    journal_mode: str,
    statements: list[str],
    where: str,
) -> None:
    path = make_plain(tmp_path / "a.db", journal_mode=journal_mode)
    if operation == "decrypt":
        lumocrypt.encrypt(path, key=key)
    if where == "process":
        other: Any = peer(path, RAW if operation == "decrypt" else None)
        run = other.run
        close = other.close
    else:
        opener = lumocrypt.connect if operation == "decrypt" else sqlite3.connect
        arguments = {"key": key} if operation == "decrypt" else {}
        other = opener(path, isolation_level=None, **arguments)

        def run(sql: str) -> dict[str, Any]:
            return {"rows": other.execute(sql).fetchall()}

        close = other.close
    for statement in statements:
        assert "error" not in run(statement)
    # Not by this process: closing any descriptor drops its locks on the file.
    before = subprocess.check_output(["cat", path])
    with pytest.raises(lumocrypt.InUseError) as caught:
        getattr(lumocrypt, operation)(path, key=key)
    assert str(path) in str(caught.value)
    assert subprocess.check_output(["cat", path]) == before
    assert not [name for name in names(tmp_path) if name.startswith(".")]
    # The peer did not lose its lock by our attempt.
    assert "error" not in run("SELECT count(*) FROM t")
    if "BEGIN IMMEDIATE" in statements:
        third = peer(path, RAW if operation == "decrypt" else None)
        assert "locked" in third.run("BEGIN IMMEDIATE")["message"]
        third.close()
    close()
    getattr(lumocrypt, operation)(path, key=key)


@pytest.mark.parametrize("operation", ["encrypt", "decrypt"])
@pytest.mark.parametrize("has_read", [True, False])
def test_an_idle_peer_in_rollback_mode_is_cut_off_hazard_7(
    tmp_path: Path, key: lumocrypt.Key, peer: Callable[..., Peer], operation: str, has_read: bool
) -> None:
    """It holds no lock, and would read, and write to, a file that has no name any more."""
    path = make_plain(tmp_path / "a.db")
    if operation == "decrypt":
        lumocrypt.encrypt(path, key=key)
    other = peer(path, RAW if operation == "decrypt" else None)
    if has_read:
        assert other.run("SELECT count(*) FROM t") == {"rows": [[500]]}
    getattr(lumocrypt, operation)(path, key=key)
    for sql in ("SELECT count(*) FROM t", "INSERT INTO t (name) VALUES ('lost')", "SELECT name FROM t"):
        assert "error" in other.run(sql)
    assert names(tmp_path) == ["a.db"]


def test_an_idle_wal_peer_that_never_read_is_cut_off_hazard_7(
    tmp_path: Path, key: lumocrypt.Key, peer: Callable[..., Peer]
) -> None:
    path = make_plain(tmp_path / "a.db", journal_mode="wal")
    other = peer(path)
    lumocrypt.encrypt(path, key=key)
    assert "error" in other.run("INSERT INTO t (name) VALUES ('lost')")
    other.close()
    connection = lumocrypt.connect(path, key=key)
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (500,)
    connection.close()


@pytest.mark.parametrize("log", ["wal", "journal"])
def test_closing_does_not_touch_the_new_databases_logs(
    tmp_path: Path, key: lumocrypt.Key, monkeypatch: pytest.MonkeyPatch, log: str
) -> None:
    """SQLite deletes logs by name on closing; by then the name is the new database's."""
    from lumocrypt.database import quiesce

    path = make_plain(tmp_path / "a.db", journal_mode="wal")
    opened: list[sqlite3.Connection] = []
    replace_by = quiesce.Takeover.replace_by

    def replace_and_use(self: quiesce.Takeover, new: NewFile) -> None:
        replace_by(self, new)
        connection = lumocrypt.connect(path, key=key, isolation_level=None)
        if log == "wal":
            connection.execute("INSERT INTO t (name) VALUES ('in the new WAL')")
        else:
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute("PRAGMA cache_size=5")
            connection.execute("BEGIN")
            connection.execute("UPDATE t SET data = zeroblob(200)")
        opened.append(connection)

    monkeypatch.setattr(quiesce.Takeover, "replace_by", replace_and_use)
    lumocrypt.encrypt(path, key=key)
    assert (tmp_path / f"a.db-{log}").stat().st_size > 0
    crashed = tmp_path / "crashed"
    shutil.copytree(tmp_path, crashed, ignore=shutil.ignore_patterns("crashed"))
    connection = lumocrypt.connect(crashed / "a.db", key=key)
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (501 if log == "wal" else 500,)
    assert connection.execute("SELECT count(*) FROM t WHERE data = zeroblob(200)").fetchone() == (2,)
    connection.close()
    opened[0].close()


def test_symbolic_links_are_followed(tmp_path: Path, key: lumocrypt.Key) -> None:
    folder = tmp_path / "real"
    folder.mkdir()
    path = make_plain(folder / "a.db")
    original = path.read_bytes()
    link = tmp_path / "link.db"
    link.symlink_to(path)
    lumocrypt.encrypt(link, key=key)
    assert link.is_symlink()
    assert lumocrypt.info(path).path == str(path)
    lumocrypt.decrypt(link, key=key)
    assert link.is_symlink()
    assert path.read_bytes() == original


def test_hard_links_are_refused_in_place_hazard_7(plain: Path, tmp_path: Path, key: lumocrypt.Key) -> None:
    os.link(plain, tmp_path / "other-name.db")
    before = plain.read_bytes()
    with pytest.raises(lumocrypt.CryptError, match="hard link"):
        lumocrypt.encrypt(plain, key=key)
    assert plain.read_bytes() == before
    lumocrypt.encrypt(plain, tmp_path / "copy.db", key=key)


def test_permission_bits(plain: Path, tmp_path: Path, key: lumocrypt.Key) -> None:
    plain.chmod(0o640)
    lumocrypt.encrypt(plain, tmp_path / "b.db", key=key)
    assert stat.S_IMODE((tmp_path / "b.db").stat().st_mode) == 0o640
    lumocrypt.encrypt(plain, key=key)
    assert stat.S_IMODE(plain.stat().st_mode) == 0o640


def test_the_new_file_is_private_while_it_is_written(plain: Path, key: lumocrypt.Key) -> None:
    plain.chmod(0o666)
    modes: list[int] = []

    def look(done: int, total: int) -> None:
        modes.extend(stat.S_IMODE(path.stat().st_mode) for path in plain.parent.glob(".lumo-*/*"))
        modes.extend(stat.S_IMODE(path.stat().st_mode) & 0o677 for path in plain.parent.glob(".lumo-*"))

    lumocrypt.encrypt(plain, key=key, progress=look)
    assert modes
    assert set(modes) == {0o600}


# Progress


def test_progress(plain: Path, key: lumocrypt.Key) -> None:
    seen: list[tuple[int, int]] = []
    lumocrypt.encrypt(plain, key=key, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1] > 0
    seen.clear()
    assert lumocrypt.verify(plain, key=key, progress=lambda done, total: seen.append((done, total))).ok
    assert seen[-1][0] == seen[-1][1] > 0


class Stop(Exception):
    pass


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("operation", ["encrypt", "decrypt"])
@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt])
@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_an_exception_from_progress_stops_and_cleans_up(
    tmp_path: Path,
    key: lumocrypt.Key,
    operation: str,
    in_place: bool,
    error: type[BaseException],
    journal_mode: str,
) -> None:
    path = make_plain(tmp_path / "a.db", journal_mode=journal_mode)
    if operation == "decrypt":
        lumocrypt.encrypt(path, key=key)
    before = path.read_bytes()

    def stop(done: int, total: int) -> None:
        raise error

    with pytest.raises(error):
        getattr(lumocrypt, operation)(path, None if in_place else tmp_path / "b.db", key=key, progress=stop)
    assert path.read_bytes() == before
    assert names(tmp_path) == ["a.db"]


# Failures


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
@pytest.mark.parametrize("operation", ["encrypt", "decrypt"])
def test_a_failing_rename_leaves_the_original(
    tmp_path: Path, key: lumocrypt.Key, monkeypatch: pytest.MonkeyPatch, journal_mode: str, operation: str
) -> None:
    path = make_plain(tmp_path / "a.db", journal_mode=journal_mode)
    if operation == "decrypt":
        lumocrypt.encrypt(path, key=key)
    before = path.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", fail)
        with pytest.raises(OSError, match="broken"):
            getattr(lumocrypt, operation)(path, key=key)
    assert path.read_bytes() == before
    assert names(tmp_path) == ["a.db"]
    getattr(lumocrypt, operation)(path, key=key)


_FULL_DISK = """
import resource, signal, sys, errno, lumocrypt
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    lumocrypt.{operation}(sys.argv[1], sys.argv[2] or None, key=lumocrypt.Key.raw(bytes(range(32))))
except (OSError, lumocrypt.Error) as error:
    print(type(error).__name__, error)
    sys.exit(7)
"""


@pytest.mark.parametrize("operation", ["encrypt", "decrypt"])
@pytest.mark.parametrize("in_place", [True, False])
def test_a_file_that_cannot_grow(tmp_path: Path, key: lumocrypt.Key, operation: str, in_place: bool) -> None:
    """The limit on file sizes stands in for a full disk."""
    path = make_plain(tmp_path / "a.db")
    if operation == "decrypt":
        lumocrypt.encrypt(path, key=key)
    before = path.read_bytes()
    destination = "" if in_place else str(tmp_path / "b.db")
    code = _FULL_DISK.format(operation=operation)
    command = [sys.executable, "-c", code, path, destination]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 7, run.stderr
    assert run.stdout.startswith("OSError"), run.stdout
    assert path.read_bytes() == before
    assert names(tmp_path) == ["a.db"]


@pytest.mark.parametrize("damage", ["byte", "swap", "cut"])
@pytest.mark.parametrize("in_place", [True, False])
def test_decrypting_a_damaged_file_leaves_it(
    encrypted: Path, key: lumocrypt.Key, tmp_path: Path, damage: str, in_place: bool
) -> None:
    slot = 4096 + 40
    content = bytearray(encrypted.read_bytes())
    if damage == "byte":
        content[65536 + 9 * slot + 17] ^= 0x80
    elif damage == "swap":
        one, two = (slice(65536 + i * slot, 65536 + (i + 1) * slot) for i in (7, 8))
        content[one], content[two] = content[two], content[one]
    else:
        del content[-100:]
    encrypted.write_bytes(content)
    with pytest.raises(lumocrypt.TamperedError) as caught:
        lumocrypt.decrypt(encrypted, None if in_place else tmp_path / "out.db", key=key)
    assert caught.value.path == str(encrypted)
    assert encrypted.read_bytes() == content
    assert names(tmp_path) == ["app.db"]


def test_wrong_sources(tmp_path: Path, plain: Path, encrypted: Path, key: lumocrypt.Key) -> None:
    empty = tmp_path / "empty.db"
    empty.touch()
    noise = tmp_path / "noise.db"
    noise.write_bytes(os.urandom(9000))
    contents = {path: path.read_bytes() for path in (plain, encrypted, empty, noise)}
    cases: list[tuple[str, Path, type[BaseException], dict[str, object]]] = [
        ("encrypt", tmp_path / "none.db", FileNotFoundError, {"key": key}),
        ("decrypt", tmp_path / "none.db", FileNotFoundError, {"key": key}),
        ("encrypt", tmp_path, IsADirectoryError, {"key": key}),
        ("decrypt", tmp_path, IsADirectoryError, {"key": key}),
        ("encrypt", empty, lumocrypt.CryptError, {"key": key}),
        ("decrypt", empty, lumocrypt.CryptError, {"key": key}),
        ("encrypt", noise, sqlite3.DatabaseError, {"key": key}),
        ("decrypt", noise, lumocrypt.CryptError, {"key": key}),
        ("encrypt", encrypted, lumocrypt.CryptError, {"key": key}),
        ("decrypt", plain, lumocrypt.NotEncryptedError, {"key": key}),
        ("decrypt", encrypted, lumocrypt.WrongKeyError, {"key": "x'" + "11" * 32 + "'"}),
        ("decrypt", encrypted, lumocrypt.KeyRequiredError, {"key": None}),
        ("encrypt", plain, lumocrypt.KeyRequiredError, {"key": None}),
        ("encrypt", plain, ValueError, {"key": key, "cipher": "rot13"}),
        ("encrypt", plain, ValueError, {"key": key, "cipher": "checksum"}),
        ("encrypt", plain, ValueError, {"key": "", "cipher": None}),
        ("encrypt", plain, TypeError, {"key": b"x"}),
        ("encrypt", plain, ValueError, {"key": key, "kdf": "paranoid"}),
    ]
    before = names(tmp_path)
    for operation, source, error, arguments in cases:
        for destination in (None, tmp_path / "out.db"):
            with pytest.raises(error):
                getattr(lumocrypt, operation)(source, destination, **arguments)
            assert names(tmp_path) == before, (operation, source)
    assert contents == {path: path.read_bytes() for path in contents}


def test_destinations_are_never_replaced(plain: Path, tmp_path: Path, key: lumocrypt.Key) -> None:
    taken = tmp_path / "taken.db"
    taken.write_bytes(b"mine")
    dangling = tmp_path / "dangling.db"
    dangling.symlink_to(tmp_path / "nowhere")
    (tmp_path / "logs.db-wal").write_bytes(b"old log")
    for destination in (taken, dangling, tmp_path / "logs.db", plain):
        with pytest.raises(FileExistsError):
            lumocrypt.encrypt(plain, destination, key=key)
    assert taken.read_bytes() == b"mine"
    with pytest.raises(FileNotFoundError):
        lumocrypt.encrypt(plain, tmp_path / "no-folder" / "x.db", key=key)


@pytest.mark.parametrize("operation", ["encrypt", "decrypt"])
@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_a_read_only_source(
    unprivileged: Unprivileged, tmp_path: Path, key: lumocrypt.Key, operation: str, journal_mode: str
) -> None:
    path = make_plain(unprivileged.folder / "a.db", journal_mode=journal_mode)
    original = path.read_bytes()
    if operation == "decrypt":
        lumocrypt.encrypt(path, key=key)
    before = path.read_bytes()
    work = Path(tempfile.mkdtemp())
    work.chmod(0o777)
    unprivileged.drop()
    convert = getattr(lumocrypt, operation)
    with pytest.raises(PermissionError):
        convert(path, key=key)
    if journal_mode == "wal":
        with pytest.raises(PermissionError, match="WAL"):
            convert(path, work / "b.db", key=key)
        assert names(work) == []
    else:
        convert(path, work / "b.db", key=key)
        if operation == "decrypt":
            assert (work / "b.db").read_bytes() == original
        else:
            lumocrypt.decrypt(work / "b.db", key=key)
            assert (work / "b.db").read_bytes() == original
    unprivileged.restore()
    shutil.rmtree(work)
    assert path.read_bytes() == before
    assert names(unprivileged.folder) == ["a.db"]


def test_a_read_only_source_with_a_log(
    unprivileged: Unprivileged, key: lumocrypt.Key, tmp_path: Path
) -> None:
    path = make_plain(unprivileged.folder / "a.db")
    path.with_name("a.db-journal").write_bytes(b"x" * 600)
    unprivileged.drop()
    with pytest.raises(PermissionError, match="log"):
        lumocrypt.encrypt(path, tmp_path / "b.db", key=key)


def test_installing_the_default_vfs_changes_nothing_here(tmp_path: Path) -> None:
    path = make_plain(tmp_path / "a.db")
    code = """
import sys, lumocrypt
lumocrypt.install()
key = lumocrypt.Key.raw(bytes(range(32)))
original = open(sys.argv[1], "rb").read()
lumocrypt.encrypt(sys.argv[1], key=key)
assert lumocrypt.verify(sys.argv[1], key=key).ok
lumocrypt.decrypt(sys.argv[1], key=key)
assert open(sys.argv[1], "rb").read() == original
"""
    subprocess.run([sys.executable, "-c", code, path], check=True)


def test_verify_lists_what_is_damaged(encrypted: Path, key: lumocrypt.Key) -> None:
    assert lumocrypt.verify(encrypted, key=key).damaged == []
    slot = 4096 + 40
    for page in (3, 11):
        flip(encrypted, 65536 + page * slot)
    before = encrypted.read_bytes()
    result = lumocrypt.verify(encrypted, key=key)
    assert not result.ok
    assert [(page.file_kind, page.number) for page in result.damaged] == [("main", 3), ("main", 11)]
    assert all(page.reason for page in result.damaged)
    assert result.damaged_total == 2
    assert encrypted.read_bytes() == before


def test_verify_reads_a_live_wal(tmp_path: Path, key: lumocrypt.Key, peer: Callable[..., Peer]) -> None:
    path = tmp_path / "app.db"
    connection = lumocrypt.connect(path, key=key)
    connection.execute("PRAGMA journal_mode=WAL")
    fill(connection)
    wal = (tmp_path / "app.db-wal").read_bytes()
    assert wal
    result = lumocrypt.verify(path, key=key)
    assert result.ok, result
    assert result.wal_frames > 0
    assert (tmp_path / "app.db-wal").read_bytes() == wal
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (500,)
    connection.close()


def test_a_last_block_that_is_longer_than_its_pages_is_no_missing_end(
    tmp_path: Path, key: lumocrypt.Key
) -> None:
    """A rollback leaves one so where a crash tore it; to SQLite the part of a page in it is a page."""
    path = tmp_path / "app.db"
    lumocrypt.encrypt(make_plain(tmp_path / "plain.db", rows=0), path, key=key, block_size=65536)
    with contextlib.closing(lumocrypt.connect(path, key=key, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size=1")
        connection.execute("CREATE TABLE b (v)")
        connection.execute("INSERT INTO b VALUES (zeroblob(30000))")
        connection.execute("BEGIN")
        connection.execute("UPDATE b SET v = randomblob(90000)")
        torn = crashed(path, tmp_path / "torn")
    # The power failed while the block grew.
    os.truncate(torn, 2 * 65536)
    with contextlib.closing(lumocrypt.connect(torn, key=key, isolation_level=None)) as connection:
        assert connection.execute("SELECT length(v) FROM b").fetchone() == (30000,)
        assert torn.stat().st_size == 2 * 65536
        connection.execute("PRAGMA cache_size=1")
        connection.execute("BEGIN")
        connection.execute("UPDATE b SET v = zeroblob(30000)")
        connection.execute("INSERT INTO b VALUES (zeroblob(30000))")
        again = crashed(torn, tmp_path / "again")
    result = lumocrypt.verify(again, key=key)
    assert result.journal_extents > 0
    assert result.damaged == []
    with contextlib.closing(lumocrypt.connect(again, key=key)) as connection:
        assert connection.execute("SELECT length(v) FROM b").fetchall() == [(30000,)]
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert lumocrypt.verify(again, key=key).damaged == []


def test_verify_of_a_database_that_is_written_to(
    tmp_path: Path, key: lumocrypt.Key, peer: Callable[..., Peer]
) -> None:
    """Work in progress is not damage."""
    path = tmp_path / "app.db"
    connection = lumocrypt.connect(path, key=key)
    fill(connection, 2000)
    connection.close()
    stop = threading.Event()

    def write() -> None:
        writer = lumocrypt.connect(path, key=key, isolation_level=None, timeout=10)
        writer.execute("PRAGMA synchronous=OFF")
        while not stop.is_set():
            writer.execute("INSERT INTO t (name, data) VALUES ('more', zeroblob(3000))")
            writer.execute("UPDATE t SET data = randomblob(150) WHERE id % 97 = abs(random()) % 97")
        writer.close()

    for journal_mode in ("delete", "wal"):
        lumocrypt.connect(path, key=key).execute(f"PRAGMA journal_mode={journal_mode}").connection.close()
        stop.clear()
        thread = threading.Thread(target=write)
        thread.start()
        try:
            results = [lumocrypt.verify(path, key=key) for _ in range(20)]
        finally:
            stop.set()
            thread.join()
        assert [result.damaged for result in results] == [[]] * 20, journal_mode
