"""The same operations on py-lmdb and on lumocrypt.lmdb: the same answers, and the same kinds of errors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lmdb
import lumocrypt
import lumocrypt.lmdb

KEY = lumocrypt.Key.raw(b"k" * 32)
KINDS: list[dict[str, Any]] = [{}, {"dupsort": True}, {"reverse_key": True}, {"dupfixed": True}]


def pair(folder: str | Path, **arguments: Any) -> list[Any]:
    folder = Path(folder)
    arguments = {"max_dbs": 4, "subdir": False, "sync": False, **arguments}
    stock = lmdb.open(str(folder / "stock"), map_size=1 << 26, **arguments)
    return [stock, lumocrypt.lmdb.open(folder / "ours", key=KEY, **arguments)]


def answer(function: Callable[[], Any]) -> Any:
    """What comes of a call; of an error its class."""
    named = {*lumocrypt.lmdb.__all__, "TypeError", "ValueError"}
    try:
        found = function()
    except Exception as error:
        return next(cls.__name__ for cls in type(error).__mro__ if cls.__name__ in named)
    if hasattr(found, "__next__"):
        return list(found)
    return bytes(found) if isinstance(found, memoryview) else found


# A put that fails is among the misuses below.
keys = st.sampled_from([b"a", b"ab", b"b", b"ba", b"c", b"zz"])
values = st.sampled_from([b"", b"1", b"22", b"22222222", b"v" * 5000])
same_size = st.sampled_from([b"1111", b"2222", b"3333"])
truth = st.booleans()


def operations(
    value: st.SearchStrategy[bytes],
) -> st.SearchStrategy[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    puts = st.fixed_dictionaries({"dupdata": truth, "overwrite": truth})
    nothing = st.just({})
    moves = ["first", "last", "next", "prev", "first_dup", "last_dup", "next_dup", "prev_dup", "next_nodup"]
    moves += ["prev_nodup", "key", "value", "item", "count", "delete"]
    return st.one_of(
        st.tuples(st.sampled_from(["txn.put", "cursor.put"]), st.tuples(keys, value), puts),
        st.tuples(
            st.sampled_from(["txn.get", "txn.pop", "cursor.pop", "cursor.get"]), st.tuples(keys), nothing
        ),
        st.tuples(st.just("txn.replace"), st.tuples(keys, value), nothing),
        st.tuples(st.just("txn.delete"), st.one_of(st.tuples(keys), st.tuples(keys, value)), nothing),
        st.tuples(st.sampled_from(["cursor.set_key", "cursor.set_range"]), st.tuples(keys), nothing),
        st.tuples(st.sampled_from([f"cursor.{move}" for move in moves]), st.just(()), nothing),
        st.tuples(st.just("cursor.putmulti"), st.tuples(st.lists(st.tuples(keys, value), max_size=3)), puts),
        st.tuples(st.just("cursor.getmulti"), st.tuples(st.lists(keys, max_size=4)), nothing),
        st.tuples(
            st.sampled_from(
                [f"cursor.iter{way}{part}" for way in ("next", "prev") for part in ("", "_nodup")]
            ),
            st.just(()),
            nothing,
        ),
    )


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_same_answers(kind: dict[str, Any]) -> None:
    value = same_size if kind.get("dupfixed") else values

    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(st.lists(operations(value), max_size=25))
    def run(steps: list[tuple[str, tuple[Any, ...], dict[str, Any]]]) -> None:
        with TemporaryDirectory() as folder:
            found = []
            for env in pair(folder):
                database = env.open_db(b"n", **kind)
                said: list[Any] = [database.flags()]
                with env.begin(database, write=True) as txn:
                    cursor = txn.cursor()
                    for name, arguments, named in steps:
                        at = txn if name.startswith("txn.") else cursor
                        call = getattr(at, name.partition(".")[2])
                        found_here = answer(partial(call, *arguments, **named))
                        said.append((name, arguments, found_here))
                with env.begin(database) as txn:
                    said.append(list(txn.cursor()))
                    said.append(txn.stat()["entries"])
                env.close()
                found.append(said)
            for stock, ours in zip(*found, strict=True):
                assert stock == ours

    run()


def test_multiples(tmp_path: Path) -> None:
    found = []
    for env in pair(tmp_path):
        database = env.open_db(b"n", dupfixed=True)
        with env.begin(database, write=True) as txn:
            cursor = txn.cursor()
            some = [(b"%02d" % (n % 3), b"%04d" % n) for n in range(3000)]
            wanted = [b"00", b"02", b"09"]
            found.append([
                cursor.putmulti(some), cursor.putmulti(some, dupdata=False),
                cursor.getmulti(wanted), cursor.getmulti(wanted, dupdata=True),
                cursor.getmulti(wanted, dupdata=True, dupfixed_bytes=4),
                bytes(cursor.getmulti(wanted, dupdata=True, dupfixed_bytes=4, keyfixed=True)),
                cursor.getmulti(wanted, values=False),
                cursor.set_key_dup(b"01", b"0004"), cursor.item(),
                cursor.set_range_dup(b"01", b"0005"), cursor.item(),
                list(cursor.iternext_dup())[:3], cursor.set_key(b"02"), list(cursor.iterprev_dup()),
            ])  # fmt: skip
        env.close()
    assert found[0] == found[1]


MISUSES: list[Callable[[Any, Any], Any]] = [
    lambda env, txn: env.open_db("text"),
    lambda env, txn: env.open_db(None, dupsort=True),
    lambda env, txn: env.open_db(b"none", txn=txn, create=False),
    lambda env, txn: [env.open_db(b"%d" % n, txn=txn) for n in range(9)],
    lambda env, txn: txn.put("text", b""),
    lambda env, txn: txn.put(b"", b"1"),
    lambda env, txn: txn.get(b""),
    lambda env, txn: txn.put(b"x" * 3000, b"1"),
    lambda env, txn: txn.cursor().put(b"", b"1"),
    lambda env, txn: txn.cursor().getmulti([], dupfixed_bytes=4),
    lambda env, txn: txn.cursor().getmulti([], dupdata=True, values=False),
    lambda env, txn: txn.cursor().putmulti([b"x"]),
    lambda env, txn: (txn.commit(), txn.get(b"x")),
    lambda env, txn: (txn.abort(), txn.put(b"x", b"")),
    lambda env, txn: (env.close(), txn.get(b"x")),
    lambda env, txn: (env.close(), env.begin()),
    lambda env, txn: env.begin(parent=env.begin(), write=True),
    lambda env, txn: env.set_mapsize(1 << 27),
    lambda env, txn: env.copy(env.path()),
]  # fmt: skip


@pytest.mark.parametrize("misuse", MISUSES)
def test_the_same_errors(tmp_path: Path, misuse: Callable[[Any, Any], Any]) -> None:
    found = []
    for env in pair(tmp_path):
        txn = env.begin(write=True)
        found.append(answer(lambda env=env, txn=txn: misuse(env, txn)))
        txn.abort()
        env.close()
    assert found[0] == found[1]
    assert isinstance(found[0], str)


def test_nested_transactions(tmp_path: Path) -> None:
    found = []
    for env in pair(tmp_path):
        with env.begin(write=True) as txn:
            txn.put(b"a", b"1")
            with env.begin(parent=txn, write=True) as inner:
                inner.put(b"b", b"2")
            inner = env.begin(parent=txn, write=True)
            inner.put(b"c", b"3")
            inner.abort()
            found.append([txn.get(key) for key in (b"a", b"b", b"c")])
        env.close()
    assert found == [[b"1", b"2", None]] * 2


def test_read_only(tmp_path: Path) -> None:
    for env in pair(tmp_path):
        env.open_db(b"n")
        env.close()
    for env in pair(tmp_path, readonly=True):
        assert answer(lambda env=env: env.begin(write=True)) == "ReadonlyError"
        database = env.open_db(b"n", create=False)
        assert env.begin(database).get(b"x", b"default") == b"default"
        assert env.dbs() == [b"n"]
        assert env.flags()["readonly"]
        env.close()


def test_a_map_that_is_full(tmp_path: Path) -> None:
    def fill(env: Any) -> None:
        with env.begin(write=True) as txn:
            for n in range(1000):
                txn.put(b"%d" % n, bytes(3000))

    env = lumocrypt.lmdb.open(tmp_path / "ours", key=KEY, map_size=1 << 18)
    with pytest.raises(lumocrypt.lmdb.MapFullError):
        fill(env)
    env.set_mapsize(1 << 24)
    fill(env)
    assert env.stat()["entries"] == 1000
