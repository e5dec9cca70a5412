"""The extension module, as py-lmdb is used. Run with the module's folder on PYTHONPATH, under the name _lmdb.abi3.so."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import _lmdb
import pytest

KEY = b"k" * 32


def open_env(path: Path, **arguments: object) -> _lmdb.Environment:
    return _lmdb.open_raw(path / "app.lmdb", KEY, **arguments)


def test_values_come_and_go(tmp_path: Path) -> None:
    env = open_env(tmp_path)
    with env.begin(write=True) as txn:
        assert txn.put(b"a", b"1")
        assert not txn.put(b"a", b"2", overwrite=False)
        assert txn.replace(b"a", bytearray(b"3")) == b"1"
        assert txn.pop(b"a") == b"3"
        assert txn.pop(b"a") is None
        txn.put(b"b", memoryview(b"4"))
    with env.begin(buffers=True) as txn:
        assert txn.get(b"a", b"nothing") == b"nothing"
        assert isinstance(txn.get(b"b"), memoryview)
    with pytest.raises(_lmdb.ReadonlyError), env.begin() as txn:
        txn.put(b"c", b"5")


def test_an_exception_gives_a_transaction_up(tmp_path: Path) -> None:
    env = open_env(tmp_path)
    with pytest.raises(KeyError), env.begin(write=True) as txn:
        txn.put(b"a", b"1")
        raise KeyError
    with env.begin() as txn:
        assert txn.get(b"a") is None


def test_cursors(tmp_path: Path) -> None:
    env = open_env(tmp_path)
    db = env.open_db(b"sorted", dupsort=True)
    items = [(b"%d" % (n % 3), b"%d" % n) for n in range(9)]
    with env.begin(db, write=True) as txn:
        cursor = txn.cursor()
        assert cursor.putmulti(items) == (9, 9)
        assert [*cursor.iternext()] == [(b"2", b"8")]
        assert cursor.first()
        assert [*cursor] == sorted(items)
        assert cursor.set_key(b"1")
        assert cursor.count() == 3
        assert [*cursor.iternext_dup()] == [b"1", b"4", b"7"]
        assert cursor.set_range_dup(b"1", b"2")
        assert cursor.item() == (b"1", b"4")
        assert cursor.delete()
        assert cursor.item() == (b"1", b"7")
        assert cursor.getmulti([b"0", b"x", b"2"]) == [(b"0", b"0"), (b"2", b"2")]
    with env.begin(db) as txn:
        assert [*txn.cursor().iterprev_nodup()] == [b"2", b"1", b"0"]


def test_what_has_ended_says_so(tmp_path: Path) -> None:
    env = open_env(tmp_path)
    parent = env.begin(write=True)
    child = env.begin(parent=parent, write=True)
    cursor = child.cursor()
    parent.abort()
    for use in (lambda: child.get(b"a"), lambda: cursor.first(), lambda: parent.commit()):
        with pytest.raises(_lmdb.Error, match="closed"):
            use()
    txn = env.begin()
    cursor = txn.cursor()
    env.close()
    for use in (lambda: txn.get(b"a"), cursor.first, lambda: env.begin()):
        with pytest.raises(_lmdb.Error, match="closed"):
            use()
    del txn, cursor
    gc.collect()


def test_a_writer_waits_without_the_lock_of_the_interpreter(tmp_path: Path) -> None:
    env = open_env(tmp_path)
    txn = env.begin(write=True)
    done = []

    def write() -> None:
        with env.begin(write=True) as other:
            other.put(b"b", b"2")
        done.append(True)

    thread = threading.Thread(target=write)
    thread.start()
    txn.put(b"a", b"1")
    txn.commit()
    thread.join(20)
    assert done


def test_another_key_opens_nothing(tmp_path: Path) -> None:
    env = open_env(tmp_path)
    env.close()
    del env
    with pytest.raises(_lmdb.CryptoFailError):
        _lmdb.open_raw(tmp_path / "app.lmdb", b"x" * 32)


def test_fork(tmp_path: Path) -> None:
    env = open_env(tmp_path)
    with env.begin(write=True) as txn:
        txn.put(b"a", b"1")
    snapshot = env.begin()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with pytest.raises(_lmdb.Error):
                snapshot.get(b"a")
            with env.begin(write=True) as txn:
                txn.put(b"b", txn.get(b"a"))
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert snapshot.get(b"a") == b"1"
    with env.begin() as txn:
        assert txn.get(b"b") == b"1"
