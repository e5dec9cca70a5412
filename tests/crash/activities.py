"""Workloads, each for any journal mode that it does not choose itself."""

from __future__ import annotations

import itertools
import sqlite3

from support.known_keys import RAW

from .header import edit_superblock
from .keys import add_key, change_key, remove_key
from .recovery import change_data_key, convert_in_place
from .session import OTHER, Session, Statement

_TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB, n INTEGER)"
_INDEX = "CREATE INDEX by_n ON t (n)"


def _blob(session: Session, longest: int = 1500) -> bytes:
    return session.random.randbytes(session.random.randrange(20, longest))


def _insert(session: Session, schema: str = "main", longest: int = 1500) -> Statement:
    return (
        f"INSERT INTO {schema}.t (v, n) VALUES (?, ?)",
        (_blob(session, longest), session.random.randrange(50)),
    )


def _base(session: Session, connection: sqlite3.Connection, rows: int = 25, schema: str = "main") -> None:
    session.transaction(
        connection,
        (_TABLE.replace("TABLE t", f"TABLE {schema}.t"), ()),
        (_INDEX.replace("by_n", f"{schema}.by_n"), ()),
        *[_insert(session, schema) for _ in range(rows)],
    )


def _change(session: Session, connection: sqlite3.Connection) -> None:
    """A small transaction of a random sort."""
    pick = session.random.randrange(4)
    row = session.random.randrange(1, 30)
    if pick == 0:
        session.transaction(connection, _insert(session), _insert(session))
    elif pick == 1:
        session.transaction(connection, ("UPDATE t SET v = ? WHERE id = ?", (_blob(session), row)))
    elif pick == 2:
        session.transaction(connection, ("DELETE FROM t WHERE id = ?", (row,)), _insert(session))
    else:
        session.transaction(connection, ("UPDATE t SET n = n + 1 WHERE n < ?", (row,)))


def commits(session: Session) -> None:
    """Small transactions."""
    connection = session.connect()
    _base(session, connection)
    for _ in range(6):
        _change(session, connection)


def spills(session: Session) -> None:
    """Transactions larger than the cache, some of them rolled back."""
    connection = session.connect()
    _base(session, connection, 60)
    for round_ in range(3):
        with session.step(connection) as execute:
            execute("BEGIN")
            execute("UPDATE t SET v = CAST(? || v AS BLOB) WHERE id % 3 = ?", _blob(session, 300), round_)
            for _ in range(10):
                execute(*_flat(_insert(session)))
            execute("ROLLBACK" if round_ == 1 else "COMMIT")
    _change(session, connection)


def rewrites(session: Session) -> None:
    """Transactions that keep changing pages that they have spilled.

    In a WAL SQLite then writes these frames again, in their places, and at the commit all headers behind
    them.
    """
    connection = session.connect()
    _base(session, connection, 60)
    for round_ in range(3):
        with session.step(connection) as execute:
            execute("BEGIN")
            for _ in range(4):
                execute(
                    "UPDATE t SET v = CAST(? || substr(v, 9) AS BLOB), n = n + 1", session.random.randbytes(8)
                )
            execute("ROLLBACK" if round_ == 1 else "COMMIT")
        _change(session, connection)


def _flat(statement: Statement) -> tuple[object, ...]:
    return (statement[0], *statement[1])


def savepoints(session: Session) -> None:
    """Nested savepoints, rolled back and released."""
    connection = session.connect()
    _base(session, connection, 40)
    for round_ in range(3):
        with session.step(connection) as execute:
            execute("BEGIN")
            execute(*_flat(_insert(session)))
            execute("SAVEPOINT one")
            execute("UPDATE t SET v = ? WHERE id < 20", _blob(session))
            execute("SAVEPOINT two")
            execute("DELETE FROM t WHERE id % 2 = ?", round_ % 2)
            execute("ROLLBACK TO two")
            execute("UPDATE t SET n = n + 1")
            execute("RELEASE one" if round_ else "ROLLBACK TO one")
            execute(*_flat(_insert(session)))
            execute("COMMIT")


def rollbacks(session: Session) -> None:
    """Transactions that are rolled back between others that are not."""
    connection = session.connect()
    _base(session, connection, 40)
    for _ in range(3):
        with session.step(connection) as execute:
            execute("BEGIN")
            execute("UPDATE t SET v = ?", _blob(session))
            execute("DELETE FROM t WHERE id < 10")
            execute("ROLLBACK")
        _change(session, connection)


