"""What a file carries beside its bytes: owner, permissions, access lists, extended attributes and times."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lumocrypt
from lumocrypt.files.attributes import Attributes, umask
from support.intruder import ACCESS_LIST, DEFAULT_LIST, OTHER, access_list, supports_access_lists
from support.known_keys import RAW
from support.plaintext import fill, make_plain

KEY = lumocrypt.Key.raw(RAW)
GOSQLITE_KEY = bytes(range(32))


@pytest.fixture(params=[0o022, 0o077], ids=["022", "077"])
def mask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def _encrypt(source: Path, destination: Path | None) -> object:
    return lumocrypt.encrypt(source, destination, key=KEY)


def _decrypt(source: Path, destination: Path | None) -> object:
    return lumocrypt.decrypt(source, destination, key=KEY)


def _convert(source: Path, destination: Path | None) -> object:
    return lumocrypt.convert(
        source, destination, format="lumocrypt", key=KEY, new_format="gosqlite", new_key=GOSQLITE_KEY
    )


def _decrypt_gosqlite(source: Path, destination: Path | None) -> object:
    return lumocrypt.decrypt(source, destination, key=GOSQLITE_KEY, format="gosqlite")


def _salvage(source: Path, destination: Path | None) -> object:
    assert destination is not None
    return lumocrypt.salvage(source, destination, key=KEY)


def _salvage_plain(source: Path, destination: Path | None) -> object:
    assert destination is not None
    return lumocrypt.salvage(source, destination, key=KEY, plain=True)


def _check_only(source: Path, destination: Path | None) -> object:
    return lumocrypt.encrypt(source, destination, key=None, cipher="checksum")


Operation = Callable[[Path, Path | None], object]
IN_PLACE: list[Operation] = [_encrypt, _decrypt, _convert, _decrypt_gosqlite, _check_only]
CLEAR: list[Operation] = [_decrypt, _decrypt_gosqlite, _salvage_plain, _check_only]
SEALED: list[Operation] = [_encrypt, _convert, _salvage]


def _name(operation: Operation) -> str:
    return operation.__name__.strip("_")


def _source(folder: Path, operation: Operation, mode: int = 0o640) -> Path:
    path = folder / "app.db"
    if operation in (_encrypt, _check_only, _decrypt_gosqlite):
        make_plain(path, rows=5)
    else:
        connection = lumocrypt.connect(path, key=KEY)
        fill(connection, 5)
        connection.close()
    if operation is _decrypt_gosqlite:
        lumocrypt.encrypt(path, key=GOSQLITE_KEY, format="gosqlite")
    path.chmod(mode)
    return path


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("operation", IN_PLACE, ids=_name)
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o666, 0o604])
def test_in_place_all_is_as_it_was(tmp_path: Path, operation: Operation, mode: int, mask: int) -> None:
    path = _source(tmp_path, operation, mode)
    if os.geteuid() == 0:
        os.chown(path, OTHER, 12345)
        path.chmod(mode)
    os.setxattr(path, "user.note", b"kept")
    times = (1_500_000_000_123_456_789, 1_600_000_000_987_654_321)
    os.utime(path, ns=times)
    before = path.stat()
    operation(path, None)
    after = path.stat()
    assert after.st_ino != before.st_ino
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    # It was read just now.
    assert after.st_mtime_ns == times[1]
    assert os.getxattr(path, "user.note") == b"kept"
    assert os.listdir(tmp_path) == ["app.db"]


@pytest.mark.parametrize("operation", IN_PLACE, ids=_name)
def test_in_place_access_lists_are_kept_and_inherited_ones_are_not(
    tmp_path: Path, operation: Operation
) -> None:
    if not supports_access_lists(tmp_path):
        pytest.skip("no access control lists here")
    path = _source(tmp_path, operation, 0o640)
    os.setxattr(tmp_path, DEFAULT_LIST, access_list(named={12345: 6}, group=6, others=4))
    operation(path, None)
    assert ACCESS_LIST not in os.listxattr(path)
    assert _mode(path) == 0o640
    path.unlink()
    path = _source(tmp_path, operation, 0o640)
    given = access_list(named={1000: 4, 1001: 0}, others=4)
    os.setxattr(path, ACCESS_LIST, given)
    operation(path, None)
    assert os.getxattr(path, ACCESS_LIST) == given
    assert _mode(path) == 0o674


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o666, 0o400])
@pytest.mark.parametrize("operation", CLEAR, ids=_name)
def test_clear_results_are_limited_by_umask_and_source(
    tmp_path: Path, operation: Operation, mode: int, mask: int
) -> None:
    path = _source(tmp_path, operation, mode)
    operation(path, tmp_path / "out.db")
    assert _mode(tmp_path / "out.db") == mode & ~mask


@pytest.mark.parametrize("operation", SEALED, ids=_name)
def test_sealed_results_are_limited_by_the_source(tmp_path: Path, operation: Operation, mask: int) -> None:
    for mode in (0o600, 0o640, 0o664):
        path = _source(tmp_path, operation, mode)
        operation(path, tmp_path / "out.db")
        assert _mode(tmp_path / "out.db") == mode
        path.unlink()
        (tmp_path / "out.db").unlink()


@pytest.mark.parametrize("operation", [*CLEAR, *SEALED], ids=_name)
def test_results_let_in_nobody_by_an_access_list(tmp_path: Path, operation: Operation) -> None:
    if not supports_access_lists(tmp_path):
        pytest.skip("no access control lists here")
    path, out = _source(tmp_path, operation, 0o600), tmp_path / "out.db"
    given = access_list(named={1000: 6, 1001: 0}, group=4, others=4)
    os.setxattr(path, ACCESS_LIST, given)
    os.setxattr(tmp_path, DEFAULT_LIST, access_list(named={12345: 6}, group=6, others=6))
    operation(path, out)
    if operation in CLEAR:
        # User 1001, whom the list keeps out, may be of the group or one of the others.
        assert ACCESS_LIST not in os.listxattr(out)
        assert _mode(out) == 0o600
    else:
        assert os.getxattr(out, ACCESS_LIST) == given


def test_access_lists_become_permission_bits_that_let_in_nobody_else(tmp_path: Path) -> None:
    if not supports_access_lists(tmp_path):
        pytest.skip("no access control lists here")
    cases = [
        ({1000: 6}, 4, 4, 0o644),
        ({1000: 4}, 6, 6, 0o644),
        ({1000: 0}, 6, 6, 0o600),
        ({1000: 6}, 0, 0, 0o600),
        ({}, 6, 4, 0o664),
    ]
    before = os.umask(0)
    try:
        for number, (named, group, others, expected) in enumerate(cases):
            path = tmp_path / str(number)
            path.touch()
            os.setxattr(path, ACCESS_LIST, access_list(named=named, group=group, others=others))
            with path.open() as file, (tmp_path / f"new{number}").open("w") as new:
                Attributes.of(file.fileno()).limit(new.fileno(), clear=True)
            assert _mode(tmp_path / f"new{number}") == expected
    finally:
        os.umask(before)


def test_umask_is_only_asked_for() -> None:
    before = os.umask(0o027)
    try:
        assert umask() == 0o027
        assert umask() == 0o027
    finally:
        os.umask(before)


@pytest.mark.parametrize("operation", IN_PLACE, ids=_name)
def test_what_cannot_be_kept_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: Operation
) -> None:
    path = _source(tmp_path, operation)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOTSUP, "not here")

    with monkeypatch.context() as patch:
        patch.setattr(os, "setxattr", refuse)
        patch.setattr(os, "removexattr", refuse)
        os.utime(path)
        before = path.read_bytes()
        # Nothing to lose.
        if operation is not _decrypt_gosqlite:
            copy = tmp_path / "copy.db"
            copy.write_bytes(before)
            operation(copy, None)
            copy.unlink()
    os.setxattr(path, "user.note", b"kept")
    times = path.stat().st_mtime_ns
    with monkeypatch.context() as patch:
        patch.setattr(os, "setxattr", refuse)
        with pytest.raises(OSError, match=r"user\.note cannot be kept .* give a destination"):
            operation(path, None)
        operation(path, tmp_path / "out.db")
    assert path.read_bytes() == before
    assert path.stat().st_mtime_ns == times
    assert sorted(os.listdir(tmp_path)) == ["app.db", "out.db"]


def test_another_group_is_not_let_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bits of a group that cannot be kept are not given to another."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "not yours to give")

    for mode, expected in ((0o664, 0o644), (0o640, 0o600), (0o604, 0o600), (0o606, 0o600)):
        path = _source(tmp_path, _encrypt, mode)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fchown", refuse)
            lumocrypt.encrypt(path, tmp_path / "out.db", key=KEY)
        assert _mode(tmp_path / "out.db") == expected
        path.unlink()
        (tmp_path / "out.db").unlink()


@pytest.mark.parametrize("operation", ["backup", "header"])
def test_copies_of_a_private_database_are_private(tmp_path: Path, operation: str) -> None:
    from lumocrypt.shell.backup import backup

    path = _source(tmp_path, _decrypt, 0o600)
    if operation == "backup":
        connection = lumocrypt.connect(path, key=KEY)
        backup(connection, "main", str(tmp_path / "copy.db"))
        connection.close()
        assert lumocrypt.verify(tmp_path / "copy.db", key=KEY).ok
    else:
        lumocrypt.backup_header(path, tmp_path / "copy.db")
    assert _mode(tmp_path / "copy.db") == 0o600
    assert sorted(os.listdir(tmp_path)) == ["app.db", "copy.db"]


def test_results_of_the_shell_are_limited_by_umask_and_database(tmp_path: Path) -> None:
    from lumocrypt.shell.resultfile import open_result_file

    database = _source(tmp_path, _encrypt, 0o640)
    out = tmp_path / "out"
    for mask, there, expected in ((0o022, None, 0o600), (0o077, 0o644, 0o600), (0o022, 0o666, 0o640)):
        before = os.umask(mask)
        try:
            if there is not None:
                out.write_text("old")
                out.chmod(there)
            os.close(open_result_file(str(out), str(database)))
        finally:
            os.umask(before)
        assert _mode(out) == expected
        assert out.read_text() == ""
        out.unlink()


def test_the_header_that_was_there_belongs_to_the_owner_of_the_database(tmp_path: Path) -> None:
    path = _source(tmp_path, _decrypt, 0o664)
    if os.geteuid() == 0:
        os.chown(path, OTHER, OTHER)
    lumocrypt.backup_header(path, tmp_path / "header")
    saved = Path(lumocrypt.restore_header(path, tmp_path / "header", key=KEY).saved)
    assert (saved.stat().st_uid, saved.stat().st_gid) == (path.stat().st_uid, path.stat().st_gid)
    assert _mode(saved) == 0o600


class Stop(Exception):
    pass


def test_what_a_change_of_the_data_key_keeps_is_as_private_as_the_database(tmp_path: Path) -> None:
    path = _source(tmp_path, _decrypt, 0o640)
    if os.geteuid() == 0:
        os.chown(path, OTHER, 12345)
        path.chmod(0o640)
    if supports_access_lists(tmp_path):
        os.setxattr(tmp_path, DEFAULT_LIST, access_list(named={12345: 6}, group=6, others=6))

    def stop(done: int, total: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        lumocrypt.rekey(path, key=KEY, progress=stop)
    kept = tmp_path / "app.db-lumo-rekey"
    status = kept.stat()
    assert (status.st_uid, status.st_gid) == (path.stat().st_uid, path.stat().st_gid)
    assert _mode(kept) == 0o640
    assert ACCESS_LIST not in os.listxattr(kept)
    lumocrypt.rekey(path, key=KEY)
    assert lumocrypt.verify(path, key=KEY).ok


@pytest.mark.parametrize("length", [233, 247])
def test_the_longest_names(tmp_path: Path, length: int) -> None:
    """SQLite's longest: with -journal they are as long as names may be."""
    path = tmp_path / ("n" * length)
    make_plain(path, rows=5)
    lumocrypt.encrypt(path, key=KEY)
    lumocrypt.backup_header(path, tmp_path / "header")
    saved = lumocrypt.restore_header(path, tmp_path / "header", key=KEY).saved
    assert Path(saved).stat().st_size == 65536
    copy = path.with_name("c" * length)
    lumocrypt.salvage(path, copy, key=KEY)
    lumocrypt.decrypt(path, key=KEY)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (5,)
    connection.close()
