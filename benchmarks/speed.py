"""Workloads against plaintext on the same library, in alternating pairs of fresh processes."""

from __future__ import annotations

import gc
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .control import alternating, beside_control
from .machine import in_memory
from .processes import Children
from .results import Record
from .subjects import SUBJECTS, with_controls
from .workloads import API, FROM_NOTHING, WITH_SLOW_SYNCS, WORKLOADS, template


@dataclass(frozen=True, slots=True)
class Runner:
    """Times children in one folder."""

    folder: Path
    children: Children

    def pair(self, subject: str, workload: str, base_first: bool) -> tuple[float, float]:
        """Seconds of the base and of the subject."""
        base = SUBJECTS[subject].base
        return alternating(base, subject, base_first, lambda name: self._seconds(name, workload))

    def _seconds(self, subject: str, workload: str) -> float:
        path = self.folder / "work.db"
        _remove(path)
        if workload not in FROM_NOTHING:
            shutil.copyfile(self._template(subject), path)
            # Not to be written back while others are timed.
            _sync(path)
        slow_syncs = not in_memory(self.folder)
        seconds: float = self._run(subject, workload=workload, path=str(path), slow_syncs=slow_syncs)
        _remove(path)
        return seconds

    def _template(self, subject: str) -> Path:
        path = self.folder / f"{subject}.template.db"
        if not path.exists():
            self._run(subject, workload="template", path=str(path), slow_syncs=False)
        return path

    def _run(self, subject: str, **arguments: str | bool) -> float:
        return self.children.run(SUBJECTS[subject].environment, "speed", subject=subject, **arguments)


def campaign(
    runner: Runner, subjects: Sequence[str], workloads: Sequence[str], pairs: int
) -> Iterator[list[Record]]:
    """Every workload of every subject, with the controls they need: a library and a workload at a time."""
    for workload in workloads:
        kind = "api" if workload in API else "engine"
        fitting = [subject for subject in subjects if SUBJECTS[subject].kind == kind]
        for base in dict.fromkeys(SUBJECTS[subject].base for subject in fitting):
            members = with_controls(subject for subject in fitting if SUBJECTS[subject].base == base)
            pair = partial(_pair, runner, workload)
            yield beside_control("speed", members, workload, pairs, pair, {})


def _pair(runner: Runner, workload: str, subject: str, base_first: bool) -> tuple[float, float]:
    return runner.pair(subject, workload, base_first)


def child(subject: str, workload: str, path: str, slow_syncs: bool) -> float:
    """How many seconds a workload took; the workload ``template`` makes what others start with."""
    connection = SUBJECTS[subject].connect(path)
    if workload == "template":
        template(connection)
        connection.close()
        return 0.0
    chosen = WITH_SLOW_SYNCS if slow_syncs and workload in WITH_SLOW_SYNCS else WORKLOADS
    # As timeit does.
    gc.disable()
    seconds = 0.0
    for timed in chosen[workload](connection):
        begun = time.perf_counter()
        timed()
        seconds += time.perf_counter() - begun
    connection.close()
    return seconds


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
