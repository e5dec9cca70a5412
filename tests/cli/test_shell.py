"""``lumocrypt shell`` without a terminal: scripts, modes, files, exit codes."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

import lumocrypt
from lumocrypt.shell.history import may_hold_key
from lumocrypt.shell.screen import harmless
from lumocrypt.shell.statements import Splitter
from lumocrypt.shell.values import literal, shown
from support.bytes_on_disk import flip
from support.known_keys import RAW
from support.plaintext import make_plain

HEX = f"x'{RAW.hex()}'"
OTHER_HEX = f"x'{'5a' * 32}'"
KEY = lumocrypt.Key.raw(RAW)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(HEX)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A small encrypted database."""
    path = tmp_path / "app.db"
    connection = lumocrypt.connect(path, key=KEY)
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)")
    connection.executemany("INSERT INTO t (name) VALUES (?)", [("one",), (None,), ("three",)])
    connection.commit()
    connection.close()
    return path


def run(
    *arguments: object, script: str | bytes = "", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Runs the shell without a terminal, with the raw key unless ``env`` says otherwise."""
    return subprocess.run(
        [sys.executable, "-m", "lumocrypt", "shell", *map(str, arguments)],
        input=script.encode() if isinstance(script, str) else script,
        capture_output=True,
        env={**os.environ, "LUMO_KEY": HEX, **(env or {})},
        start_new_session=True,
        timeout=60,
        check=False,
    )


def answer(*arguments: object, script: str | bytes = "") -> str:
    """What a shell that must succeed, silently, prints."""
    done = run(*arguments, script=script)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
    return done.stdout.decode()


def errors(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    return done.stderr.decode().splitlines()


# Statements


def test_a_script(path: Path) -> None:
    script = """
    -- a comment; with a semicolon
    SELECT id, name
      FROM t
      WHERE name = 'one'; SELECT 'a;b', 2;
    # another comment
    CREATE TRIGGER g AFTER INSERT ON t BEGIN
      UPDATE t SET name = 'changed' WHERE id = 1;
      SELECT 1;
    END;
    INSERT INTO t VALUES (9, 'nine');
    SELECT name FROM t WHERE id = 1;
    SELECT count(*) FROM t"""
    script = "\n".join(line.removeprefix("    ") for line in script.splitlines())
    assert answer(path, script=script) == "1|one\na;b|2\nchanged\n4\n"


def test_arguments(path: Path) -> None:
    assert answer(path, "SELECT 1; SELECT 2", ".tables", "SELECT 3") == "1\n2\nt\n3\n"
    done = run(path, "SELECT 1", "SELECT * FROM nowhere", "SELECT 2")
    assert (done.returncode, done.stdout) == (1, b"1\n")
    assert errors(done) == ["Error: no such table: nowhere"]


def test_a_transaction_that_is_not_committed_is_rolled_back(path: Path) -> None:
    answer(path, script="BEGIN; DELETE FROM t; SELECT count(*) FROM t;")
    assert answer(path, "SELECT count(*) FROM t") == "3\n"
    answer(path, script="BEGIN; DELETE FROM t; COMMIT;")
    assert answer(path, "SELECT count(*) FROM t") == "0\n"


@pytest.mark.parametrize(
    ("lines", "statements"),
    [
        (["SELECT 1;"], ["SELECT 1;"]),
        (["SELECT 1; SELECT 2;"], ["SELECT 1;", "SELECT 2;"]),
        (["SELECT ';", "';"], ["SELECT ';\n';"]),
        (["SELECT 'it''s; x';"], ["SELECT 'it''s; x';"]),
        (['SELECT ";" FROM [a;b], `c;d`;'], ['SELECT ";" FROM [a;b], `c;d`;']),
        (["-- only; a comment", "/* and; ", "another; */"], []),
        (["SELECT 1 -- x;", ";"], ["SELECT 1 -- x;\n;"]),
        (["SELECT /* ; */ 1;;;"], ["SELECT /* ; */ 1;"]),
        (["SELECT 1/2; SELECT 3-1;"], ["SELECT 1/2;", "SELECT 3-1;"]),
        (["CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1;", "SELECT 2; END;"],
         ["CREATE TRIGGER a AFTER INSERT ON t BEGIN SELECT 1;\nSELECT 2; END;"]),
        (["", "", "SELECT", "1", "", ";", "SELECT 2"], ["SELECT\n1\n\n;", "SELECT 2"]),
    ],
)  # fmt: skip
def test_statements_are_told_apart(lines: list[str], statements: list[str]) -> None:
    splitter = Splitter()
    found = [one for line in lines for one in splitter.feed(line)]
    found += splitter.finish()
    assert [one.text for one in found] == statements
    assert not splitter.pending


def test_statements_know_their_lines() -> None:
    splitter = Splitter()
    found = [
        one for line in ["", "SELECT", "1; SELECT 2;", "-- x", " SELECT 3;"] for one in splitter.feed(line)
    ]
    assert [one.line for one in found] == [2, 3, 5]


def test_a_long_statement_takes_no_time() -> None:
    """Each character is looked at once, however many lines and semicolons there are."""
    splitter = Splitter()
    text = ["INSERT INTO t VALUES ('", *["a;b;c;d;e;f;g;" * 20] * 5_000, "');"]
    start = time.monotonic()
    found = [one for line in text for one in splitter.feed(line)]
    assert len(found) == 1
    found = splitter.feed("SELECT 1;" * 20_000)
    assert len(found) == 20_000
    assert time.monotonic() - start < 20


# Errors and exit codes


def test_errors_go_on_unless_bail_is_on(path: Path) -> None:
    script = "SELECT 1;\nSELECT * FROM nowhere;\n.nonsense\nSELECT 2;\n"
    done = run(path, script=script)
    assert (done.returncode, done.stdout) == (1, b"1\n2\n")
    assert errors(done) == [
        "Error: near line 2: no such table: nowhere",
        'Error: near line 3: unknown command .nonsense; ".help" lists all',
    ]
    for arguments, text in (([path], ".bail on\n" + script), ([path, "--bail"], script)):
        done = run(*arguments, script=text)
        assert (done.returncode, done.stdout) == (1, b"1\n")
        assert len(errors(done)) == 1


def test_quit_and_exit(path: Path) -> None:
    for command, code in ((".quit", 0), (".exit", 0), (".exit 7", 7), (".q", 0)):
        done = run(path, script=f"SELECT 1;\n{command}\nSELECT 2;\n")
        assert (done.returncode, done.stdout) == (code, b"1\n"), command
    assert run(path, script="SELECT x;\n.quit\n").returncode == 1
    assert run(path, script="SELECT x;\n.exit 0\n").returncode == 0
    assert run(path, script=".exit many\n").returncode == 1


@pytest.mark.parametrize("key", [None, OTHER_HEX, "x'00'"])
def test_exit_code_of_a_wrong_or_missing_key(path: Path, key: str | None) -> None:
    before = path.read_bytes()
    done = run(path, "SELECT 1", env={"LUMO_KEY": key or ""})
    assert (done.returncode, done.stdout) == (3, b"")
    (line,) = errors(done)
    assert line.startswith("lumocrypt: ")
    # What to do next.
    assert "key" in line
    if key is None:
        assert "--key-file" in line
    assert path.read_bytes() == before


def test_a_locked_database(path: Path) -> None:
    done = run(path, "--no-key", script="SELECT * FROM t;\n.tables\n", env={"LUMO_KEY": ""})
    assert done.returncode == 3
    assert all(line.startswith("Error: near line") and "key" in line for line in errors(done))
    script = f'PRAGMA lumo_key = "{HEX}";\nSELECT count(*) FROM t;\n'
    done = run(path, "--no-key", script=script, env={"LUMO_KEY": ""})
    assert (done.returncode, done.stdout) == (0, b"ok\n3\n")
    done = run(path, "--no-key", script=f'PRAGMA lumo_key = "{OTHER_HEX}";\n', env={"LUMO_KEY": ""})
    assert done.returncode == 3
    assert OTHER_HEX not in done.stderr.decode()
    assert run(path, "--no-key", "--key-stdin", "SELECT 1").returncode == 2


def test_exit_code_of_damage(path: Path) -> None:
    flip(path, 65536 + 4136 + 100)
    done = run(path, script="SELECT * FROM nowhere;\nSELECT * FROM t;\nSELECT * FROM nowhere;\n")
    assert done.returncode == 4
    assert any("app.db" in line for line in errors(done))
    for offset in (100, 16384 + 100):
        flip(path, offset)
    done = run(path, "SELECT 1")
    assert done.returncode == 4
    assert len(errors(done)) == 1


def test_a_plaintext_database_is_refused(tmp_path: Path) -> None:
    plain = make_plain(tmp_path / "plain.db", rows=1)
    before = plain.read_bytes()
    done = run(plain, "DELETE FROM t")
    assert done.returncode == 1
    assert "encrypt" in errors(done)[0]
    assert plain.read_bytes() == before


def test_the_key_is_not_in_the_environment(path: Path, key_file: Path) -> None:
    code = f"""
import os, sys
from lumocrypt.cli import main
assert main(["shell", {str(path)!r}, "SELECT 1"]) == 0
assert "LUMO_KEY" not in os.environ
"""
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "LUMO_KEY": HEX}, check=True)
    done = run(path, "--key-file", key_file, "SELECT 5", env={"LUMO_KEY": OTHER_HEX})
    assert (done.returncode, done.stdout) == (0, b"5\n")


def test_standard_input_is_the_key_or_the_script(path: Path) -> None:
    done = run(path, "--key-stdin", "SELECT 5", script=HEX, env={"LUMO_KEY": ""})
    assert (done.returncode, done.stdout) == (0, b"5\n")
    done = run(path, "--key-stdin", script=HEX + "\nSELECT 5;", env={"LUMO_KEY": ""})
    assert (done.returncode, done.stdout) == (2, b"")
    assert "--key-file" in errors(done)[0]


def test_keys_are_no_arguments(path: Path) -> None:
    done = run(path, "--no-key", script=".lumo-key hunter2\n")
    assert done.returncode == 1
    assert "takes no argument" in errors(done)[0]
    assert "hunter2" not in done.stderr.decode()
    done = run(path, "--no-key", script=".lumo-key\n")
    assert done.returncode == 3
    assert "no terminal" in errors(done)[0]
    assert run(path, script=".lumo-key\n").returncode == 1


# Files


def test_a_new_database_is_encrypted(tmp_path: Path, key_file: Path) -> None:
    path = tmp_path / "new.db"
    script = "CREATE TABLE t (a);\nINSERT INTO t VALUES ('the quick brown marker');\n"
    done = run(path, "--key-file", key_file, "--cipher", "aes-256-gcm", script=script)
    assert done.returncode == 0, done.stderr
    assert b"marker" not in path.read_bytes()
    assert lumocrypt.info(path).cipher == "aes-256-gcm"
    assert lumocrypt.verify(path, key=KEY).ok
    assert answer(path, "SELECT * FROM t") == "the quick brown marker\n"
    unborn = tmp_path / "unborn.db"
    done = run(unborn, script=script, env={"LUMO_KEY": ""})
    assert done.returncode == 3
    assert not unborn.exists()
    done = run(tmp_path / "no" / "such.db", "SELECT 1")
    assert done.returncode == 1
    assert "No such file" in errors(done)[0]


def test_readonly(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    done = run(path, "--readonly", script="SELECT count(*) FROM t;\nDELETE FROM t;\n")
    assert (done.returncode, done.stdout) == (1, b"3\n")
    assert "readonly" in errors(done)[0]
    assert path.read_bytes() == before
    assert run(tmp_path / "none.db", "--readonly", "SELECT 1").returncode == 1


def test_a_database_in_memory_and_one_without_a_key(tmp_path: Path) -> None:
    done = run(":memory:", "SELECT 5", env={"LUMO_KEY": ""})
    assert (done.returncode, done.stdout) == (0, b"5\n")
    plain = make_plain(tmp_path / "a.db", rows=5)
    lumocrypt.encrypt(plain, cipher="checksum", key=None)
    done = run(plain, "SELECT count(*) FROM t", env={"LUMO_KEY": ""})
    assert (done.returncode, done.stdout) == (0, b"5\n")


def test_open(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    connection = lumocrypt.connect(other, key=KEY)
    connection.execute("CREATE TABLE elsewhere (a)")
    connection.close()
    script = (
        f'.open {other}\n.tables\nPRAGMA lumo_key = "{HEX}";\n.tables\n.open {tmp_path}/no/x.db\n.tables\n'
    )
    done = run(path, script=script)
    assert done.stdout == b"ok\nelsewhere\nelsewhere\n"
    assert done.returncode == 3
    assert len(errors(done)) == 3


def test_read(path: Path, tmp_path: Path) -> None:
    (tmp_path / "outer.sql").write_text(f".read '{tmp_path}/inner file.sql'\nSELECT 'outer';\nSELECT x;\n")
    (tmp_path / "inner file.sql").write_text("\ufeff.headers on\nSELECT 'inner' AS a;\nSELECT y;\n")
    done = run(path, script=f".read {tmp_path}/outer.sql\nSELECT 'end' AS c;\n")
    assert done.returncode == 1
    assert done.stdout.decode().splitlines() == ["a", "inner", "'outer'", "outer", "c", "end"]
    assert errors(done) == [
        f"Error: {tmp_path}/inner file.sql:3: no such column: y",
        f"Error: {tmp_path}/outer.sql:3: no such column: x",
    ]
    done = run(path, script=f".bail on\n.read {tmp_path}/outer.sql\nSELECT 'end';\n")
    assert (done.returncode, done.stdout) == (1, b"a\ninner\n")
    (tmp_path / "itself.sql").write_text(f".read {tmp_path}/itself.sql\n")
    done = run(path, ".read " + str(tmp_path / "itself.sql"))
    assert done.returncode == 1
    assert "nested" in errors(done)[0]
    done = run(path, f".read {tmp_path}/none.sql")
    assert (done.returncode, errors(done)) == (1, [f"Error: {tmp_path}/none.sql: No such file or directory"])
    (tmp_path / "quits.sql").write_text(".exit 9\n")
    assert run(path, script=f".read {tmp_path}/quits.sql\nSELECT 1;\n").returncode == 9


def test_output_and_once(path: Path, tmp_path: Path) -> None:
    script = f".once {tmp_path}/once\nSELECT 1;\nSELECT 2;\n.output {tmp_path}/all\nSELECT 3;\n.tables\n"
    script += ".output\nSELECT 4;\n"
    assert answer(path, script=script) == "2\n4\n"
    assert (tmp_path / "once").read_text() == "1\n"
    assert (tmp_path / "all").read_text() == "3\nt\n"
    assert stat.S_IMODE((tmp_path / "once").stat().st_mode) == 0o600
    assert answer(path, script=f".output {tmp_path}/rest\nSELECT 5;\n") == ""
    assert (tmp_path / "rest").read_text() == "5\n"
    assert run(path, script=".output /nowhere/x\n").returncode == 1


def test_backup(path: Path, tmp_path: Path) -> None:
    """The copy has the keys of the original, and is never in clear."""
    copy = tmp_path / "a copy's ?#%.db"
    assert answer(path, script=f'.backup "{copy}"\n') == ""
    assert lumocrypt.verify(copy, key=KEY).ok
    assert lumocrypt.info(copy).key_id == lumocrypt.info(path).key_id
    assert lumocrypt.info(copy).uuid != lumocrypt.info(path).uuid
    assert answer(copy, "SELECT count(*) FROM t") == "3\n"
    before = copy.read_bytes()
    done = run(path, script=f'.backup main "{copy}"\n')
    assert done.returncode == 1
    assert "File exists" in errors(done)[0]
    assert copy.read_bytes() == before
    done = run(":memory:", script=f"CREATE TABLE t (a);\n.backup {tmp_path}/m.db\n", env={"LUMO_KEY": ""})
    assert done.returncode == 3
    assert not (tmp_path / "m.db").exists() or (tmp_path / "m.db").stat().st_size == 0
    plain = make_plain(tmp_path / "checked.db", rows=5)
    lumocrypt.encrypt(plain, cipher="checksum", key=None)
    done = run(plain, f".backup {tmp_path}/c.db")
    assert done.returncode == 1, "LUMO_KEY is set, and the file takes no key"
    assert "--no-key" in errors(done)[0]
    done = run(plain, f".backup {tmp_path}/c.db", "--no-key")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert lumocrypt.info(tmp_path / "c.db").cipher == "checksum"


# Dump and import

AWKWARD = """
CREATE TABLE kinds (id INTEGER PRIMARY KEY, v);
CREATE TABLE "a "" b" ("select" TEXT, [x y] BLOB, `z` REAL);
CREATE TABLE generated (a, b AS (a * 2), c INTEGER AS (a + 1) STORED, d);
CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, x);
CREATE TABLE keyed (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
CREATE TABLE parent (id INTEGER PRIMARY KEY);
CREATE TABLE aaa_child (p REFERENCES parent (id));
INSERT INTO kinds (v) VALUES (NULL), (1), (-9223372036854775808), (0.1), (1e300), (9e999), (-9e999), (-0.0),
  (1.0), (0.30000000000000004), (5e-324), (1.7976931348623157e308), ('it''s'), (''), (X''), (X'00FF27'),
  ('line' || char(10) || 'break' || char(13, 10) || char(9)), ('a' || char(0) || 'b'), (char(0)),
  (char(27) || '[31m'), (CAST(X'FF41' AS TEXT)), ('Größe 日本'), (char(128512));
INSERT INTO "a "" b" VALUES ('x;y', X'01', 2.5);
INSERT INTO generated (a, d) VALUES (7, 'd');
INSERT INTO counted (x) VALUES (1), (2), (3);
DELETE FROM counted WHERE id = 3;
INSERT INTO keyed VALUES ('k', 'v');
INSERT INTO parent VALUES (1);
INSERT INTO aaa_child VALUES (1);
CREATE INDEX by_v ON kinds (v);
CREATE VIEW seen AS SELECT v FROM kinds;
CREATE TRIGGER fired AFTER INSERT ON keyed BEGIN INSERT INTO counted (x) VALUES (9); END;
CREATE VIRTUAL TABLE words USING fts5(body);
INSERT INTO words VALUES ('the quick brown fox');
ANALYZE;
"""


def everything(connection: sqlite3.Connection) -> dict[str, list[str]]:
    connection.text_factory = bytes
    names = [
        row[0].decode() for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    ]
    found = {
        name: sorted(
            repr(row) for row in connection.execute(f'SELECT * FROM "{name.replace(chr(34), chr(34) * 2)}"')
        )
        for name in names
    }
    found["sqlite_schema"] = sorted(
        repr(row) for row in connection.execute("SELECT type, name, tbl_name FROM sqlite_schema")
    )
    return found


def test_dump_and_restore(tmp_path: Path) -> None:
    """Everything that a column can hold comes back bit for bit: through this shell, and through sqlite3's."""
    original, restored = tmp_path / "original.db", tmp_path / "restored.db"
    answer(original, script=AWKWARD)
    dumped = run(original, ".dump").stdout
    assert dumped.startswith(b"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n")
    assert dumped.endswith(b"COMMIT;\n")
    assert answer(restored, script=dumped) == ""
    connections = [lumocrypt.connect(one, key=KEY) for one in (original, restored)]
    wanted, found = map(everything, connections)
    for connection in connections:
        connection.close()
    assert found == wanted
    assert run(restored, ".dump").stdout == dumped
    assert answer(restored, "SELECT count(*) FROM words WHERE words MATCH 'quick'") == "1\n"
    plain = sqlite3.connect(":memory:")
    plain.executescript(dumped.decode())
    assert plain.execute("SELECT count(*) FROM kinds").fetchone() == (23,)
    plain.close()


def test_dump_of_some_tables(path: Path) -> None:
    answer(path, script="CREATE TABLE other (a); CREATE INDEX i ON t (name); CREATE INDEX j ON other (a);")
    text = answer(path, ".dump t")
    assert "CREATE INDEX i" in text
    assert "other" not in text
    assert text.count("INSERT INTO") == 3


def test_dump_of_a_damaged_database(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    script = "CREATE TABLE t (a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) "
    answer(path, script=script + "INSERT INTO t SELECT i FROM n;")
    flip(path, 65536 + 5 * 4136)
    done = run(path, ".dump")
    assert done.returncode == 4
    assert done.stdout.endswith(b"ROLLBACK; -- due to errors\n")


def test_import(tmp_path: Path, path: Path) -> None:
    rows = [["name", 'a "b"'], ["one, two", "x\ny"], ["'q'", ""], ["Größe", "007"]]
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    file = tmp_path / "rows.csv"
    file.write_text("\ufeff" + text.getvalue())
    script = f".import --csv {file} fresh\n.mode json\nSELECT * FROM fresh;\n"
    assert json.loads(answer(path, script=script)) == [
        dict(zip(rows[0], row, strict=True)) for row in rows[1:]
    ]
    # A table that exists has its own columns; the heading is skipped.
    answer(path, script=f".import --skip 1 {file} fresh\n")
    assert answer(path, "SELECT count(*) FROM fresh") == "6\n"
    file.write_text("8,eight\n9\n10,ten,more\n")
    done = run(path, f".import {file} t")
    assert done.returncode == 0
    assert [line.partition(": ")[2].partition(":")[0] for line in errors(done)] == [f"{file}"] * 2
    assert answer(path, ".nullvalue NULL", "SELECT * FROM t WHERE id > 7") == "8|eight\n9|NULL\n10|ten\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [(b"11,x\n1,taken\n", 2), (b'11,x\n"12', 2), (b"11,x\n12,\xff\n", 1), (b"11,x\nwords,x\n", 2)],
)
def test_an_import_that_fails_imports_nothing(tmp_path: Path, path: Path, text: bytes, line: int) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(text)
    done = run(path, f".import {file} t")
    assert done.returncode == 1
    assert f"{file}:" in errors(done)[0]
    assert "nothing was imported" in errors(done)[0]
    assert answer(path, "SELECT count(*) FROM t") == "3\n"


# Output


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("list", "1|it's|X'00ff'\n2||-0.5\n"),
        ("tabs", "1\tit's\tX'00ff'\n2\t\t-0.5\n"),
        ("csv", "1,it's,X'00ff'\r\n2,,-0.5\r\n"),
        ("json", '[{"id":1,"name":"it\'s","v":"X\'00ff\'"},\n{"id":2,"name":null,"v":-0.5}]\n'),
        ("line", "  id = 1\nname = it's\n   v = X'00ff'\n\n  id = 2\nname = \n   v = -0.5\n"),
        ("insert", "INSERT INTO \"table\" VALUES(1,'it''s',X'00ff');\n"
                   "INSERT INTO \"table\" VALUES(2,NULL,-0.5);\n"),
        ("quote", "1,'it''s',X'00ff'\n2,NULL,-0.5\n"),
        ("column", "id  name  v\n--  ----  -------\n1   it's  X'00ff'\n2         -0.5\n"),
        ("markdown", "| id | name | v       |\n|----|------|---------|\n"
                     "| 1  | it's | X'00ff' |\n| 2  |      | -0.5    |\n"),
        ("table", "+----+------+---------+\n| id | name | v       |\n+----+------+---------+\n"
                  "| 1  | it's | X'00ff' |\n| 2  |      | -0.5    |\n+----+------+---------+\n"),
    ],
)  # fmt: skip
def test_modes(mode: str, wanted: str) -> None:
    query = "SELECT 1 AS id, 'it''s' AS name, X'00FF' AS v UNION ALL SELECT 2, NULL, -0.5"
    assert answer(":memory:", script=f".mode {mode}\n{query};\n") == wanted
    # Without rows there is nothing to show.
    assert answer(":memory:", script=f".mode {mode}\nSELECT 1 AS id WHERE 0;\n") == ""
    if mode not in ("column", "markdown", "table"):
        assert answer(":memory:", "--mode", mode, query) == wanted


