"""Folders that others may write to: what they exchange there is an error, and nothing is given away."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lumocrypt
from lumocrypt.database import formats
from lumocrypt.shell.history import History
from lumocrypt.shell.resultfile import open_result_file
from support.intruder import OTHER, Shared, act, in_background, shared
from support.known_keys import RAW
from support.plaintext import MARKER, fill, make_plain
from support.rekeying import steps_of

__all__ = ["shared"]

KEY = lumocrypt.Key.raw(RAW)
GOSQLITE_KEY = bytes(range(32))
SECRET = MARKER.encode()

#: Each takes the source, the destination or None, and a progress function.
Operation = Callable[[Path, Path | None, Callable[[int, int], None]], object]


def _encrypt(source: Path, destination: Path | None, progress: Callable[[int, int], None]) -> object:
    return lumocrypt.encrypt(source, destination, key=KEY, progress=progress)


def _decrypt(source: Path, destination: Path | None, progress: Callable[[int, int], None]) -> object:
    return lumocrypt.decrypt(source, destination, key=KEY, progress=progress)


def _convert(source: Path, destination: Path | None, progress: Callable[[int, int], None]) -> object:
    return lumocrypt.convert(
        source,
        destination,
        format="lumocrypt",
        key=KEY,
        new_format="gosqlite",
        new_key=GOSQLITE_KEY,
        progress=progress,
    )


def _salvage(source: Path, destination: Path | None, progress: Callable[[int, int], None]) -> object:
    assert destination is not None
    return lumocrypt.salvage(source, destination, key=KEY, plain=True, progress=progress)


OPERATIONS: dict[str, Operation] = {
    "encrypt": _encrypt,
    "decrypt": _decrypt,
    "convert": _convert,
    "salvage": _salvage,
}
CASES = [
    (name, in_place)
    for name in OPERATIONS
    for in_place in (True, False)
    if (name, in_place) != ("salvage", True)
]


def _source(folder: Path, operation: str, owner: int) -> Path:
    path = folder / "app.db"
    if operation == "encrypt":
        make_plain(path)
    else:
        connection = lumocrypt.connect(path, key=KEY)
        fill(connection)
        connection.close()
    path.chmod(0o600)
    os.chown(path, owner, owner)
    return path


def _content(path: Path) -> int:
    """The rows of the database, whatever its format is by now."""
    head = path.read_bytes()[:16]
    if head == b"SQLite format 3\0":
        connection = sqlite3.connect(path)
    elif head.startswith(b"lumocrypt"):
        connection = lumocrypt.connect(path, key=KEY)
    else:
        with lumocrypt.crypto_vfs(GOSQLITE_KEY, "adiantum") as vfs:
            connection = sqlite3.connect(f"file:{path}?vfs={vfs.name}", uri=True)
            try:
                return connection.execute("SELECT count(*) FROM t").fetchone()[0]
            finally:
                connection.close()
    try:
        return connection.execute("SELECT count(*) FROM t").fetchone()[0]
    finally:
        connection.close()


def _put_link(victim: Path, place: Path) -> None:
    place.symlink_to(victim)


def _put_file(_victim: Path, place: Path) -> None:
    place.write_bytes(b"")
    place.chmod(0o666)


def _put_folder(_victim: Path, place: Path) -> None:
    place.mkdir(mode=0o777)
    (place / "db").write_bytes(b"")
    (place / "db").chmod(0o666)


INTRUSIONS = {"link": _put_link, "file": _put_file, "folder": _put_folder}


def _exchange(shared: Shared, names: Callable[[], list[Path]], put: Callable[[Path, Path], None]) -> bool:
    """Has the other user put something else under these names; whether that was allowed."""

    def exchange() -> None:
        for place in names():
            place.rename(shared.folder / f"taken{place.name}")
            put(shared.victim, place)

    return act(exchange)


@pytest.mark.parametrize("intrusion", INTRUSIONS)
@pytest.mark.parametrize(("operation", "in_place"), CASES)
@pytest.mark.parametrize("owner", [0, OTHER], ids=["own", "somebody's"])
def test_a_new_file_that_is_exchanged_while_it_is_written(
    shared: Shared, operation: str, in_place: bool, owner: int, intrusion: str
) -> None:
    path = _source(shared.folder, operation, owner)
    target = path if in_place else shared.folder / "out.db"
    exchanged: list[bool] = []

    def progress(done: int, total: int) -> None:
        if not exchanged:
            assert shared.temporaries()
            exchanged.append(_exchange(shared, shared.temporaries, INTRUSIONS[intrusion]))

    try:
        OPERATIONS[operation](path, None if in_place else target, progress)
    except (lumocrypt.CryptError, OSError):
        assert exchanged[0]
        assert _content(path) == 500
    else:
        # Nobody could put anything into its place.
        assert _content(target) == 500
    assert exchanged
    status = target.lstat() if target.exists() else path.lstat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (owner, 0o600)
    assert not target.is_symlink()
    if owner == 0:
        shared.check(SECRET)
    else:
        # The content is the other user's own.
        shared.check(b"the victim's")


@pytest.mark.parametrize("intrusion", ["link", "file"])
@pytest.mark.parametrize(("operation", "in_place"), CASES)
def test_a_database_that_is_exchanged_meanwhile(
    shared: Shared, operation: str, in_place: bool, intrusion: str
) -> None:
    path = _source(shared.folder, operation, OTHER)
    before = path.read_bytes()

    def progress(done: int, total: int) -> None:
        if not (shared.folder / "takenapp.db").exists():
            assert _exchange(shared, lambda: [path], INTRUSIONS[intrusion])

    target = shared.folder / "out.db"
    with pytest.raises((lumocrypt.CryptError, OSError)):
        OPERATIONS[operation](path, None if in_place else target, progress)
    assert (shared.folder / "takenapp.db").read_bytes() == before
    assert not target.exists()
    assert not shared.temporaries()
    shared.check(b"the victim's")


@pytest.mark.parametrize("operation", ["encrypt", "decrypt", "convert"])
@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_a_database_that_is_exchanged_at_the_last_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str, journal_mode: str
) -> None:
    """After the last look, before the new file takes the name."""
    path = _source(tmp_path, operation, os.geteuid())
    connection = lumocrypt.connect(path, key=KEY) if operation != "encrypt" else sqlite3.connect(path)
    connection.execute(f"PRAGMA journal_mode={journal_mode}")
    connection.close()
    before, times = path.read_bytes(), path.stat().st_mtime_ns
    taken = tmp_path / "taken.db"
    rename = os.rename

    def exchange_first(*names: Any, **folders: Any) -> None:
        rename(path, taken)
        path.write_bytes(b"another file")
        rename(*names, **folders)

    monkeypatch.setattr(os, "rename", exchange_first)
    with pytest.raises(lumocrypt.CryptError, match="unchanged, under another name"):
        OPERATIONS[operation](path, None, lambda done, total: None)
    assert taken.read_bytes() == before
    assert taken.stat().st_mtime_ns == times
    monkeypatch.undo()
    assert _content(taken) == 500


@pytest.mark.parametrize("operation", ["encrypt", "decrypt"])
def test_a_database_that_gets_a_second_name_at_the_last_moment(
    plain: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    if operation == "decrypt":
        lumocrypt.encrypt(plain, key=KEY)
    before = plain.read_bytes()
    rename = os.rename

    def link_first(*names: Any, **folders: Any) -> None:
        os.link(plain, plain.with_name("second.db"))
        rename(*names, **folders)

    monkeypatch.setattr(os, "rename", link_first)
    with pytest.raises(lumocrypt.CryptError, match="under another name"):
        OPERATIONS[operation](plain, None, lambda done, total: None)
    # Nothing is spoilt that still has a name.
    assert plain.with_name("second.db").read_bytes() == before


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("operation", ["encrypt", "decrypt"])
def test_sqlite_is_given_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str, in_place: bool
) -> None:
    """SQLite opens files by name, and its lock is then on another one than was looked at."""
    path = _source(tmp_path, operation, os.geteuid())
    other = tmp_path / "other.db"
    other.write_bytes(path.read_bytes())
    before = path.read_bytes()
    connect = formats.plain_connection
    taken = tmp_path / "taken.db"

    def connect_elsewhere(uri: str) -> sqlite3.Connection:
        path.rename(taken)
        path.symlink_to(other)
        connection = connect(uri)
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        path.unlink()
        taken.rename(path)
        return connection

    monkeypatch.setattr(formats, "plain_connection", connect_elsewhere)
    if in_place:
        with pytest.raises(lumocrypt.CryptError, match="another file"):
            OPERATIONS[operation](path, None, lambda done, total: None)
        assert path.read_bytes() == before
    else:
        # What is read is what was looked at all the same.
        OPERATIONS[operation](path, tmp_path / "out.db", lambda done, total: None)
        assert _content(tmp_path / "out.db") == 500
    assert other.read_bytes() == before


def _swap(shared: Shared) -> None:
    """Puts something else under every name of interest, for ever."""
    number = 0
    puts = list(INTRUSIONS.values())
    while True:
        for name in os.listdir(shared.folder):
            if name in ("out.db", "app.db") or (name.startswith(".") and ".lumo-" in name):
                number += 1
                with contextlib.suppress(OSError):
                    (shared.folder / name).rename(shared.folder / f"stolen-{number}")
                    puts[number % len(puts)](shared.victim, shared.folder / name)


@pytest.mark.parametrize(("operation", "in_place"), CASES)
def test_a_race(shared: Shared, operation: str, in_place: bool) -> None:
    """Whoever wins: nothing is given away, and what is there was there before."""
    outside = _source(shared.folder.parent, operation, 0)
    original = outside.read_bytes()
    with in_background(lambda: _swap(shared)):
        for _ in range(8):
            path, target = outside, shared.folder / "out.db"
            if in_place:
                path = shared.folder / "app.db"
                copy = shared.folder.parent / "copy.db"
                copy.write_bytes(original)
                copy.chmod(0o600)
                with contextlib.suppress(OSError):
                    copy.rename(path)
            with contextlib.suppress(sqlite3.Error, OSError, ValueError):
                OPERATIONS[operation](path, None if in_place else target, lambda done, total: None)
    assert outside.read_bytes() == original
    shared.check(SECRET)


def test_a_change_of_the_data_key_writes_to_no_other_users_file(shared: Shared) -> None:
    path = _source(shared.folder, "decrypt", 0)
    kept = shared.folder / "app.db-lumo-rekey"

    def put() -> None:
        kept.rename(shared.folder / "taken")
        _put_file(shared.victim, kept)

    exchanged: list[bool] = []

    def progress(done: int, total: int) -> None:
        if not exchanged:
            exchanged.append(act(put))

    with steps_of(8 * 4096):
        if stat.S_IMODE(shared.folder.stat().st_mode) & stat.S_ISVTX:
            lumocrypt.rekey(path, key=KEY, progress=progress)
            assert exchanged == [False]
        else:
            with pytest.raises((lumocrypt.Error, OSError), match="belongs to another user"):
                lumocrypt.rekey(path, key=KEY, progress=progress)
            assert exchanged == [True]
            assert kept.read_bytes() == b""
            # It goes on when that is gone.
            lumocrypt.rekey(path, key=KEY)
    assert lumocrypt.verify(path, key=KEY).ok
    assert _content(path) == 500


# What other users' files are there already


def test_in_place_only_for_who_can_keep_the_owner(shared: Shared) -> None:
    path = make_plain(shared.folder / "app.db")
    path.chmod(0o666)
    before = path.read_bytes()

    def convert() -> None:
        with pytest.raises(PermissionError, match="give a destination"):
            lumocrypt.encrypt(path, key=KEY)
        lumocrypt.encrypt(path, shared.folder / "copy.db", key=KEY)

    assert act(convert)
    assert path.read_bytes() == before
    assert sorted(os.listdir(shared.folder)) == ["app.db", "copy.db"]


def test_results_of_the_shell_stay_out_of_others_hands(shared: Shared, tmp_path: Path) -> None:
    database = make_plain(tmp_path / "app.db")
    theirs, link = shared.folder / "theirs", shared.folder / "link"
    own = tmp_path / "own"
    own.write_text("precious")

    def prepare() -> None:
        theirs.touch(mode=0o666)
        link.symlink_to(own)
        os.mkfifo(shared.folder / "pipe", 0o666)

    assert act(prepare)
    for place in (theirs, link):
        with pytest.raises(PermissionError, match="another user"):
            open_result_file(str(place), str(database))
    assert theirs.read_bytes() == b""
    assert own.read_text() == "precious"
    reader = os.open(shared.folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(PermissionError, match="another user"):
        open_result_file(str(shared.folder / "pipe"), str(database))
    os.close(reader)
    os.link(own, tmp_path / "second")
    with pytest.raises(PermissionError, match="hard links"):
        open_result_file(str(own), str(database))
    (tmp_path / "second").unlink()
    # One's own link is meant.
    (tmp_path / "mine").symlink_to(own)
    os.close(open_result_file(str(tmp_path / "mine"), str(database)))
    assert own.read_bytes() == b""


def test_the_history_is_no_other_users_file(shared: Shared) -> None:
    state = shared.folder / "history"
    act(lambda: state.touch(mode=0o666))
    with pytest.raises(PermissionError, match="this user's alone"):
        History(state)
    assert stat.S_IMODE(state.stat().st_mode) == 0o666
    mine = shared.victim.with_name("mine")
    mine.touch()
    os.link(mine, shared.victim.with_name("linked"))
    with pytest.raises(PermissionError, match="this user's alone"):
        History(mine)
    os.mkfifo(shared.folder / "pipe")
    with pytest.raises(OSError, match=r"."):
        History(shared.folder / "pipe")


def test_a_link_as_the_folder_of_a_database_is_not_followed_later(tmp_path: Path) -> None:
    from lumocrypt.files.folder import Folder

    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(NotADirectoryError):
        Folder(str(tmp_path / "link"))
    (tmp_path / "real" / "x").symlink_to(tmp_path)
    with Folder(str(tmp_path / "real")) as folder, pytest.raises(OSError, match=r".") as caught:
        folder.open("x", os.O_RDONLY)
    assert caught.value.errno == errno.ELOOP


def test_a_folder_that_is_exchanged_as_soon_as_it_is_made(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in the one that was put there is somebody's, and stays."""
    path = _source(shared.folder, "decrypt", 0)
    theirs = shared.folder / "theirs"
    mkdir = os.mkdir

    def exchange(name: Any, *arguments: Any, **options: Any) -> None:
        mkdir(name, *arguments, **options)

        def put() -> None:
            theirs.mkdir(mode=0o777)
            (theirs / "db-wal").write_bytes(b"precious")
            (shared.folder / name).rename(shared.folder / "taken")
            theirs.rename(shared.folder / name)

        exchanged.append(act(put))

    exchanged: list[bool] = []
    monkeypatch.setattr(os, "mkdir", exchange)
    try:
        lumocrypt.decrypt(path, shared.folder / "out.db", key=KEY)
    except lumocrypt.CryptError:
        assert exchanged == [True]
        assert not (shared.folder / "out.db").exists()
        (put,) = shared.temporaries()
        assert [file.name for file in put.iterdir()] == ["db-wal"]
        assert (put / "db-wal").read_bytes() == b"precious"
    else:
        assert exchanged == [False]
    shared.check(SECRET)
