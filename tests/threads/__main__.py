"""``python -m threads [--seconds N] [--only REGEX] [--plain] [--checked]``: scenarios, a process for each."""

from __future__ import annotations

import argparse
import faulthandler
import os
import subprocess
import sys
import time
from pathlib import Path

from campaigns.selection import add_only, chosen
from support.folders import fast_folder

RAW = "x'" + "11" * 32 + "'"
#: Seconds that a process may take beyond its scenario's.
GRACE = 120


def main() -> int:
    """The campaign; 1 if a scenario failed."""
    parser = argparse.ArgumentParser(prog="threads", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="how long each scenario works")
    add_only(parser)
    parser.add_argument("--plain", action="store_true", help="SQLite alone")
    parser.add_argument("--checked", action="store_true", help="an engine that checks the order of its locks")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        return _work(arguments.here, arguments.seconds, encrypted=not arguments.plain)
    from .scenarios import SCENARIOS

    failed = 0
    for name in chosen(SCENARIOS, arguments.only):
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
        from crash.broken_builds import faulty_package

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
    with fast_folder() as folder:
        begun = time.monotonic()
        done = SCENARIOS[name](Place(folder, encrypted=encrypted), seconds)
    print(f"{done} rounds in {time.monotonic() - begun:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
