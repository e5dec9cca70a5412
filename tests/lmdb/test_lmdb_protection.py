"""Keys, damage, processes and threads."""

from __future__ import annotations

import contextlib
import os
import pickle
import random
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import lmdb as stock
import lumocrypt
from lumocrypt import lmdb

KEY = lumocrypt.Key.raw(b"k" * 32)
OTHER = lumocrypt.Key.raw(b"o" * 32)
HEADER = 65536


def filled(path: Path, **arguments: Any) -> Any:
    env = lmdb.open(path, key=KEY, **arguments)
    with env.begin(write=True) as txn:
        for n in range(2000):
            txn.put(b"%05d" % n, b"secret %d" % n)
    return env


def test_the_module_is_loaded_when_it_is_asked_for() -> None:
    code = "import lumocrypt, sys; assert 'lumocrypt.lmdb' not in sys.modules; lumocrypt.lmdb.open"
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0


def test_a_wrong_key_and_no_key(tmp_path: Path) -> None:
    filled(tmp_path / "app.lmdb").close()
    assert sorted(os.listdir(tmp_path)) == ["app.lmdb", "app.lmdb-lock"]
    with pytest.raises(lumocrypt.WrongKeyError) as wrong:
        lmdb.open(tmp_path / "app.lmdb", key=OTHER)
    with pytest.raises(lumocrypt.KeyRequiredError) as none:
        lmdb.open(tmp_path / "app.lmdb")
    assert isinstance(wrong.value, lmdb.CryptoFailError)
    assert isinstance(none.value, lmdb.EnvEncryptionError)
    assert type(pickle.loads(pickle.dumps(wrong.value))) is lumocrypt.WrongKeyError
    with pytest.raises(TypeError):
        lmdb.open(tmp_path / "app.lmdb", key=b"bytes")  # pyright: ignore


def test_keys_come_from_where_connect_gets_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "app.lmdb"
    monkeypatch.setenv("LUMO_KEY", "x'" + "6b" * 32 + "'")
    with lmdb.open(path) as env, env.begin(write=True) as txn:
        txn.put(b"a", b"b")
    monkeypatch.delenv("LUMO_KEY")
    with lmdb.open(path, key="x'" + "6b" * 32 + "'") as env, env.begin() as txn:
        assert txn.get(b"a") == b"b"
    lmdb.open(tmp_path / "sums.lmdb", key=lumocrypt.NO_KEY, cipher="checksum").close()
    with pytest.raises(lumocrypt.NotEncryptedError):
        lmdb.open(tmp_path / "sums.lmdb", key=KEY)


def test_files_of_others(tmp_path: Path) -> None:
    stock.open(str(tmp_path / "stock"), subdir=False).close()
    with pytest.raises(lumocrypt.NotEncryptedError):
        lmdb.open(tmp_path / "stock", key=KEY)
    lumocrypt.connect(tmp_path / "app.db", key=KEY).execute("CREATE TABLE t (a)").connection.close()
    with pytest.raises(lumocrypt.UnsupportedFormatError):
        lmdb.open(tmp_path / "app.db", key=KEY)
    filled(tmp_path / "app.lmdb").close()
    with (
        pytest.raises(lumocrypt.UnsupportedFormatError),
        contextlib.closing(lumocrypt.connect(tmp_path / "app.lmdb", key=KEY)) as connection,
    ):
        connection.execute("SELECT 1 FROM sqlite_schema")
    with pytest.raises(lmdb.Error):
        lmdb.open(tmp_path / "none", key=KEY, create=False)
    assert not (tmp_path / "none").exists()


def test_nothing_is_in_clear(tmp_path: Path) -> None:
    filled(tmp_path / "app.lmdb").close()
    assert not [path for path in tmp_path.iterdir() if b"secret" in path.read_bytes()]


def test_what_does_not_go_with_encryption_is_refused(tmp_path: Path) -> None:
    with pytest.raises(lmdb.InvalidParameterError, match="pages in the map would be in clear"):
        lmdb.open(tmp_path / "app.lmdb", key=KEY, writemap=True)
    assert not list(tmp_path.iterdir())


