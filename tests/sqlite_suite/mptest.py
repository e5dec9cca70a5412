"""``python -m sqlite_suite.mptest BUILD``: SQLite's test of many processes on one database, encrypted."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from lumocrypt.engine import native

from .run import RAW

SCRIPTS = ("multiwrite01.test", "crash01.test")
JOURNALS = ("delete", "wal", "persist", "truncate")
#: Seconds for a script.
_LIMIT = 900
_SUMMARY = re.compile(r"^Summary: (\d+) errors? out of (\d+) tests", re.MULTILINE)


def run(build: Path, script: str, journal: str, repeat: int) -> str | None:
    """Runs a script in one journal mode, ``repeat`` times; what is wrong, or None."""
    memory = Path("/dev/shm")
    environment = os.environ | {"LUMO_SUITE_ENGINE": str(native.shared_object()), "LUMO_KEY": RAW}
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as place:
        command = [build / "mptester", "mptest.db", build / "source" / "mptest" / script]
        command += ["--journalmode", journal, "--repeat", str(repeat)]
        try:
            done = subprocess.run(
                command,
                cwd=place,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=_LIMIT,
            )
        except subprocess.TimeoutExpired:
            return "time ran out"
        head = (Path(place) / "mptest.db").read_bytes()[:9]
    if head != b"lumocrypt":
        return f"the database is not encrypted: it begins with {head!r}"
    summary = _SUMMARY.search(done.stdout)
    if done.returncode or summary is None or summary[1] != "0":
        return f"ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}"
    return None


def main() -> int:
    """The command line; 1 if a script fails."""
    parser = argparse.ArgumentParser(prog="sqlite_suite.mptest", description=__doc__)
    parser.add_argument("build", type=Path, help="the folder with mptester and source/")
    parser.add_argument("--repeat", type=int, default=1)
    arguments = parser.parse_args()
    bad = 0
    for journal in JOURNALS:
        for script in SCRIPTS:
            problem = run(arguments.build.resolve(), script, journal, arguments.repeat)
            print(f"{journal} {script}: {problem or 'fine'}", flush=True)
            bad += problem is not None
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
