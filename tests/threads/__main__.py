"""``python -m threads [--seconds N] [--only REGEX] [--plain] [--checked]``: scenarios, a process for each."""

from __future__ import annotations

import argparse
import faulthandler
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RAW = "x'" + "11" * 32 + "'"
#: Seconds that a process may take beyond its scenario's.
GRACE = 120


def main() -> int:
    """The campaign; 1 if a scenario failed."""
    parser = argparse.ArgumentParser(prog="threads", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="how long each scenario works")
    parser.add_argument("--only", default="", help="a regular expression that scenarios' names match")
    parser.add_argument("--plain", action="store_true", help="SQLite alone")
    parser.add_argument("--checked", action="store_true", help="an engine that checks the order of its locks")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        return _work(arguments.here, arguments.seconds, encrypted=not arguments.plain)
    from .scenarios import SCENARIOS

    failed = 0
    for name in SCENARIOS:
        if re.search(arguments.only, name):
            outcome = run(name, arguments.seconds, plain=arguments.plain, checked=arguments.checked)
            print(f"{name}: {outcome.stdout.strip() or 'failed'}", flush=True)
            if outcome.returncode:
                print(outcome.stderr, flush=True)
                failed += 1
    return int(failed > 0)


def run(
    name: str, seconds: float, *, plain: bool = False, checked: bool = False
) -> subprocess.CompletedProcess[str]:
    """Runs one scenario; its last line tells how much was done.

    ``seconds``: how long it works. Exit code 3: a thread got stuck.
    """
    environment = os.environ | {"LUMO_KEY": RAW, "PYTHONPATH": str(Path(__file__).parents[1])}
    if checked:
        from crash.faulty import faulty_package

        environment["PYTHONPATH"] += f"{os.pathsep}{faulty_package()}"
    command = [sys.executable, "-m", "threads", f"--here={name}", f"--seconds={seconds}"]
    command += ["--plain"] if plain else []
    try:
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=seconds + GRACE
        )
    except subprocess.TimeoutExpired as late:
        return subprocess.CompletedProcess(command, 3, "", f"{name} does not end: {late.stderr!r}")


def _work(name: str, seconds: float, *, encrypted: bool) -> int:
    faulthandler.enable()
    from .place import Place
    from .scenarios import SCENARIOS

    if encrypted and name != "registration":
        import lumocrypt

        lumocrypt.install()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        begun = time.monotonic()
        done = SCENARIOS[name](Place(Path(folder), encrypted=encrypted), seconds)
    print(f"{done} rounds in {time.monotonic() - begun:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
