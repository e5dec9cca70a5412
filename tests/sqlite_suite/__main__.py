"""``python -m sqlite_suite BUILD [FILES]``: files of SQLite's suite, or all that make sense, both ways."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from lumocrypt.engine import native

from .run import Suite, excluded, run_all

_LIST = Path(__file__).with_name("excluded.txt")


def main() -> int:
    """The command line; 1 if a file is worse when encrypted."""
    parser = argparse.ArgumentParser(prog="sqlite_suite", description=__doc__)
    parser.add_argument("build", type=Path, help="the folder with testfixture and source/")
    parser.add_argument(
        "files", nargs="*", help="names such as wal.test; by default all that excluded.txt leaves"
    )
    parser.add_argument("--limit", type=float, default=300, help="seconds for one file")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    folder = (arguments.build / "source" / "test").resolve()
    out, meaningless = excluded(_LIST)
    names = arguments.files or sorted(p.name for p in folder.glob("*.test") if p.name not in out)
    suite = Suite(
        (arguments.build / "testfixture").resolve(), folder, native.shared_object(), arguments.limit
    )
    return int(run_all(suite, names, meaningless, arguments.processes) > 0)


if __name__ == "__main__":
    sys.exit(main())
