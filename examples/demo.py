"""The whole of lumocrypt on a real database: the 9 MB coordinate system catalogue that pyproj ships.

Run it with ``make demo``. It fails if anything does not go as it says.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pyproj.datadir

import lumocrypt

T = TypeVar("T")
PASSPHRASE = "correct horse battery staple"
QUERY = """
    SELECT auth_name, count(*) FROM crs_view
    WHERE deprecated = 0 GROUP BY auth_name ORDER BY count(*) DESC, auth_name LIMIT 5
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="lumocrypt-demo-") as folder:
        run(Path(folder))


def run(folder: Path) -> None:
    plain = folder / "proj.db"
    encrypted = folder / "proj.encrypted.db"
    shutil.copyfile(Path(pyproj.datadir.get_data_dir()) / "proj.db", plain)
    with sqlite3.connect(plain) as connection:
        expected = connection.execute(QUERY).fetchall()
    connection.close()

    step("Encrypt a database that pyproj ships")
    done = timed(lambda: lumocrypt.encrypt(plain, encrypted, key=PASSPHRASE))
    found = lumocrypt.info(encrypted)
    say(f"{done.source_size:,} bytes became {done.destination_size:,} bytes, {found.cipher}")
    content = encrypted.read_bytes()
    check(b"SQLite format 3" not in content, "no SQLite header in the file")
    check(
        b"WGS 84" in plain.read_bytes() and b"WGS 84" not in content, "no text of the catalogue in the file"
    )

    step("Query it through the standard library's sqlite3")
    connection = timed(lambda: lumocrypt.connect(encrypted, key=PASSPHRASE))
    say(f"a {type(connection).__module__}.{type(connection).__name__}, SQLite {sqlite3.sqlite_version}")
    rows = timed(lambda: connection.execute(QUERY).fetchall())
    for name, count in rows:
        say(f"{name:<6} {count:>6,} coordinate systems")
    check(rows == expected, "the same rows as from the plaintext")
    check(
        connection.execute("PRAGMA integrity_check").fetchone() == ("ok",), "PRAGMA integrity_check says ok"
    )
    connection.execute("CREATE TABLE visits (who, place)")
    connection.execute("INSERT INTO visits VALUES ('me', 'EPSG:4326')")
    connection.commit()
    connection.close()

    step("A wrong key and a missing key")
    refused(lumocrypt.WrongKeyError, lambda: lumocrypt.connect(encrypted, key="incorrect horse"))
    refused(lumocrypt.KeyRequiredError, lambda: read_all(lumocrypt.connect(encrypted)))
    refused(sqlite3.DatabaseError, lambda: read_all(sqlite3.connect(encrypted)))

    step("One changed byte")
    result = timed(lambda: lumocrypt.verify(encrypted, key=PASSPHRASE))
    check(result.ok, f"verify: {result.blocks:,} blocks are sound")
    damaged = folder / "damaged.db"
    shutil.copyfile(encrypted, damaged)
    with damaged.open("r+b") as file:
        file.seek(1_000_003)
        byte = file.read(1)[0]
        file.seek(1_000_003)
        file.write(bytes([byte ^ 1]))
    result = lumocrypt.verify(damaged, key=PASSPHRASE)
    check(not result.ok and len(result.damaged) == 1, f"verify finds block {result.damaged[0].block}")
    refused(lumocrypt.TamperedError, lambda: read_all(lumocrypt.connect(damaged, key=PASSPHRASE)))

    step("Decrypt a fresh copy")
    again = folder / "again.db"
    lumocrypt.encrypt(plain, again, key=PASSPHRASE)
    timed(lambda: lumocrypt.decrypt(again, key=PASSPHRASE))
    check(digest(again) == digest(plain), f"the original, bit for bit: SHA-256 {digest(again)[:16]}...")


def read_all(connection: sqlite3.Connection) -> None:
    """Reads every page that the database uses."""
    try:
        connection.execute("PRAGMA integrity_check").fetchall()
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in tables:
            connection.execute(f'SELECT * FROM "{name}"').fetchall()
    finally:
        connection.close()


def step(title: str) -> None:
    print(f"\n{title}")


def say(text: str) -> None:
    print(f"    {text}")


def check(condition: bool, text: str) -> None:
    if not condition:
        sys.exit(f"FAILED: {text}")
    say(f"[ok] {text}")


def refused(error_class: type[Exception], action: Callable[[], object]) -> None:
    try:
        action()
    except error_class as error:
        message = str(error).replace(f"{Path(getattr(error, 'path', None) or '').parent}/", "")
        say(f"[ok] {type(error).__name__}: {message}")
    else:
        sys.exit(f"FAILED: expected {error_class.__name__}")


def timed(action: Callable[[], T]) -> T:
    start = time.perf_counter()
    result = action()
    say(f"({(time.perf_counter() - start) * 1000:.0f} ms)")
    return result


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
