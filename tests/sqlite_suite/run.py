"""Runs files of SQLite's suite in clear and encrypted, and says what fails only when encrypted."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

RAW = "x'" + "11" * 32 + "'"
_SUMMARY = re.compile(r"^(\d+) errors? out of (\d+) tests", re.MULTILINE)
_FAILURES = re.compile(r"^!Failures on these tests: (.*)$", re.MULTILINE)
#: A reason begins a group of names in excluded.txt.
_REASON = re.compile(r"^\[(.+)\]$")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a file's run ended."""

    #: Tests that ran; 0 where the file did not come to its end.
    tests: int
    failed: frozenset[str]
    #: Why it did not end as it should.
    broken: str | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """The program and the files that it runs."""

    testfixture: Path
    folder: Path
    engine: Path
    #: Seconds for one file.
    limit: float

    def run(self, name: str, *, encrypted: bool) -> Outcome:
        """Runs the file ``name`` in a folder of its own."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("LUMO_")}
        if encrypted:
            environment |= {"LUMO_SUITE_ENGINE": str(self.engine), "LUMO_KEY": RAW}
        memory = Path("/dev/shm")
        with (
            tempfile.TemporaryDirectory(
                dir=memory if memory.is_dir() else None, ignore_cleanup_errors=True
            ) as place,
            tempfile.TemporaryFile() as output,
        ):
            command = [self.testfixture, self.folder / name]
            process = subprocess.Popen(
                command,
                cwd=place,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                code: int | None = process.wait(self.limit)
            except subprocess.TimeoutExpired:
                code = None
            with contextlib.suppress(ProcessLookupError):
                # Processes that the tests started, too.
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            output.seek(0)
            return _outcome(output.read().decode("utf-8", "replace"), code)

    def compare(self, name: str) -> tuple[Outcome, Outcome | None]:
        """The file's run when encrypted and, unless nothing failed, in clear."""
        encrypted = self.run(name, encrypted=True)
        sound = encrypted.broken is None and not encrypted.failed
        return encrypted, None if sound else self.run(name, encrypted=False)


def _outcome(text: str, code: int | None) -> Outcome:
    summary = _SUMMARY.search(text)
    failures = _FAILURES.search(text)
    failed = frozenset(failures[1].split()) if failures else frozenset[str]()
    if code is None:
        return Outcome(0, failed, "time ran out")
    if summary is None:
        last = text.strip().splitlines()[-1:] or [""]
        return Outcome(0, failed, f"ended with {code}: {last[0][:100]}")
    return Outcome(int(summary[2]), failed)


def worse(encrypted: Outcome, clear: Outcome | None) -> str | None:
    """What went wrong only when encrypted."""
    if clear is None or clear.broken is not None:
        return None
    if encrypted.broken is not None:
        return encrypted.broken
    more = encrypted.failed - clear.failed
    return " ".join(sorted(more)) if more else None


def excluded(path: Path) -> dict[str, str]:
    """The files that a list leaves out, and why."""
    reason, found = "", dict[str, str]()
    for line in path.read_text().splitlines():
        text = line.partition("#")[0].strip()
        if heading := _REASON.match(text):
            reason = heading[1]
        else:
            found |= dict.fromkeys(text.split(), reason)
    return found


def run_all(suite: Suite, names: list[str], processes: int) -> int:
    """Runs the files and prints what is worse when encrypted; how many files that are."""
    tests = bad = unknown = 0
    with ThreadPoolExecutor(processes) as pool:
        for name, (encrypted, clear) in zip(names, pool.map(suite.compare, names), strict=True):
            tests += encrypted.tests
            unknown += clear is not None and clear.broken is not None
            if problem := worse(encrypted, clear):
                bad += 1
                print(f"{name}: {problem}", flush=True)
    print(f"{len(names)} files, {tests} tests; {bad} files are worse when encrypted, {unknown} fail in clear")
    return bad
