"""The error classes, and their free translation."""

from __future__ import annotations

import contextlib
import errno
import json
import pickle
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

import lumocrypt
from lumocrypt import errors
from lumocrypt.engine import native
from support.bytes_on_disk import flip
from support.known_keys import FAST, RAW
from support.layout import slot_at
from support.plaintext import fill, make_plain

OURS = [
    lumocrypt.KeyRequiredError,
    lumocrypt.WrongKeyError,
    lumocrypt.NotEncryptedError,
    lumocrypt.TamperedError,
    lumocrypt.HeaderDamagedError,
    lumocrypt.UnsupportedFormatError,
    lumocrypt.InUseError,
    lumocrypt.KdfLimitError,
    lumocrypt.WrongDatabaseError,
]
# Where slot i of a file with 4096-byte blocks begins (docs/reference/format.md).
SLOT = 4096 + 40


def slot(index: int) -> int:
    return 65536 + index * SLOT


def test_the_classes_fit_into_pep_249() -> None:
    assert lumocrypt.Error is sqlite3.Error
    assert lumocrypt.OperationalError is sqlite3.OperationalError
    for cls in OURS:
        assert issubclass(cls, lumocrypt.CryptError)
        assert issubclass(cls, sqlite3.DatabaseError)
        assert cls.__module__ == "lumocrypt"
    for cls in (
        lumocrypt.KeyRequiredError,
        lumocrypt.WrongKeyError,
        lumocrypt.TamperedError,
        lumocrypt.InUseError,
        lumocrypt.KdfLimitError,
    ):
        assert issubclass(cls, sqlite3.OperationalError)


# Each kind of trouble, met through SQLite.


def test_wrong_key(encrypted: Path) -> None:
    before = encrypted.read_bytes()
    with pytest.raises(lumocrypt.WrongKeyError, match="check the key") as caught:
        lumocrypt.connect(encrypted, key="x'" + "11" * 32 + "'")
    assert caught.value.sqlite_errorcode == sqlite3.SQLITE_AUTH
    assert caught.value.sqlite_errorname == "SQLITE_AUTH"
    assert caught.value.path == str(encrypted)
    assert str(encrypted) in str(caught.value)
    assert encrypted.read_bytes() == before


def test_a_wrong_key_is_refused_while_another_connection_has_the_right_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "app.db"
    first = lumocrypt.connect(path, key="right", kdf=FAST)
    fill(first, 5)
    for wrong in ("wrong", "right ", "Right"):
        with pytest.raises(lumocrypt.WrongKeyError):
            lumocrypt.connect(path, key=wrong)
    lumocrypt.connect(path, key="right").close()
    first.close()


def test_no_key(encrypted: Path) -> None:
    connection = lumocrypt.connect(encrypted)
    for _ in range(2):
        with pytest.raises(lumocrypt.KeyRequiredError, match="key") as caught:
            connection.execute("SELECT * FROM t")
        assert caught.value.sqlite_errorcode == sqlite3.SQLITE_AUTH
    connection.close()


def test_no_key_for_a_new_file(tmp_path: Path) -> None:
    connection = lumocrypt.connect(tmp_path / "new.db")
    with pytest.raises(lumocrypt.KeyRequiredError):
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    assert all(path.stat().st_size == 0 for path in tmp_path.iterdir())


@pytest.mark.parametrize("with_key", [True, False])
def test_a_plaintext_database(plain: Path, key: lumocrypt.Key, with_key: bool) -> None:
    before = plain.read_bytes()
    with pytest.raises(lumocrypt.NotEncryptedError) as caught:
        lumocrypt.connect(plain, key=key if with_key else None).execute("SELECT * FROM t")
    assert caught.value.sqlite_errorcode == sqlite3.SQLITE_NOTADB
    assert str(plain) in str(caught.value)
    assert plain.read_bytes() == before