def test_headers_nulls_and_separators() -> None:
    script = ".headers on\n.nullvalue (none)\n.separator ,\nSELECT NULL AS a, 2 AS b;\n"
    script += ".mode csv\nSELECT '' AS a, NULL b;\n"
    assert answer(":memory:", script=script) == 'a,b\n(none),2\na,b\r\n"",(none)\r\n'
    text = answer(":memory:", script='.mode insert a-b\n.headers on\nSELECT 1 AS "select", 2 AS x;\n.show\n')
    assert text.startswith('INSERT INTO "a-b"("select",x) VALUES(1,2);\n')
    assert "mode: insert a-b" in text
    for bad in (".mode fancy", ".mode csv t", ".headers maybe", ".nullvalue", ".mode 'x", ".once", ".i x"):
        done = run(":memory:", script=bad + "\n")
        assert done.returncode == 1, bad
        assert len(errors(done)) == 1


def test_wide_and_broken_lines_keep_the_table_straight() -> None:
    text = answer(
        ":memory:", script=".mode table\nSELECT '日本' AS a, 'x' || char(10) || 'yy' AS b, 'é' AS c;\n"
    )
    assert text.splitlines()[3:5] == ["| 日本 | x  | é |", "|      | yy |   |"]


def test_terminal_escapes_do_not_leave_a_table() -> None:
    value = "char(27) || ']0;owned' || char(7) || char(155) || '31m' || char(8238) || char(13)"
    query = f'SELECT {value} AS "a\x1b[2J"'
    for mode in ("table", "column", "markdown"):
        text = answer(":memory:", script=f".mode {mode}\n{query};\n")
        assert not any(character in text for character in "\x1b\x07\x9b\u202e\r"), mode
        assert "^[]0;owned^G<U+009B>31m<U+202E>^M" in text
    # For programs nothing is changed.
    assert answer(":memory:", query) == "\x1b]0;owned\x07\x9b31m\u202e\r\n"
    assert "\x9b" not in answer(":memory:", "--mode", "json", query)
    done = run(":memory:", 'SELECT * FROM "\x1b[2J"')
    assert b"\x1b" not in done.stderr


