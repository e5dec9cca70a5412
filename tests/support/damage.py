"""Databases with pages of every kind, and damage to chosen pages of an encrypted copy."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path

import lumocrypt

HEADER = 65536


def build(path: Path, *, page_size: int = 1024, auto_vacuum: int = 0, encoding: str = "UTF-8") -> Path:
    """A plaintext database with tables and indexes of several levels, overflow chains and free pages."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA page_size={page_size}")
    connection.execute(f"PRAGMA auto_vacuum={auto_vacuum}")
    connection.execute(f"PRAGMA encoding='{encoding}'")
    # Without it deleted rows stay on free pages, which must not come back.
    connection.execute("PRAGMA secure_delete=OFF")
    connection.executescript(
        """
        PRAGMA user_version = 77;
        PRAGMA application_id = 1234567;
        BEGIN;
        CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, height REAL, photo BLOB);
        CREATE TABLE words (word TEXT COLLATE NOCASE, language TEXT, rank, PRIMARY KEY (language, word))
            WITHOUT ROWID;
        CREATE TABLE log (line TEXT, level NUMERIC DEFAULT 'none');
        CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, x, twice AS (x * 2),
            thrice INTEGER AS (x * 3) STORED, y);
        CREATE TABLE doomed (id INTEGER PRIMARY KEY, secret TEXT);
        CREATE TABLE big (id INTEGER PRIMARY KEY, body TEXT);
        CREATE INDEX people_height ON people (height DESC) WHERE height > 1.5;
        CREATE INDEX log_line ON log (lower(line));
        CREATE VIEW tall AS SELECT name FROM people WHERE height > 1.8;
        CREATE TRIGGER grown AFTER UPDATE OF height ON people
            BEGIN INSERT INTO log VALUES (new.name || ' has grown', 1); END;
        """
    )
    connection.executemany(
        "INSERT INTO people VALUES (?, ?, ?, ?)",
        ((i * 3, f"person {i} Größe", float(i % 3), bytes([i % 256]) * (i % 90)) for i in range(1500)),
    )
    connection.executemany(
        "INSERT INTO words VALUES (?, ?, ?)", ((f"word{i}", f"l{i % 4}", i * 1.5) for i in range(1500))
    )
    connection.executemany(
        "INSERT INTO log (rowid, line) VALUES (?, ?)", ((i * 7, f"line {i}") for i in range(600))
    )
    connection.execute("ALTER TABLE log ADD COLUMN added TEXT DEFAULT 'later'")
    connection.executemany("INSERT INTO log VALUES (?, ?, ?)", ((f"new {i}", i, None) for i in range(50)))
    connection.executemany("INSERT INTO counted (x, y) VALUES (?, ?)", ((i, f"y{i}") for i in range(200)))
    connection.execute("DELETE FROM counted WHERE id > 150")
    connection.executemany("INSERT INTO doomed VALUES (?, ?)", ((i, f"deleted {i} " * 9) for i in range(400)))
    connection.executemany(
        "INSERT INTO big VALUES (?, ?)", ((i, f"{i} " * (700 + 300 * i)) for i in range(20))
    )
    # Bytes that are no text in any encoding, as text.
    connection.execute("INSERT INTO log VALUES (CAST(x'd8ff' AS TEXT), 7, CAST(x'00dc80' AS TEXT))")
    connection.execute("DELETE FROM doomed WHERE id % 20 < 18")
    connection.execute("COMMIT")
    connection.execute("ANALYZE")
    connection.close()
    return path


def page_kinds(path: Path) -> dict[int, tuple[str, str]]:
    """Owner and kind (leaf, interior, overflow) of the pages of all b-trees, as SQLite has them."""
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute("SELECT pageno, name, pagetype FROM dbstat").fetchall()
    finally:
        connection.close()
    return {number: (name, "interior" if kind == "internal" else kind) for number, name, kind in rows}


def freelist(path: Path) -> list[int]:
    """The trunk pages of the freelist."""
    image = path.read_bytes()
    size = int.from_bytes(image[16:18], "big")
    found = []
    number = int.from_bytes(image[32:36], "big")
    while number:
        found.append(number)
        number = int.from_bytes(image[(number - 1) * size :][:4], "big")
    return found


def damage(path: Path, page: int, *, page_size: int) -> None:
    """Changes a byte in the middle of every block that holds a part of an SQLite page."""
    facts = lumocrypt.info(path)
    first = (page - 1) * page_size // facts.block_size
    last = (page * page_size - 1) // facts.block_size
    with path.open("r+b") as file:
        for block in range(first, last + 1):
            at = HEADER + block * (facts.block_size + facts.overhead) + facts.block_size // 2
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 0x5A]))


def content(connection: sqlite3.Connection, *, without: tuple[str, ...] = ()) -> dict[str, Counter[str]]:
    """The rows of every table, with their rowids where they have some, and all definitions."""
    found: dict[str, Counter[str]] = {}
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    connection.text_factory = bytes
    for name in sorted(set(tables) - set(without)):
        try:
            rows = connection.execute(f'SELECT _rowid_, * FROM "{name}"').fetchall()
        except sqlite3.OperationalError:
            rows = connection.execute(f'SELECT * FROM "{name}"').fetchall()
        found[name] = Counter(map(repr, rows))
    connection.text_factory = str
    found["(schema)"] = Counter(
        repr(row)
        for row in connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master")
        if row[1] not in without
    )
    return found
