"""``encrypt``, ``decrypt`` and ``verify`` with several threads: nothing is lost, memory stays flat, and what
is wrong is reported in the file's order."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

import lumocrypt
from support.known_keys import RAW
from support.peers import Peer

HEADER = 65536
SLOT = 4096 + 40
THREADS = ["1", "2", "5"]


def make_large(path: Path, megabytes: int, *, page_size: int = 4096) -> Path:
    """A plaintext database of about that size, quickly."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA page_size={page_size}")
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("PRAGMA journal_mode=OFF")
    connection.execute("CREATE TABLE t (data BLOB)")
    connection.execute("BEGIN")
    for number in range(megabytes):
        content = Random(number).randbytes(1 << 10) * (1 << 10)
        connection.execute("INSERT INTO t VALUES (?)", (content,))
    connection.execute("COMMIT")
    connection.close()
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_large(tmp_path_factory.mktemp("large") / "large.db", 48)


@pytest.fixture
def sealed(large: Path, tmp_path: Path, key: lumocrypt.Key) -> Path:
    lumocrypt.encrypt(large, tmp_path / "app.db", key=key)
    return tmp_path / "app.db"


def damage(path: Path, blocks: list[int]) -> None:
    with path.open("r+b") as file:
        for block in blocks:
            file.seek(HEADER + block * SLOT + 100)
            byte = file.read(1)[0]
            file.seek(HEADER + block * SLOT + 100)
            file.write(bytes([byte ^ 1]))


def run(code: str, *arguments: object, threads: str = "4") -> str:
    environment = {**os.environ, "LUMO_THREADS": threads}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize(
    ("page_size", "block_size"), [(4096, None), (512, None), (65536, None), (4096, 8192)]
)
def test_the_same_bytes_come_back_however_many_threads(
    tmp_path: Path,
    key: lumocrypt.Key,
    monkeypatch: pytest.MonkeyPatch,
    threads: str,
    page_size: int,
    block_size: int | None,
) -> None:
    monkeypatch.setenv("LUMO_THREADS", threads)
    plain = make_large(tmp_path / "a.db", 7, page_size=page_size)
    lumocrypt.encrypt(plain, tmp_path / "b.db", key=key, block_size=block_size)
    assert lumocrypt.verify(tmp_path / "b.db", key=key).ok
    lumocrypt.decrypt(tmp_path / "b.db", tmp_path / "c.db", key=key)
    assert plain.read_bytes() == (tmp_path / "c.db").read_bytes()
    # No nonce twice, whichever thread drew it.
    content = (tmp_path / "b.db").read_bytes()[HEADER:]
    block = block_size or page_size
    nonces = [content[at + block : at + block + 24] for at in range(0, len(content), block + 40)]
    assert len(set(nonces)) == len(nonces) > 100


@pytest.mark.parametrize("threads", THREADS)
def test_the_first_damaged_block_is_the_one_that_is_reported(
    sealed: Path, key: lumocrypt.Key, monkeypatch: pytest.MonkeyPatch, threads: str
) -> None:
    monkeypatch.setenv("LUMO_THREADS", threads)
    # One in each of many pieces, so that all threads come upon one at the same time.
    blocks = list(range(3000, 12000, 31))
    damage(sealed, blocks)
    for _ in range(5):
        with pytest.raises(lumocrypt.TamperedError) as caught:
            lumocrypt.decrypt(sealed, sealed.with_name("out.db"), key=key)
        assert caught.value.block == 3000
        assert sorted(os.listdir(sealed.parent)) == ["app.db"]


@pytest.mark.parametrize("threads", THREADS)
def test_all_damage_is_listed_in_order(
    sealed: Path, key: lumocrypt.Key, monkeypatch: pytest.MonkeyPatch, threads: str
) -> None:
    monkeypatch.setenv("LUMO_THREADS", threads)
    blocks = sorted(Random(1).sample(range(1, 12288), 500))
    damage(sealed, blocks)
    result = lumocrypt.verify(sealed, key=key)
    assert [page.block for page in result.damaged] == blocks
    assert result.damaged_total == 500


def test_damage_everywhere_is_counted_soon(sealed: Path, key: lumocrypt.Key) -> None:
    """A block that does not open is looked at again after a pause, but not each after a pause of its own."""
    damage(sealed, list(range(12288)))
    pauses = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    result = lumocrypt.verify(sealed, key=key)
    pauses = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - pauses
    assert pauses < 6000
    assert result.damaged_total == 12288
    assert [page.block for page in result.damaged] == list(range(10_000))


def test_progress_is_told_by_the_calling_thread_and_not_too_often(sealed: Path, key: lumocrypt.Key) -> None:
    # Damage makes it slow.
    damage(sealed, list(range(7, 12288, 30)))
    seen: list[tuple[int, int]] = []
    callers: set[int] = set()

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        callers.add(threading.get_ident())

    begin = time.monotonic()
    lumocrypt.verify(sealed, key=key, progress=progress)
    took = time.monotonic() - begin
    assert callers == {threading.get_ident()}
    assert 2 <= len(seen) <= took / 0.1 + 1
    assert seen == sorted(seen)
    assert {total for _, total in seen} == {seen[-1][0]}


