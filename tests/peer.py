"""Another process for the tests: reads a raw key in hex (or nothing), then SQL, one JSON string a line."""

from __future__ import annotations

import json
import sqlite3
import sys


def answer(**fields: object) -> None:
    print(json.dumps(fields, default=str), flush=True)


def main() -> None:
    raw_key = bytes.fromhex(sys.stdin.readline().strip())
    try:
        if raw_key:
            import lumocrypt

            connection = lumocrypt.connect(
                sys.argv[1], key=lumocrypt.Key.raw(raw_key), isolation_level=None, timeout=0.2
            )
        else:
            connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0.2)
    except sqlite3.Error as error:
        answer(error=type(error).__name__, message=str(error))
        return
    answer(rows=[])
    for line in sys.stdin:
        try:
            answer(rows=connection.execute(json.loads(line)).fetchall())
        except sqlite3.Error as error:
            answer(error=type(error).__name__, message=str(error))


main()
