"""The workloads."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from .workload import Kind, Start, Step, Workload

ROLLBACK_MODES = ("delete", "truncate", "persist")
MODES = (*ROLLBACK_MODES, "wal")
SYNCS = ("full", "normal")

_OPEN, _CLOSE, _READ = Step(Kind.OPEN), Step(Kind.CLOSE), Step(Kind.READ)
_SECOND_OPEN, _SECOND_READ, _SECOND_CLOSE = (
    Step(Kind.OPEN, connection=1),
    Step(Kind.READ, connection=1),
    Step(Kind.CLOSE, connection=1),
)
_random = Random("workloads")


def _commit(*statements: str, connection: int = 0) -> Step:
    return Step(Kind.COMMIT, statements, connection)


def _neutral(*statements: str, connection: int = 0) -> Step:
    return Step(Kind.NEUTRAL, statements, connection)


def blob(longest: int) -> str:
    """A literal that looks like nothing else."""
    return f"x'{_random.randbytes(_random.randrange(20, longest)).hex()}'"


def insert(longest: int = 900, schema: str = "main") -> str:
    return f"INSERT INTO {schema}.t (v, n) VALUES ({blob(longest)}, {_random.randrange(50)})"


def base(schema: str = "main", rows: int = 24) -> tuple[str, ...]:
    """What a database holds at first."""
    return (
        f"CREATE TABLE {schema}.t (id INTEGER PRIMARY KEY, v BLOB, n INTEGER)",
        f"CREATE INDEX {schema}.by_n ON t (n)",
        *(insert(schema=schema) for _ in range(rows)),
    )


#: What a killed process was in the middle of: more than its cache holds.
INTERRUPTED = (f"UPDATE t SET v = CAST({blob(300)} || v AS BLOB)", "DELETE FROM t WHERE id % 3 = 0", insert())

_COMMITS = (
    _OPEN,
    _READ,
    _commit(insert(), insert()),
    _commit(f"UPDATE t SET v = {blob(800)} WHERE id % 5 = 1", "DELETE FROM t WHERE id = 3"),
    Step(Kind.AUTO, (insert(6000),)),
    _READ,
    _CLOSE,
)
_SPILLS = (
    _OPEN,
    _commit(f"UPDATE t SET v = CAST({blob(300)} || v AS BLOB)", insert(5000), insert(5000)),
    Step(Kind.ROLLBACK, (f"UPDATE t SET v = CAST(v || {blob(400)} AS BLOB), n = n + 1", insert(9000))),
    _READ,
    _commit("DELETE FROM t WHERE id % 2", insert()),
    _CLOSE,
)
_ROLLBACKS = (
    _OPEN,
    Step(Kind.ROLLBACK, (f"UPDATE t SET v = {blob(900)}", "DELETE FROM t WHERE id < 9")),
    _commit(insert()),
    Step(Kind.ROLLBACK, ("CREATE TABLE gone AS SELECT * FROM t", "DROP INDEX by_n", insert())),
    _READ,
    _CLOSE,
)
_SAVEPOINTS = (
    _OPEN,
    _commit(
        insert(),
        "SAVEPOINT one",
        f"UPDATE t SET v = {blob(700)} WHERE id < 15",
        "SAVEPOINT two",
        "DELETE FROM t WHERE id % 2",
        "ROLLBACK TO two",
        "UPDATE t SET n = n + 1",
        "RELEASE one",
        insert(),
    ),
    _commit("SAVEPOINT one", "DELETE FROM t", "ROLLBACK TO one", insert()),
    _READ,
    _CLOSE,
)
_VACUUM = (
    _OPEN,
    _commit("DELETE FROM t WHERE id % 4"),
    _neutral("VACUUM"),
    _READ,
    _commit(insert(), insert()),
    _CLOSE,
)
_HOLES = (
    _OPEN,
    _commit("CREATE TABLE gone (v BLOB)"),
    _commit(f"INSERT INTO gone VALUES (randomblob(0) || {blob(9000)})", insert(20000), "DELETE FROM gone"),
    _commit("DELETE FROM t WHERE length(v) > 2000", "DROP TABLE gone"),
    _commit(insert(12000)),
    _READ,
    _CLOSE,
)
_CLOSINGS = (_OPEN, _commit(insert()), _CLOSE, _OPEN, _commit(insert()), _CLOSE, _OPEN, _READ, _CLOSE)
_TWO = (
    _OPEN,
    _SECOND_OPEN,
    _commit(insert()),
    _SECOND_READ,
    _commit(insert(), "DELETE FROM t WHERE id = 5", connection=1),
    _READ,
    _commit(insert()),
    _CLOSE,
    _SECOND_READ,
    _SECOND_CLOSE,
)
_CREATION = (_OPEN, _commit(*base(rows=4)), _READ, _commit(insert()), _CLOSE)
_RECOVERY = (_OPEN, _READ, _commit(insert()), _CLOSE)
_CHECKPOINTS = (
    _OPEN,
    _SECOND_OPEN,
    *(
        step
        for mode in ("PASSIVE", "FULL", "RESTART", "TRUNCATE")
        for step in (
            _commit(insert(), f"UPDATE t SET v = {blob(700)} WHERE id % 3 = 0"),
            _neutral(f"PRAGMA wal_checkpoint({mode})"),
            _SECOND_READ,
        )
    ),
    _commit(insert()),
    _CLOSE,
    _SECOND_CLOSE,
)
_RESTARTS = (_OPEN, *(_commit(insert(), insert()) for _ in range(5)), _READ, _CLOSE)
_PAIRS = (
    _OPEN,
    _commit(insert(), insert(schema="other"), "UPDATE other.t SET n = n + 1 WHERE id % 3 = 0"),
    _commit(f"UPDATE main.t SET v = {blob(500)} WHERE id < 9", insert(schema="other")),
    _READ,
    _CLOSE,
)

#: For every journal mode.
EVERYWHERE = (
    Workload("commits", _COMMITS),
    Workload("commits-pread", _COMMITS, io="pread"),
    Workload("small-pages", _COMMITS, page=1024),
    Workload("spills", _SPILLS, cache=3),
    Workload("rollbacks", _ROLLBACKS),
    Workload("savepoints", _SAVEPOINTS, cache=3),
    Workload("vacuum", _VACUUM),
    Workload("holes", _HOLES),
    Workload("closings", _CLOSINGS),
    Workload("two-connections", _TWO),
    Workload("creation", _CREATION, start=Start.NOTHING),
    Workload("recovery", _RECOVERY, start=Start.KILLED, cache=3),
    Workload("recovery-exclusive", _RECOVERY, start=Start.KILLED, cache=3, exclusive=True),
    Workload("exclusive", _SPILLS, cache=3, exclusive=True),
)
ONLY_WAL = (
    Workload("checkpoints", _CHECKPOINTS),
    Workload("restarts", _RESTARTS, autocheckpoint=3),
)
#: In WAL mode a transaction over two databases is one in each.
ONLY_ROLLBACK = (Workload("pairs", _PAIRS, with_other=True),)


def workloads() -> Iterator[Workload]:
    """All, in all modes."""
    for journal in MODES:
        more = ONLY_WAL if journal == "wal" else ONLY_ROLLBACK
        for workload in (*EVERYWHERE, *more):
            for sync in SYNCS:
                yield workload.under(journal, sync)