@pytest.mark.parametrize("operation", ["encrypt", "decrypt", "verify"])
def test_progress_of_a_large_file_is_a_few_calls(
    large: Path, tmp_path: Path, sealed: Path, key: lumocrypt.Key, operation: str
) -> None:
    seen: list[tuple[int, int]] = []
    source = large if operation == "encrypt" else sealed
    arguments = [] if operation == "verify" else [tmp_path / "out.db"]
    begin = time.monotonic()
    getattr(lumocrypt, operation)(source, *arguments, key=key, progress=lambda *step: seen.append(step))
    took = time.monotonic() - begin
    assert 1 <= len(seen) <= took / 0.1 + 1
    assert seen[-1] == (large.stat().st_size, large.stat().st_size)


_PEAK = """
import resource, sys
import lumocrypt

small, large, folder = sys.argv[1:]
key = lumocrypt.Key.raw(bytes(range(32)))

def work(source, name):
    sealed = f"{folder}/{name}.db"
    lumocrypt.encrypt(source, sealed, key=key)
    assert lumocrypt.verify(sealed, key=key).ok
    lumocrypt.decrypt(sealed, sealed + ".plain", key=key)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

before = work(small, "small")
print(work(large, "large") - before)
"""


def test_memory_does_not_grow_with_the_file(tmp_path: Path, large: Path) -> None:
    small = make_large(tmp_path / "few.db", 4)
    more = int(run(_PEAK, small, large, tmp_path))
    assert more < 3 * 1024, f"{more} KiB more for 48 MiB than for 4 MiB"
    # With as many threads as there can be.
    assert int(run(_PEAK, small, large, _folder(tmp_path / "many"), threads="64")) < 6 * 1024


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


_SHORT = """
import resource, sys
import lumocrypt

source, folder = sys.argv[1:]
key = lumocrypt.Key.raw(bytes(range(32)))
lumocrypt.encrypt(source, folder + "/first.db", key=key)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
# Enough for SQLite and one thread, and not for sixteen of them.
for more in (2 << 20, 3 << 20, 5 << 20):
    resource.setrlimit(resource.RLIMIT_AS, (used + more, resource.RLIM_INFINITY))
    lumocrypt.encrypt(source, f"{folder}/{more}.db", key=key)
    assert lumocrypt.verify(f"{folder}/{more}.db", key=key).ok
    lumocrypt.decrypt(f"{folder}/{more}.db", f"{folder}/{more}.plain", key=key)
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert open(source, "rb").read() == open(f"{folder}/{more}.plain", "rb").read()
"""


def test_without_memory_for_more_threads_fewer_do_the_work(tmp_path: Path) -> None:
    run(_SHORT, make_large(tmp_path / "a.db", 24), _folder(tmp_path / "out"), threads="16")


_FORK = """
import os, sys
import lumocrypt

key = lumocrypt.Key.raw(bytes(range(32)))
children = []

def progress(done, total):
    if not children and done < total:
        children.append(os.fork())

result = lumocrypt.verify(sys.argv[1], key=key, progress=progress)
good = result.damaged_total == int(sys.argv[2])
if children == [0]:
    os._exit(0 if good else 1)
assert good and children
assert os.waitpid(children[0], 0)[1] == 0
"""


def test_a_progress_function_may_fork(sealed: Path) -> None:
    """The child has none of the other threads, and goes on without them."""
    blocks = list(range(7, 12288, 30))
    damage(sealed, blocks)
    run(_FORK, sealed, len(blocks))


def test_locks_outlive_a_verification_by_several_threads(
    sealed: Path, key: lumocrypt.Key, peer: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each thread has a descriptor of its own; closing one must not drop the process's locks."""
    monkeypatch.setenv("LUMO_THREADS", "4")
    connection = lumocrypt.connect(sealed, key=key, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    assert lumocrypt.verify(sealed, key=key).ok
    other = peer(sealed, RAW)
    assert "locked" in other.run("BEGIN IMMEDIATE")["message"]
    connection.execute("ROLLBACK")
    assert "error" not in other.run("BEGIN IMMEDIATE")
    connection.close()


def test_descriptors_and_threads_are_given_back(sealed: Path, key: lumocrypt.Key, tmp_path: Path) -> None:
    def used() -> list[int]:
        return [len(os.listdir(f"/proc/self/{kind}")) for kind in ("fd", "task")]

    before = used()
    for number in range(5):
        assert lumocrypt.verify(sealed, key=key).ok
        lumocrypt.decrypt(sealed, tmp_path / f"{number}.db", key=key)
    assert used() == before


@pytest.mark.parametrize("threads", ["0", "-1", "two", "1.5", "9" * 40])
def test_a_number_of_threads_that_is_none(
    plain: Path, tmp_path: Path, key: lumocrypt.Key, monkeypatch: pytest.MonkeyPatch, threads: str
) -> None:
    monkeypatch.setenv("LUMO_THREADS", threads)
    with pytest.raises(ValueError, match="threads"):
        lumocrypt.encrypt(plain, tmp_path / "b.db", key=key)
    assert sorted(os.listdir(tmp_path)) == ["plain.db"]