def test_what_is_harmless_stays() -> None:
    assert harmless("Größe\t日本\n" + chr(0x1F600)) == "Größe\t日本\n" + chr(0x1F600)
    assert harmless("\x00\x1b\x7f\x85\udcff") == "^@^[^?<U+0085>\ufffd"


@pytest.mark.parametrize(
    "value", [0.1, 1e22, -1.5e-10, 1.0, 0.1 + 0.2, math.pi, 123456789012345680.0, 5e-324]
)
def test_numbers_are_as_in_sqlite(value: float) -> None:
    connection = sqlite3.connect(":memory:")
    as_text, again = connection.execute(f"SELECT CAST(? AS TEXT), {literal(value)}", (value,)).fetchone()
    assert shown(value) == as_text
    assert again == value
    connection.close()


def test_catalog(path: Path) -> None:
    script = "CREATE VIEW v AS SELECT 1; CREATE INDEX i ON t (name); CREATE TEMP TABLE x (a);\n"
    assert answer(path, script=script + ".tables\n") == "t\ntemp.x\nv\n"
    assert answer(path, ".tables T", ".indexes") == "t\ni\n"
    assert answer(path, ".indexes nothing%") == ""
    text = answer(path, ".schema t")
    assert text == "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT);\nCREATE INDEX i ON t (name);\n"
    assert answer(path, ".schema v") == "CREATE VIEW v AS SELECT 1;\n"
    text = answer(path, ".databases")
    assert text == f"main: {path} {lumocrypt.info(path).cipher}\n"