@pytest.mark.parametrize("io", ["map", "pread"])
def test_a_changed_byte(encrypted: Path, key: lumocrypt.Key, io: str) -> None:
    last = lumocrypt.info(encrypted).blocks - 1
    flip(encrypted, slot(last) + 1000)
    connection = lumocrypt.connect(encrypted, key=key, io=io)  # type: ignore[arg-type]
    with pytest.raises(lumocrypt.TamperedError) as caught:
        connection.execute("PRAGMA integrity_check").fetchall()
    error = caught.value
    assert (error.path, error.file_kind, error.block) == (str(encrypted), "main", last)
    assert error.sqlite_errorcode == sqlite3.SQLITE_IOERR_DATA
    assert error.sqlite_errorname == "SQLITE_IOERR_DATA"
    connection.close()


def test_a_changed_byte_met_while_rows_are_fetched(encrypted: Path, key: lumocrypt.Key) -> None:
    connection = lumocrypt.connect(encrypted, key=key)
    pages = (
        [row[0] for row in connection.execute("SELECT pageno FROM dbstat WHERE name = 't'")]
        if _has_dbstat(connection)
        else list(range(5, 20))
    )
    connection.close()
    flip(encrypted, slot(pages[len(pages) // 2] - 1) + 7)
    connection = lumocrypt.connect(encrypted, key=key)
    cursor = connection.execute("SELECT * FROM t NOT INDEXED")
    assert cursor.fetchone()[0] == 1
    with pytest.raises(lumocrypt.TamperedError) as caught:
        for _ in cursor:
            pass
    assert caught.value.block == pages[len(pages) // 2] - 1
    assert caught.value.sqlite_pages == (pages[len(pages) // 2],)
    connection.close()


@pytest.mark.parametrize(
    ("page_size", "block_size", "expected"),
    [(4096, 4096, (6,)), (512, 4096, tuple(range(41, 49))), (4096, 512, (1,)), (65536, 65536, (6,))],
)
def test_a_damaged_block_names_sqlites_pages(
    tmp_path: Path, key: lumocrypt.Key, page_size: int, block_size: int, expected: tuple[int, ...]
) -> None:
    path = tmp_path / "app.db"
    lumocrypt.encrypt(
        make_plain(tmp_path / "plain.db", rows=6000, page_size=page_size),
        path,
        key=key,
        block_size=block_size,
    )
    flip(path, slot_at(5, block_size) + 7)
    with (
        contextlib.closing(lumocrypt.connect(path, key=key)) as connection,
        pytest.raises(lumocrypt.TamperedError) as caught,
    ):
        connection.execute("PRAGMA integrity_check").fetchall()
    assert (caught.value.block, caught.value.sqlite_pages) == (5, expected)
    assert next(iter(lumocrypt.verify(path, key=key).damaged)).sqlite_pages == expected


def _has_dbstat(connection: sqlite3.Connection) -> bool:
    return ("ENABLE_DBSTAT_VTAB",) in connection.execute("PRAGMA compile_options").fetchall()


def test_a_changed_byte_met_by_backup(encrypted: Path, key: lumocrypt.Key) -> None:
    # Backup makes its exceptions without a code.
    flip(encrypted, slot(5) + 7)
    connection = lumocrypt.connect(encrypted, key=key)
    with sqlite3.connect(":memory:") as target, pytest.raises(lumocrypt.TamperedError) as caught:
        connection.backup(target)
    assert caught.value.block == 5
    connection.close()


def test_both_headers_damaged(encrypted: Path, key: lumocrypt.Key) -> None:
    for offset in (100, 16384 + 100):
        flip(encrypted, offset)
    with pytest.raises(lumocrypt.HeaderDamagedError):
        lumocrypt.connect(encrypted, key=key)
    with pytest.raises(lumocrypt.HeaderDamagedError):
        lumocrypt.connect(encrypted, key="wrong")


@pytest.mark.parametrize("keep", [2, 100, 16384, 40000, 65535])
def test_a_truncated_header_is_not_a_wrong_key(encrypted: Path, key: lumocrypt.Key, keep: int) -> None:
    content = encrypted.read_bytes()[:keep]
    encrypted.write_bytes(content)
    with pytest.raises(lumocrypt.CryptError) as caught:
        lumocrypt.connect(encrypted, key=key).execute("SELECT * FROM t")
    assert not isinstance(caught.value, lumocrypt.WrongKeyError)
    assert encrypted.read_bytes() == content


def test_a_newer_version(encrypted: Path, key: lumocrypt.Key) -> None:
    import hashlib

    content = bytearray(encrypted.read_bytes())
    for copy in (0, 16384):
        content[copy + 16] = 2
        content[copy + 16352 : copy + 16384] = hashlib.sha256(content[copy : copy + 16352]).digest()
    encrypted.write_bytes(content)
    with pytest.raises(lumocrypt.UnsupportedFormatError):
        lumocrypt.connect(encrypted, key=key)
    with pytest.raises(lumocrypt.UnsupportedFormatError):
        lumocrypt.info(encrypted)


def test_pragma_lumo_key(encrypted: Path) -> None:
    connection = lumocrypt.connect(encrypted)
    with pytest.raises(lumocrypt.WrongKeyError):
        connection.execute(f"PRAGMA lumo_key = \"x'{'11' * 32}'\"").fetchall()
    connection.close()
    connection = lumocrypt.connect(encrypted)
    connection.execute(f"PRAGMA lumo_key = \"x'{RAW.hex()}'\"").fetchall()
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (500,)
    connection.close()


def test_plain_sqlite3_connections_get_our_errors_too(encrypted: Path) -> None:
    connection = sqlite3.connect(f"file:{encrypted}?vfs=lumocrypt", uri=True)
    with pytest.raises(lumocrypt.KeyRequiredError):
        connection.execute("SELECT * FROM t")
    connection.close()


def test_threads_have_records_of_their_own(encrypted: Path) -> None:
    caught: list[BaseException] = []

    def fail() -> None:
        try:
            lumocrypt.connect(encrypted, key="x'" + "11" * 32 + "'")
        except sqlite3.Error as error:
            caught.append(error)

    threads = [threading.Thread(target=fail) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(error) for error in caught] == [lumocrypt.WrongKeyError] * 8


# The translation itself, with records that are put there.


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Leaves a failure record as the engine would."""
    waiting: list[object] = []
    fake = SimpleNamespace(
        lumo_failure_behind=lambda host, message: waiting.pop() if waiting else native._ffi.NULL,
        lumo_string_free=lambda pointer: None,
    )
    monkeypatch.setattr(native, "_lib", fake)

    def leave(status: int, code: int, message: str = "engine's words; do this", **more: object) -> None:
        fields = {"class": status, "message": message, "path": "/x/app.db", "file_kind": None, "says": "this"}
        fields |= dict.fromkeys(errors.UNIT_NAMES)
        waiting[:] = [native._ffi.new("char[]", json.dumps({**fields, "code": code, **more}).encode())]

    return leave


def test_a_record_that_fits_is_used_once(record: Callable[..., None]) -> None:
    record(4, 8202, file_kind="wal", frame=3)
    error = sqlite3.OperationalError("disk I/O error")
    assert type(error) is lumocrypt.TamperedError
    assert (error.path, error.file_kind, error.frame) == ("/x/app.db", "wal", 3)
    assert str(error) == "/x/app.db: engine's words; do this"
    error.sqlite_errorcode = 8202
    assert type(error) is lumocrypt.TamperedError
    assert type(sqlite3.OperationalError("disk I/O error")) is sqlite3.OperationalError


def test_a_stale_record_is_found_out_by_the_code(record: Callable[..., None]) -> None:
    record(4, 8202, block=3)
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ  # as the standard library does next
    error.sqlite_errorname = "SQLITE_IOERR_READ"
    assert type(error) is sqlite3.OperationalError
    assert error.args == ("disk I/O error",)
    assert vars(error) == {"sqlite_errorcode": 266, "sqlite_errorname": "SQLITE_IOERR_READ"}


def test_other_messages_are_left_alone(record: Callable[..., None]) -> None:
    for message in ("no such table: t", "my own words", ""):
        record(4, 8202)
        assert type(sqlite3.OperationalError(message)) is sqlite3.OperationalError


def test_other_classes_are_left_alone(record: Callable[..., None]) -> None:
    class Mine(sqlite3.OperationalError):
        pass

    for cls in (Mine, sqlite3.IntegrityError, sqlite3.ProgrammingError):
        record(4, 8202)
        assert type(cls("disk I/O error")) is cls


def test_pragma_and_attach_texts(record: Callable[..., None]) -> None:
    record(2, 23, message="engine's words; do this")
    assert type(sqlite3.DatabaseError("engine's words; do this")) is lumocrypt.WrongKeyError
    record(2, 23)
    assert type(sqlite3.DatabaseError("unable to open database: /x/app.db")) is lumocrypt.WrongKeyError


def test_other_failures_keep_their_class_and_get_our_words(record: Callable[..., None]) -> None:
    for status in (8, 11):
        record(status, 1, message="the option is unknown")
        error = sqlite3.OperationalError("SQL logic error")
        assert type(error) is sqlite3.OperationalError
        assert str(error) == "/x/app.db: the option is unknown"


def test_except_clauses_go_on_catching(record: Callable[..., None]) -> None:
    """Whatever class SQLite's code stands for, ours is caught by the clause for it."""
    texts = {
        1: "SQL logic error",
        5: "database is locked",
        8202: "disk I/O error",
        14: "unable to open database file",
    }
    assert set(errors.CLASSES.values()) == {*OURS, lumocrypt.CryptError}
    for status, ours in errors.CLASSES.items():
        for code, text in texts.items():
            record(status, code)
            error = sqlite3.OperationalError(text)
            assert isinstance(error, ours)
            assert isinstance(error, sqlite3.OperationalError)
            assert type(error).__name__ == ours.__name__
            copied = pickle.loads(pickle.dumps(error))
            assert type(copied) is ours
            assert (copied.args, copied.path) == (error.args, error.path)


def test_messages_name_the_file_once() -> None:
    assert errors.describe(errors.Failure(2, "no; try", "/x/app.db")) == "/x/app.db: no; try"
    assert errors.describe(errors.Failure(2, "no /x/app.db; try", "/x/app.db")) == "no /x/app.db; try"
    assert errors.describe(errors.Failure(2, "no; try")) == "no; try"


def test_direct_calls() -> None:
    make = errors.exception_from
    assert isinstance(make(errors.Failure(8, "bad")), ValueError)
    assert isinstance(make(errors.Failure(10, "none")), MemoryError)
    full = make(errors.Failure(9, "full", "/x", code=13))
    assert isinstance(full, OSError)
    assert full.filename == "/x"
    full = make(errors.Failure(9, "writing failed: No space left on device (os error 28)", "/x"))
    assert isinstance(full, OSError)
    assert (full.errno, full.filename) == (errno.ENOSPC, "/x")
    other = make(errors.Failure(9, "broken", "/x", code=266))
    assert isinstance(other, sqlite3.OperationalError)
    assert other.sqlite_errorcode == 266
    wrong = make(errors.Failure(2, "no", "/x"))
    assert isinstance(wrong, lumocrypt.WrongKeyError)
    assert wrong.sqlite_errorname == "SQLITE_AUTH"


def test_nothing_is_wrapped(encrypted: Path, key: lumocrypt.Key) -> None:
    """The path that succeeds costs nothing, because it is the standard library's."""
    connection = lumocrypt.connect(encrypted, key=key)
    assert type(connection) is sqlite3.Connection
    assert type(connection.execute("SELECT 1")) is sqlite3.Cursor
    connection.close()


def test_page_is_an_alias_that_goes() -> None:
    """Of whatever number there is; it counted from 0 and in three units, and looked like SQLite's."""
    error = errors.exception_from(errors.Failure(4, "no", "/x/app.db", "wal", 3))
    assert isinstance(error, lumocrypt.TamperedError)
    assert (error.block, error.frame, error.extent) == (None, 3, None)
    with pytest.warns(DeprecationWarning, match="use block"):
        assert error.page == 3
    for kind, unit in (
        ("main", "block"),
        ("temp", "block"),
        ("journal", "extent"),
        ("sub-journal", "extent"),
    ):
        error = errors.exception_from(errors.Failure(4, "no", "/x/app.db", kind, 7))
        assert {
            name: getattr(error, name) for name in errors.UNIT_NAMES if getattr(error, name) is not None
        } == {unit: 7}
