"""What threads do at the same time."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from random import Random

import lumocrypt
from lumocrypt.engine import native

from .crew import Crew, Work
from .place import ACCOUNTS, BALANCE, Place, total, transfer

THREADS = 6
#: How long a child of ``fork`` may take, in seconds.
_CHILD = 20

Scenario = Callable[[Place, float], int]
SCENARIOS: dict[str, Scenario] = {}


def scenario(function: Scenario) -> Scenario:
    """Adds one to the list; it gets a place and seconds, and returns how much was done."""
    SCENARIOS[function.__name__] = function
    return function


@contextlib.contextmanager
def _kept(place: Place, name: str = "a", *, shared: bool = True) -> Iterator[sqlite3.Connection]:
    """A connection that keeps a cache alive while others come and go."""
    with contextlib.closing(place.connect(name, shared=shared)) as connection:
        total(connection)
        yield connection


@scenario
def shared_cache(place: Place, seconds: float) -> int:
    """Connections to a shared cache come, read and go, while one stays."""
    place.create()

    def visit(random: Random) -> None:
        with contextlib.closing(place.connect(shared=True)) as connection:
            assert total(connection) == ACCOUNTS * BALANCE

    with _kept(place):
        done = Crew([visit] * THREADS).run(seconds)
    place.check()
    return done


def _shared_writers(place: Place, seconds: float, journal: str) -> int:
    place.create(journal=journal)

    def work(random: Random) -> None:
        with contextlib.closing(place.connect(shared=random.random() < 0.7)) as connection:
            transfer(connection, random)
            assert total(connection) == ACCOUNTS * BALANCE
            if random.random() < 0.1:
                connection.execute("PRAGMA wal_checkpoint")

    with _kept(place):
        done = Crew([work] * THREADS).run(seconds)
    place.check()
    return done


@scenario
def shared_writers_wal(place: Place, seconds: float) -> int:
    """Connections with and without the shared cache write a WAL, and copy it back."""
    return _shared_writers(place, seconds, "wal")


@scenario
def shared_writers_journal(place: Place, seconds: float) -> int:
    """The same with a rollback journal."""
    return _shared_writers(place, seconds, "delete")


@scenario
def attach(place: Place, seconds: float) -> int:
    """Databases with a shared cache are attached in either order, used together, and detached."""
    for name in "ab":
        place.create(name)

    def work(random: Random) -> None:
        main, other = random.sample("ab", 2)
        with contextlib.closing(place.connect(main, shared=True)) as connection:
            for _ in range(3):
                connection.execute("ATTACH ? AS other", (place.attached(other),))
                try:
                    transfer(connection, random, random.choice(["main", "other"]))
                    assert total(connection, "other") == ACCOUNTS * BALANCE
                finally:
                    with contextlib.suppress(sqlite3.OperationalError):
                        connection.execute("DETACH other")

    with _kept(place, "a"):
        done = Crew([work] * THREADS).run(seconds)
    place.check("a", "b")
    return done


@scenario
def copies(place: Place, seconds: float) -> int:
    """VACUUM INTO, ATTACH of a new file and sqlite3_backup from a shared cache, while others write."""
    place.create(journal="wal")
    made = iter(range(sys.maxsize))

    def write(random: Random) -> None:
        with contextlib.closing(place.connect(shared=True)) as connection:
            transfer(connection, random)

    def copy(random: Random) -> None:
        name = f"copy{next(made)}"
        with contextlib.closing(place.connect(shared=random.random() < 0.5)) as connection:
            way = random.randrange(3)
            if way == 0:
                connection.execute("VACUUM INTO ?", (str(place.path(name)),))
            elif way == 1:
                connection.execute("ATTACH ? AS copy", (place.attached(name),))
                connection.execute("CREATE TABLE copy.account AS SELECT * FROM main.account")
            else:
                with contextlib.closing(place.connect(name)) as target:
                    connection.backup(target, pages=3)
        place.check(name)
        place.path(name).unlink()

    with _kept(place):
        done = Crew([write] * 3 + [copy] * 3).run(seconds)
    place.check()
    return done


@scenario
def interrupt(place: Place, seconds: float) -> int:
    """Statements are interrupted from outside, in the middle of reading, sorting and writing."""
    place.create()
    connections = [place.connect(shared=i % 2 == 0) for i in range(3)]

    def work_with(connection: sqlite3.Connection) -> Work:
        def work(random: Random) -> None:
            connection.execute("PRAGMA cache_size=5")
            if random.random() < 0.5:
                transfer(connection, random)
            rows = "SELECT a.note FROM account a, account b, account c ORDER BY a.note, random()"
            connection.execute(f"SELECT count(*) FROM ({rows})").fetchone()

        return work

    def stop(random: Random) -> None:
        random.choice(connections).interrupt()

    done = Crew([work_with(connection) for connection in connections] + [stop] * 2).run(seconds)
    for connection in connections:
        connection.close()
    place.check()
    return done


@scenario
def blobs(place: Place, seconds: float) -> int:
    """Blobs are read and written in pieces, beside others with the same cache."""
    place.create()
    incremental = getattr(sqlite3.Connection, "blobopen", None)

    def work(random: Random) -> None:
        with contextlib.closing(place.connect(shared=True)) as connection:
            row = random.randrange(ACCOUNTS)
            if incremental is None:
                connection.execute("SELECT note FROM account WHERE id = ?", (row,)).fetchone()
                return
            write = random.random() < 0.5
            with incremental(connection, "account", "note", row, readonly=not write) as blob:
                if write:
                    blob.write(random.randbytes(100))
                assert len(blob.read(100)) == 100

    with _kept(place):
        done = Crew([work] * THREADS).run(seconds)
    place.check()
    return done


@scenario
def settings(place: Place, seconds: float) -> int:
    """Connections are configured, which takes their mutexes, while others open."""
    place.create()
    connections = [place.connect(shared=True) for _ in range(3)]

    def configure(random: Random) -> None:
        connection = random.choice(connections)
        if hasattr(connection, "enable_load_extension"):
            connection.enable_load_extension(random.random() < 0.5)
        if hasattr(connection, "setlimit"):
            connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, random.randrange(2, 10))
        connection.execute("PRAGMA busy_timeout=100")
        _ = connection.total_changes

    def visit(random: Random) -> None:
        with contextlib.closing(place.connect(shared=True)) as connection:
            assert total(connection) == ACCOUNTS * BALANCE

    done = Crew([configure] * 3 + [visit] * 3).run(seconds)
    for connection in connections:
        connection.close()
    place.check()
    return done


@scenario
def closing(place: Place, seconds: float) -> int:
    """Connections are closed by other threads than opened and used them, the last of a cache among them."""
    place.create(journal="wal")
    waiting: list[sqlite3.Connection] = []

    def open_one(random: Random) -> None:
        connection = place.connect(shared=random.random() < 0.8)
        total(connection)
        waiting.append(connection)

    def close_one(random: Random) -> None:
        with contextlib.suppress(IndexError):
            waiting.pop(random.randrange(2) - 1).close()

    done = Crew([open_one] * 3 + [close_one] * 4).run(seconds)
    while waiting:
        waiting.pop().close()
    place.check()
    return done


@scenario
def keys(place: Place, seconds: float) -> int:
    """Paths are unlocked and locked, headers read, counters asked for, VFSs made and closed."""
    place.create()
    if not place.encrypted:
        return Crew([lambda random: place.check()] * 2).run(seconds)
    key = lumocrypt.Key.raw(bytes([0x11]) * 32)

    def unlock(random: Random) -> None:
        path = place.path(f"none{random.randrange(3)}")
        lumocrypt.unlock(path, key)
        lumocrypt.lock(path)

    def look(random: Random) -> None:
        lumocrypt.info(place.path())
        lumocrypt.stats()
        native.hosts()

    def make_vfs(random: Random) -> None:
        with lumocrypt.crypto_vfs(bytes(32), cipher="adiantum") as vfs:
            uri = place.uri(f"g{random.random()}", vfs=vfs.name)
            with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
                connection.execute("CREATE TABLE t (x)")

    def visit(random: Random) -> None:
        with contextlib.closing(lumocrypt.connect(place.path(), key=key)) as connection:
            assert total(connection) == ACCOUNTS * BALANCE

    done = Crew([unlock, look, make_vfs, visit, visit]).run(seconds)
    place.check()
    return done


def _in_child(work: Callable[[], None]) -> None:
    """Runs ``work`` in a child of ``fork``, which has a moment for it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(_CHILD)
            work()
            code = 0
        except BaseException as error:
            print(f"in a child: {error!r}", file=sys.stderr)
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        raise AssertionError(f"a child ended with {status}")


