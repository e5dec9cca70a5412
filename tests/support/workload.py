"""A program that makes SQLite write every kind of file that it has: run under strace by ``support.trace``.

Arguments: a folder, ``plain`` or ``encrypted``, a journal mode, a temp_store. What it prints are marks in
the trace. Page and caches are as small as they get, so that little data makes everything spill.
"""

from __future__ import annotations

import os
import sqlite3
import sys

MARKER = "THE-MARKER-IN-THE-CLEAR"
ROWS = 400


def phase(name: str) -> None:
    os.write(1, f"phase {name}\n".encode())


def connect(path: str, encrypted: bool) -> sqlite3.Connection:
    if not encrypted:
        return sqlite3.connect(path, isolation_level=None, uri=True)
    import lumocrypt
    from lumocrypt.engine.registration import stdlib_host
    from lumocrypt.opening.connection import handle_uri

    stdlib_host()
    uri = handle_uri(path, lumocrypt.Key.raw(bytes(range(32))), {"block_size": 512})
    return sqlite3.connect(uri, isolation_level=None, uri=True)


def prepare(connection: sqlite3.Connection, journal_mode: str, temp_store: str) -> None:
    for pragma in ("page_size=512", f"temp_store={temp_store}", f"journal_mode={journal_mode}"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    connection.execute("PRAGMA wal_autocheckpoint=50")
    connection.execute("PRAGMA cache_size=10")
    connection.execute("PRAGMA temp.cache_size=10")


def fill(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER UNIQUE, v TEXT)")
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO t (u, v) VALUES (?, ?)",
        ((i, f"{(i * 7919) % ROWS:05} {MARKER} " * 8) for i in range(ROWS)),
    )
    connection.execute("COMMIT")


def savepoints(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN")
    connection.execute("SAVEPOINT one")
    connection.execute("UPDATE t SET v = v || ' one'")
    connection.execute("SAVEPOINT two")
    connection.execute("DELETE FROM t WHERE id % 3 = 0")
    connection.execute("ROLLBACK TO two")
    connection.execute("RELEASE one")
    connection.execute("COMMIT")
    connection.execute("BEGIN")
    connection.execute("UPDATE t SET v = v || ' never'")
    connection.execute("ROLLBACK")


def statement(connection: sqlite3.Connection) -> None:
    """A statement that can fail half-way, in a transaction: it needs a journal of its own."""
    connection.execute("BEGIN")
    connection.execute("UPDATE t SET u = u + 100000")
    try:
        connection.execute("UPDATE t SET u = max(u - 100000, 0) WHERE id < 390 OR id = 395")
        connection.execute("UPDATE t SET u = 5, v = v || ' fails'")
    except sqlite3.IntegrityError:
        pass
    else:
        raise AssertionError("the statement did not fail")
    connection.execute("COMMIT")


def several_files(connection: sqlite3.Connection, path: str) -> None:
    """A transaction over two databases, with a super-journal."""
    connection.execute("ATTACH ? AS other", (path + ".other",))
    connection.execute("BEGIN")
    connection.execute("CREATE TABLE other.t AS SELECT * FROM main.t LIMIT 50")
    connection.execute("UPDATE main.t SET v = v || ' both' WHERE id < 50")
    connection.execute("COMMIT")
    connection.execute("DETACH other")


def main() -> None:
    folder, flavour, journal_mode, temp_store = sys.argv[1:]
    encrypted = flavour == "encrypted"
    path = os.path.join(folder, "app.db")
    connection = connect(path, encrypted)
    prepare(connection, journal_mode, temp_store)
    phase("fill")
    fill(connection)
    phase("sort")
    connection.execute("SELECT v || v || v FROM t ORDER BY 1 DESC").fetchall()
    connection.execute("CREATE INDEX by_v ON t (v)")
    if journal_mode != "OFF":
        # Without a journal a rollback destroys the database: SQLite says so.
        phase("savepoints")
        savepoints(connection)
        phase("statement")
        statement(connection)
    phase("temporary")
    connection.execute("CREATE TEMP TABLE mine AS SELECT * FROM t")
    connection.execute("BEGIN")
    connection.execute("UPDATE mine SET v = v || ' more'")
    connection.execute("COMMIT" if journal_mode == "OFF" else "ROLLBACK")
    phase("several")
    several_files(connection, path)
    phase("vacuum")
    connection.execute("VACUUM")
    connection.execute("VACUUM INTO ?", (path + ".copy",))
    phase("end")
    # As a crash: what lies beside the database stays there.
    os._exit(0)


if __name__ == "__main__":
    main()