def floods(session: Session) -> None:
    """Transactions and checkpoints of several batches, which a second thread writes, some rolled back."""
    connection = session.connect()
    _base(session, connection, 5)
    for round_ in range(3):
        with session.step(connection) as execute:
            execute("BEGIN")
            for _ in range(25):
                execute(*_flat(_insert(session, longest=40_000)))
            execute("UPDATE t SET n = n + 1")
            execute("ROLLBACK" if round_ == 1 else "COMMIT")
        session.maintain(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
        _change(session, connection)


def vacuum(session: Session) -> None:
    """VACUUM after most rows went."""
    connection = session.connect()
    _base(session, connection, 40)
    session.transaction(connection, ("DELETE FROM t WHERE id % 4", ()))
    session.maintain(connection, "VACUUM")
    _change(session, connection)
    session.transaction(connection, ("DELETE FROM t WHERE id % 3", ()))
    session.maintain(connection, "VACUUM")


def sizes(session: Session) -> None:
    """Growth by overflow pages, freed pages, and their reuse or truncation."""
    connection = session.connect()
    _base(session, connection, 10)
    for round_ in range(3):
        session.transaction(connection, *[_insert(session, longest=20_000) for _ in range(3)])
        session.transaction(connection, ("DELETE FROM t WHERE length(v) > 2000", ()))
        if round_ == 1:
            session.transaction(connection, ("CREATE TABLE gone AS SELECT * FROM t", ()))
            session.transaction(connection, ("DROP TABLE gone", ()))
        session.maintain(connection, "PRAGMA incremental_vacuum(3)")
    session.transaction(connection, _insert(session, longest=9000))


def holes(session: Session) -> None:
    """Pages that are freed in the transaction that made them: SQLite leaves them out where it can."""
    connection = session.connect()
    _base(session, connection, 10)
    session.transaction(connection, ("CREATE TABLE gone (v BLOB)", ()))
    for round_ in range(3):
        with session.step(connection) as execute:
            execute("BEGIN")
            for _ in range(4):
                execute("INSERT INTO gone VALUES (?)", _blob(session, 9000))
            execute("INSERT INTO t (v, n) VALUES (?, 1)", _blob(session, 15000 * (round_ + 1)))
            execute("DELETE FROM gone")
            execute("COMMIT")
        session.maintain(connection, "PRAGMA wal_checkpoint(PASSIVE)")
        _change(session, connection)
    session.maintain(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
    _change(session, connection)


def checkpoints(session: Session) -> None:
    """Every kind of checkpoint, some of them held up by a reader."""
    connection = session.connect()
    _base(session, connection)
    reader = session.connect()
    for mode in ("PASSIVE", "FULL", "RESTART", "TRUNCATE", "PASSIVE"):
        _change(session, connection)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM t").fetchall()
        _change(session, connection)
        session.maintain(connection, "PRAGMA wal_checkpoint(PASSIVE)")
        reader.execute("COMMIT")
        _change(session, connection)
        session.maintain(connection, f"PRAGMA wal_checkpoint({mode})")
        _change(session, connection)
    session.close(reader)


def each_checkpoint(session: Session) -> None:
    """Every kind of checkpoint, none of them held up; the last one by the last connection to leave."""
    connection = session.connect()
    _base(session, connection)
    for mode in ("PASSIVE", "FULL", "RESTART", "TRUNCATE", "PASSIVE"):
        _change(session, connection)
        session.maintain(connection, f"PRAGMA wal_checkpoint({mode})")
        _change(session, connection)
    session.close(connection)
    connection = session.connect()
    _change(session, connection)


def generations(session: Session) -> None:
    """The log starts again and again."""
    connection = session.connect()
    _base(session, connection)
    connection.execute("PRAGMA wal_autocheckpoint=4").fetchall()
    for _ in range(10):
        _change(session, connection)


def closing(session: Session) -> None:
    """Every transaction by a connection of its own: the last one to leave deletes the log."""
    connection = session.connect()
    _base(session, connection)
    for _ in range(3):
        session.close(connection)
        connection = session.connect()
        _change(session, connection)


def two_writers(session: Session) -> None:
    """Two connections take turns."""
    first, second = session.connect(), session.connect()
    _base(session, first)
    for round_ in range(8):
        _change(session, second if round_ % 2 else first)
        if round_ % 3 == 2:
            session.maintain(first, "PRAGMA wal_checkpoint(RESTART)")


def by_turns(session: Session) -> None:
    """Two connections take turns, and one makes the file longer: what the other remembers is out of date."""
    first, second = session.connect(), session.connect()
    _base(session, first)
    for round_ in range(4):
        session.transaction(second, *[_insert(session, longest=6000) for _ in range(4)])
        session.maintain(second, "PRAGMA wal_checkpoint(RESTART)")
        session.transaction(second, _insert(session))
        session.transaction(first, _insert(session), ("UPDATE t SET n = n + 1 WHERE id % 7 = ?", (round_,)))
        if round_ == 2:
            session.transaction(second, ("DELETE FROM t WHERE length(v) > 2000", ()))
            session.maintain(second, "VACUUM")


def switches(session: Session) -> None:
    """From one journal mode to another."""
    connection = session.connect(journal="delete")
    _base(session, connection, 15)
    for journal in ("wal", "delete", "persist", "wal", "truncate", "wal", "persist"):
        session.maintain(connection, f"PRAGMA journal_mode={journal}")
        _change(session, connection)


def pairs(session: Session) -> None:
    """Transactions over two databases."""
    connection = session.connect()
    with session.step(connection) as execute:
        execute("BEGIN")
        for schema in ("main", OTHER):
            execute(_TABLE.replace("TABLE t", f"TABLE {schema}.t"))
            for _ in range(8):
                execute(*_flat(_insert(session, schema)))
        execute("COMMIT")
    for _ in range(3):
        session.transaction(
            connection,
            ("UPDATE main.t SET v = ? WHERE id % 3 = 0", (_blob(session),)),
            _insert(session, OTHER),
            ("UPDATE other.t SET n = n + 1", ()),
            _insert(session),
        )
        session.transaction(connection, _insert(session, OTHER))


def creation(session: Session) -> None:
    """A new database."""
    connection = session.connect()
    _base(session, connection, 5)
    _change(session, connection)


def copies(session: Session) -> None:
    """VACUUM INTO a new file, between transactions."""
    connection = session.connect()
    _base(session, connection)
    for number in range(2):
        names = itertools.count()
        session.patiently(
            lambda number=number, names=names: connection.execute(
                "VACUUM INTO ?", (str(session.folder / f"copy{number}-{next(names)}"),)
            )
        )
        _change(session, connection)


def emptied(session: Session) -> None:
    """The log is emptied again and again."""
    connection = session.connect()
    _base(session, connection)
    for _ in range(6):
        _change(session, connection)
        session.maintain(connection, "PRAGMA wal_checkpoint(TRUNCATE)")


def conversions(session: Session) -> None:
    """Encrypted and decrypted under its name, between transactions."""
    connection = session.connect()
    _base(session, connection)
    for round_ in range(3):
        _change(session, connection)
        session.close(connection)
        to_clear = round_ % 2 == 1
        session.patiently(lambda to_clear=to_clear: convert_in_place(session.path, to_clear=to_clear))
        connection = session.connect()
        _change(session, connection)


def rekeying(session: Session) -> None:
    """The data key is changed between transactions, in many small steps, while a connection stays open."""
    connection = session.connect()
    _base(session, connection)
    for _ in range(2):
        _change(session, connection)
        blocks = session.random.choice([1, 3, 8])
        session.patiently(lambda blocks=blocks: change_data_key(session.path, blocks))
        _change(session, connection)


def header_edits(session: Session) -> None:
    """Changes of the superblock while nobody uses the database, as docs/reference/format.md has them."""
    connection = session.connect()
    _base(session, connection, 10)
    for _ in range(3):
        session.close(connection)
        edit_superblock(session.path, RAW)
        connection = session.connect()
        _change(session, connection)


def key_changes(session: Session) -> None:
    """Keys come, change and go between transactions of a connection that stays open; one always opens."""
    connection = session.connect()
    _base(session, connection, 10)
    key = 1
    for number in range(2, 4):
        with session.acknowledged():
            add_key(session, key)
            session.keys |= {key}
        _change(session, connection)
        with session.acknowledged():
            change_key(session, key, number)
            session.keys = {number}
        key = number
        _change(session, connection)
        with session.acknowledged():
            remove_key(session, key)
            session.keys = set()
        _change(session, connection)