def test_flipped_bits_never_give_a_wrong_value(tmp_path: Path) -> None:
    path = tmp_path / "app.lmdb"
    filled(path).close()
    whole, chance, named = path.read_bytes(), random.Random(7), 0
    for _ in range(60):
        at = chance.randrange(HEADER + 2 * 4096, len(whole))
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << chance.randrange(8)]) + whole[at + 1 :])
        found: list[tuple[bool, int | None]] = []
        with lmdb.open(path, key=KEY) as env, env.begin() as txn:
            for n in range(2000):
                try:
                    assert txn.get(b"%05d" % n) == b"secret %d" % n
                except lumocrypt.TamperedError as error:
                    found.append((isinstance(error, lmdb.CorruptedError), error.block))
                    break
        assert found in ([], [(True, (at - HEADER) // 4096)])
        named += len(found)
    assert named > 20


def test_a_copy_under_another_key(tmp_path: Path) -> None:
    with filled(tmp_path / "app.lmdb", max_dbs=2) as env:
        env.open_db(b"n", dupsort=True)
        env.copy(tmp_path / "other.lmdb", key=OTHER)
        env.copy(tmp_path / "plain.lmdb")
        env.copy(tmp_path / "compact.lmdb", compact=True)
        with open(tmp_path / "fd.lmdb", "xb") as file:
            env.copyfd(file.fileno())
    for name, key in (("other", OTHER), ("plain", KEY), ("compact", KEY), ("fd", KEY)):
        with lmdb.open(tmp_path / f"{name}.lmdb", key=key, max_dbs=2) as env, env.begin() as txn:
            assert txn.stat()["entries"] == 2001
            assert txn.get(b"01999") == b"secret 1999"
            assert env.dbs() == [b"n"]
    with pytest.raises(lumocrypt.WrongKeyError):
        lmdb.open(tmp_path / "other.lmdb", key=KEY)


def test_a_forked_child_goes_on_by_itself(tmp_path: Path) -> None:
    env = filled(tmp_path / "app.lmdb", max_dbs=2)
    database = env.open_db(b"n")
    snapshot = env.begin()
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            with pytest.raises(lmdb.BadTxnError):
                snapshot.get(b"00001")
            with env.begin(database, write=True) as txn:
                txn.put(b"child", b"was here")
            with env.begin() as txn:
                assert txn.get(b"00001") == b"secret 1"
            code = 0
        os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert snapshot.get(b"00001") == b"secret 1"
    with env.begin(database) as txn:
        assert txn.get(b"child") == b"was here"


def test_a_writer_ends_in_its_thread(tmp_path: Path) -> None:
    env = filled(tmp_path / "app.lmdb")
    txn = env.begin(write=True)
    txn.put(b"a", b"b")
    said: list[str] = []

    def elsewhere() -> None:
        try:
            txn.commit()
        except lmdb.Error as error:
            said.append(str(error))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert "ends in the thread that it began in" in said[0]
    with pytest.raises(lmdb.Error, match="writing already"):
        env.begin(write=True)
    txn.commit()
    with env.begin(write=True) as txn:
        assert txn.get(b"a") == b"b"


def test_readers_overlap_a_writer_that_uses_pages_again(tmp_path: Path) -> None:
    """Stock LMDB with a page cipher serves pages here as they were, and loses keys."""
    with lmdb.open(tmp_path / "app.lmdb", key=KEY, sync=False) as env:
        for round_ in range(12):
            with env.begin(write=True) as txn:
                for n in range(400):
                    txn.put(b"%04d" % n, b"%d " % round_ * 30)
            old = env.begin()
            first = old.get(b"0000")
            with env.begin() as txn:
                assert {value for _, value in txn.cursor()} == {b"%d " % round_ * 30}
            with env.begin(write=True) as txn:
                for n in range(0, 400, 3):
                    txn.delete(b"%04d" % n)
            assert old.get(b"0000") == first == b"%d " % round_ * 30
            assert old.stat()["entries"] == 400
            old.abort()
    with lmdb.open(tmp_path / "app.lmdb", key=KEY) as env:
        assert env.stat()["entries"] == 266


def test_threads_read_while_one_writes(tmp_path: Path) -> None:
    env = filled(tmp_path / "app.lmdb", sync=False)
    wrong: list[object] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            with env.begin() as txn:
                found = {value.rpartition(b" ")[0] for _, value in txn.cursor()}
            if len(found) != 1:
                wrong.append(found)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for n in range(20):
        with env.begin(write=True) as txn:
            for key in range(2000):
                txn.put(b"%05d" % key, b"round %d %d" % (n, key))
    done.set()
    for reader in readers:
        reader.join()
    assert all(len(found) == 1 for found in wrong if isinstance(found, set))
    assert not wrong


def test_objects_are_let_go(tmp_path: Path) -> None:
    env = filled(tmp_path / "app.lmdb")
    value = b"a value of its own"
    with env.begin(write=True) as txn:
        before = sys.getrefcount(value)
        for _ in range(100):
            txn.put(b"a", value)
            txn.cursor().set_key(b"a")
        assert sys.getrefcount(value) == before
    for _ in range(300):
        env.begin()
    assert env.readers().count("\n") < 5
    assert not env.transactions


def test_an_environment_twice_is_one(tmp_path: Path) -> None:
    one, two = filled(tmp_path / "app.lmdb"), lmdb.open(tmp_path / "app.lmdb", key=KEY)
    one.close()
    with two.begin() as txn:
        assert txn.get(b"00001") == b"secret 1"
