"""A process that holds keys, for others to look into its memory.

    python key_holder.py DATABASE CIPHER KIND LENGTH MARKER

It reads a key of LENGTH bytes (KIND: raw or passphrase) from standard input into a buffer that it wipes, so
that Python holds no copy, uses the database, and then does what the lines on standard input say.
"""

from __future__ import annotations

import gc
import os
import resource
import sys

import lumocrypt
from lumocrypt import Key
from lumocrypt.engine import native
from support.known_keys import FAST


def take_key(kind: str, length: int) -> Key:
    material = bytearray(length)
    # Not through sys.stdin, whose buffer would keep what it has read.
    assert os.readv(0, [material]) == length
    try:
        if kind == "raw":
            return Key.raw(material)
        # Not Key.passphrase(), which takes a str: nobody can wipe that.
        status, number = native.key_passphrase(material)  # type: ignore[arg-type]
        assert status == 0
        return Key.own(number, "passphrase")
    finally:
        material[:] = bytes(length)


def main(path: str, cipher: str, kind: str, length: int, marker: str) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))
    # Something that a core dump must hold, so that finding nothing in it means something.
    control = f"{marker} in ordinary memory".encode()
    key = take_key(kind, length)
    connection = lumocrypt.connect(path, key=key, cipher=cipher, kdf=FAST)
    connection.execute("PRAGMA journal_mode=wal")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB)")
    for _ in range(20):
        connection.executemany("INSERT INTO t (data) VALUES (?)", ((os.urandom(200),) for _ in range(100)))
        connection.commit()
    connection.execute("SELECT count(*) FROM (SELECT data FROM t ORDER BY data)").fetchall()
    print("ready", flush=True)
    for line in sys.stdin:
        match line.strip():
            case "free":
                del key
                gc.collect()
            case "close":
                connection.close()
                del connection
            case "verify":
                # By several threads, which the size makes worth their start.
                connection.execute("INSERT INTO t (data) VALUES (zeroblob(20000000))")
                connection.commit()
                os.environ["LUMO_THREADS"] = "4"
                assert lumocrypt.verify(path, key=key).ok
            case "lock":
                lumocrypt.lock(path)
            case "abort":
                os.abort()
        print("done", flush=True)
    assert control


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
