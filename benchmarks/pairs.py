"""Pairs of processes, alternating, and what they say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median

from .subjects import SUBJECTS
from .workloads import FROM_NOTHING

ROOT = Path(__file__).parents[1]
#: Resamplings of the ratios, for the interval.
RESAMPLES = 2000


@dataclass(slots=True)
class Measured:
    """A workload of a subject, in ratios to the same without encryption."""

    subject: str
    workload: str
    #: Seconds of the base and of the subject, pair by pair.
    pairs: list[tuple[float, float]] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        return [subject / base for base, subject in self.pairs]

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios."""
        return median(self.ratios)

    @property
    def interval(self) -> tuple[float, float]:
        """Where 95 % of the medians of resampled ratios lie."""
        random, ratios = Random(1), self.ratios
        medians = sorted(median(random.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
        return medians[RESAMPLES // 40], medians[-RESAMPLES // 40]


class Runner:
    """Runs children in one folder, with the Python of each environment."""

    def __init__(self, folder: Path, pythons: Mapping[str, str]) -> None:
        self._folder, self._pythons = folder, pythons

    def measure(self, subject: str, workload: str, pairs: int) -> Measured:
        """``pairs`` pairs of fresh processes; who comes first alternates."""
        measured = Measured(subject, workload)
        base = SUBJECTS[subject].base
        for number in range(pairs):
            first, second = (base, subject) if number % 2 == 0 else (subject, base)
            one, two = self._seconds(first, workload), self._seconds(second, workload)
            measured.pairs.append((one, two) if number % 2 == 0 else (two, one))
        return measured

    def _seconds(self, subject: str, workload: str) -> float:
        path = self._folder / "work.db"
        self._remove(path)
        if workload not in FROM_NOTHING:
            shutil.copyfile(self._template(subject), path)
        seconds = float(self._child(subject, workload, path))
        self._remove(path)
        return seconds

    def _template(self, subject: str) -> Path:
        path = self._folder / f"{subject}.template.db"
        if not path.exists():
            self._child(subject, "template", path)
        return path

    def _remove(self, path: Path) -> None:
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)

    def _child(self, subject: str, workload: str, path: Path) -> str:
        python = self._pythons.get(SUBJECTS[subject].environment, sys.executable)
        command = [python, "-m", "benchmarks.child", subject, workload, str(path)]
        environment = {name: value for name, value in os.environ.items() if name != "LUMO_KEY"}
        return subprocess.run(
            command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout


def campaign(runner: Runner, subjects: Sequence[str], workloads: Sequence[str], pairs: int) -> list[Measured]:
    """Every workload of every subject."""
    found = []
    for workload in workloads:
        for subject in subjects:
            measured = runner.measure(subject, workload, pairs)
            low, high = measured.interval
            print(
                f"{workload:24} {subject:20} {measured.ratio:.3f} ({low:.3f}-{high:.3f})",
                file=sys.stderr,
                flush=True,
            )
            found.append(measured)
    return found