def test_help_lists_every_command() -> None:
    text = answer(":memory:", ".help")
    for name in (
        "lumo-key", "tables", "schema", "mode", "dump", "read", "backup", "import", "help", "quit",
    ):  # fmt: skip
        assert f"\n.{name} " in "\n" + text
    assert answer(":memory:", ".help mode").startswith(".mode ")


def test_the_timer() -> None:
    assert "Run Time: real 0." in answer(":memory:", ".timer on", "SELECT 1")


def test_bytes_that_are_no_text(path: Path) -> None:
    assert run(path, "SELECT CAST(X'FF' AS TEXT)").stdout == b"\xff\n"
    done = run(path, script=b"SELECT '\xff';\nSELECT 1;\n")
    assert (done.returncode, done.stdout) == (1, b"1\n")
    assert errors(done) == ["Error: near line 1: the statement is not UTF-8 text"]


def test_a_reader_that_has_enough(path: Path) -> None:
    """As `| head`: no message, no traceback."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lumocrypt", "shell", str(path),
         "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "LUMO_KEY": HEX},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"1\n"
    process.stdout.close()
    assert process.wait(30) == 1
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_a_script(path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "lumocrypt", "shell", str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "LUMO_KEY": HEX},
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(
        b"BEGIN; DELETE FROM t; SELECT 'ready';\n.once /dev/stderr\nSELECT 'now';\n"
        b"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n;\n"
    )
    process.stdin.flush()
    assert process.stderr.readline() == b"now\n"
    time.sleep(0.3)
    process.send_signal(number)
    output, error = process.communicate(timeout=30)
    assert (process.returncode, output, error) == (1, b"ready\n", b"lumocrypt: interrupted\n")
    assert answer(path, "SELECT count(*) FROM t") == "3\n"


# The history's net


@pytest.mark.parametrize(
    "text",
    [
        "PRAGMA lumo_key = 'secret'",
        "pragma main.LUMO_REKEY('secret')",
        "PRAGMA lumo_change_key = 'secret'",
        ".lumo-change-key secret",
        ".lumochangekey secret",
        "PRAGMA lumo_key =\n'secret'",
        ".lumo-key secret",
        ".lumo_key secret",
        ".lumokey secret",
        "ATTACH 'file:x.db?lumo_key=secret' AS x",
        "ATTACH DATABASE 'x.db' AS x KEY 'secret'",
        "PRAGMA key = 'secret'",
        "PRAGMA hexrekey = 'secret'",
        f"SELECT {HEX}",
        f"PRAGMA cipher = \"X'{RAW.hex()}'\"",
        f"SELECT x'{RAW.hex()}00'",
        "ATTACH 'file:x?lumo%5fkey=secret' AS a",
        "ATTACH 'file:x?l%75mo_k%65y=secret' AS a",
        "ATTACH 'file:x?lumo%255fkey=secret' AS a",
        "ATTACH 'file:x?lumo_' || 'key=secret' AS a",
        ".open file:x?lumo%5Fkey=secret",
    ],
)
def test_what_may_hold_a_key(text: str) -> None:
    assert may_hold_key(text)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM t",
        "PRAGMA foreign_keys = ON",
        "PRAGMA foreign_key_list(t)",
        "CREATE TABLE a (id INTEGER PRIMARY KEY)",
        "SELECT v FROM kv WHERE key = 'a'",
        "ATTACH 'x.db' AS keys",
        "SELECT x'00ff'",
        "PRAGMA lumo_status",
        ".tables",
    ],
)
def test_what_holds_none(text: str) -> None:
    assert not may_hold_key(text)