@scenario
def registration(place: Place, seconds: float) -> int:
    """The first use of the engine by several threads at once, each in its own way, in ever new processes."""

    def create() -> None:
        if place.encrypted:
            lumocrypt.install()
        place.create()

    _in_child(create)
    import _sqlite3

    library = getattr(_sqlite3, "__file__", None)

    def serve() -> None:
        native.set_default(native.register_library(library)["host"], True, strict=False)

    def load() -> None:
        lumocrypt.load(sqlite3.connect(":memory:"))

    ways = [serve, lumocrypt.install, load] * 3

    def first_use() -> None:
        errors: list[BaseException] = []
        start = threading.Barrier(len(ways))

        def use(way: Callable[[], object]) -> None:
            try:
                start.wait()
                way()
                uri = place.uri(vfs="lumocrypt") if place.encrypted else place.uri()
                with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
                    assert total(connection) == ACCOUNTS * BALANCE
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=use, args=(way,)) for way in ways]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    return Crew([lambda random: _in_child(first_use)]).run(seconds)


@scenario
def fork(place: Place, seconds: float) -> int:
    """Children of a process whose threads are in the engine, though not in SQLite, can use both."""
    place.create()
    key = lumocrypt.Key.raw(bytes([0x11]) * 32)

    def busy(random: Random) -> None:
        lumocrypt.unlock(place.path("none"), key)
        lumocrypt.stats()
        lumocrypt.lock(place.path("none"))

    def child() -> None:
        lumocrypt.stats()
        lumocrypt.unlock(place.path("none"), key)
        with contextlib.closing(place.connect(shared=True)) as connection:
            assert total(connection) == ACCOUNTS * BALANCE

    return Crew([busy] * 3).run(seconds, beside=lambda: _in_child(child))
