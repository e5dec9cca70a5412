"""Random SQL programs: their statements, and how each is run on a pair of twins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from support.sql_twin import Twins, payload

SIZES = [512 << power for power in range(8)]
JOURNAL_MODES = ["delete", "truncate", "persist", "memory", "wal", "off"]

#: A step is the name of a method of :class:`Program` and its arguments.
Step = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """What a database and its connections are set to at the start."""

    page_size: int
    block_size: int
    journal_mode: str
    auto_vacuum: int
    locking_mode: str
    io: str
    synchronous: str
    cache_size: int
    mmap_size: int


def settings_of(journal_mode: str) -> st.SearchStrategy[Setting]:
    return st.builds(
        Setting,
        page_size=st.sampled_from(SIZES),
        block_size=st.sampled_from(SIZES),
        journal_mode=st.just(journal_mode),
        auto_vacuum=st.integers(0, 2),
        locking_mode=st.sampled_from(["normal", "normal", "exclusive"]),
        io=st.sampled_from(["map", "pread"]),
        synchronous=st.sampled_from(["off", "normal", "full", "extra"]),
        cache_size=st.sampled_from([1, 5, 20, -2000]),
        mmap_size=st.sampled_from([0, 1 << 20]),
    )


_seed = st.integers(0, 999)
_modulus = st.integers(2, 7)

steps: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), _seed, st.integers(1, 25), st.sampled_from([10, 300, 1500, 6000])),
        st.tuples(st.just("insert"), _seed, st.integers(1, 3), st.sampled_from([20_000, 150_000])),
        st.tuples(st.just("update"), _seed, _modulus, st.sampled_from([10, 700, 5000])),
        st.tuples(st.just("delete"), _modulus),
        st.tuples(st.just("delete"), st.just(1)),
        st.tuples(st.just("keyed"), _seed, st.integers(1, 30)),
        st.tuples(st.just("begin"), st.sampled_from(["deferred", "immediate", "exclusive"])),
        st.tuples(st.sampled_from(["commit", "commit", "rollback"])),
        st.tuples(st.just("savepoint"), st.integers(0, 2)),
        st.tuples(st.sampled_from(["release", "rollback_to"]), st.integers(0, 2)),
        st.tuples(st.just("conflict"), _seed),
        st.tuples(st.just("index"), st.booleans()),
        st.tuples(st.just("vacuum"), st.sampled_from([None, *SIZES]), st.sampled_from([None, 0, 1, 2])),
        st.tuples(st.just("incremental_vacuum"), st.integers(0, 10)),
        st.tuples(st.just("journal_mode"), st.sampled_from(JOURNAL_MODES)),
        st.tuples(st.just("locking_mode"), st.sampled_from(["normal", "exclusive"])),
        st.tuples(st.just("checkpoint"), st.sampled_from(["passive", "full", "restart", "truncate"])),
        st.tuples(
            st.just("pragma"),
            st.sampled_from(
                [
                    "cache_size=1",
                    "cache_size=50",
                    "cache_spill=1",
                    "journal_size_limit=0",
                    "journal_size_limit=9000",
                    "wal_autocheckpoint=1",
                    "wal_autocheckpoint=0",
                    "secure_delete=0",
                    "secure_delete=1",
                    "synchronous=off",
                    "synchronous=normal",
                    "synchronous=full",
                    "temp_store=1",
                    "temp_store=2",
                    "shrink_memory",
                ]
            ),
        ),
        st.tuples(st.just("sort")),
        st.tuples(st.just("beside"), _seed, st.booleans()),
        st.tuples(st.just("reopen")),
    ),
    min_size=5,
    max_size=25,
)


class Program:
    """Runs steps on twins."""

    def __init__(self, twins: Twins, setting: Setting) -> None:
        self.twins = twins
        self.setting = setting
        self._connect()
        twins.run(f"PRAGMA page_size={setting.page_size}")
        twins.run(f"PRAGMA auto_vacuum={setting.auto_vacuum}")
        twins.run(f"PRAGMA journal_mode={setting.journal_mode}")
        twins.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b BLOB)")
        twins.run("CREATE TABLE u (k TEXT PRIMARY KEY, v BLOB) WITHOUT ROWID")
        self._limit_cache()

    def _connect(self) -> None:
        self.twins.run(f"PRAGMA locking_mode={self.setting.locking_mode}")
        self._limit_cache()
        self.twins.run(f"PRAGMA synchronous={self.setting.synchronous}")
        # What is accepted differs (SQLite maps no file of ours), what is read may not.
        for side in self.twins.sides:
            side.run(f"PRAGMA mmap_size={self.setting.mmap_size}")

    def _limit_cache(self) -> None:
        # SQLite turns a limit into pages by the page size that it knows, which is a guess until it has read
        # one.
        self.twins.run("SELECT count(*) FROM sqlite_master")
        self.twins.run(f"PRAGMA cache_size={self.setting.cache_size}")

    def run(self, program: list[Step]) -> None:
        for name, *arguments in program:
            getattr(self, name)(*arguments)
        self.commit()
        self.twins.check()
        self.twins.finish()

    @property
    def _cannot_roll_back(self) -> bool:
        # journal_mode=OFF: SQLite leaves the database undefined after a rollback.
        return self.twins.run("PRAGMA journal_mode") == [("off",)]

    def insert(self, seed: int, rows: int, size: int) -> None:
        for row in range(rows):
            self.twins.run("INSERT INTO t (a, b) VALUES (?, ?)", seed % 5, payload(seed + row, size))

    def update(self, seed: int, modulus: int, size: int) -> None:
        self.twins.run("UPDATE t SET a = a + 1, b = ? WHERE id % ? = 0", payload(seed, size), modulus)

    def delete(self, modulus: int) -> None:
        self.twins.run("DELETE FROM t WHERE id % ? = 0", modulus)

    def keyed(self, seed: int, rows: int) -> None:
        for row in range(rows):
            self.twins.run("REPLACE INTO u VALUES (?, ?)", f"{(seed * row) % 101:08}", payload(row, 90))

    def conflict(self, seed: int) -> None:
        """A statement that fails half way: its own changes are undone by the statement journal."""
        if not self._cannot_roll_back:
            self.twins.run("UPDATE t SET b = ?, id = (id + 3) / 2 WHERE id > 0", payload(seed, 400))

    def begin(self, kind: str) -> None:
        self.twins.run(f"BEGIN {kind}")

    def commit(self) -> None:
        self.twins.run("COMMIT")

    def rollback(self) -> None:
        self.twins.run("COMMIT" if self._cannot_roll_back else "ROLLBACK")

    def savepoint(self, name: int) -> None:
        self.twins.run(f"SAVEPOINT s{name}")

    def release(self, name: int) -> None:
        self.twins.run(f"RELEASE s{name}")

    def rollback_to(self, name: int) -> None:
        self.twins.run(f"RELEASE s{name}" if self._cannot_roll_back else f"ROLLBACK TO s{name}")

    def index(self, wanted: bool) -> None:
        self.twins.run("CREATE INDEX IF NOT EXISTS i ON t (a, b)" if wanted else "DROP INDEX IF EXISTS i")

    def vacuum(self, page_size: int | None, auto_vacuum: int | None) -> None:
        if page_size is not None:
            self.twins.run(f"PRAGMA page_size={page_size}")
        if auto_vacuum is not None:
            self.twins.run(f"PRAGMA auto_vacuum={auto_vacuum}")
        self.twins.run("VACUUM")

    def incremental_vacuum(self, pages: int) -> None:
        # One page; the statement is reset before it does more.
        for _ in range(pages):
            self.twins.run("PRAGMA incremental_vacuum(1)")

    def journal_mode(self, mode: str) -> None:
        # SQLite (3.40) keeps what it has cached when it leaves WAL mode, also if another connection has
        # written since its last look: with that, either side may be behind.
        self.twins.run("SELECT count(*) FROM t")
        self.twins.run(f"PRAGMA journal_mode={mode}")

    def locking_mode(self, mode: str) -> None:
        self.twins.run(f"PRAGMA locking_mode={mode}")

    def checkpoint(self, kind: str) -> None:
        self.twins.checkpoint(kind)

    def pragma(self, text: str) -> None:
        self.twins.run(f"PRAGMA {text}")

    def sort(self) -> None:
        """Goes through the sorter and a temporary table."""
        self.twins.run("CREATE TEMP TABLE x AS SELECT b FROM t ORDER BY b DESC")
        self.twins.run("SELECT count(*), max(b) FROM (SELECT b FROM t UNION SELECT v FROM u)")
        self.twins.run("DROP TABLE temp.x")

    def beside(self, seed: int, write: bool) -> None:
        """Another connection reads or writes; where locks forbid it, they do so on both sides."""
        if write:
            self.twins.run_beside("INSERT INTO t (a, b) VALUES (?, ?)", -1, payload(seed, 800))
        self.twins.run_beside("SELECT count(*), sum(length(b)) FROM t")

    def reopen(self) -> None:
        if self._cannot_roll_back:
            self.commit()
        self.twins.reopen()
        self._connect()
