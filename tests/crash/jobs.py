"""What workers are asked to do, and the workers."""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from campaigns.shared_object import build

from .campaign import Lies, Outcome
from .recorder import LIBRARIES, SOURCE, VARIABLE

#: Broken recordings: syncs that are recorded as if they had not happened, by the name of the file.
LIES: dict[str, Lies] = {
    "": lambda _: False,
    "database": lambda name: name.endswith(".db"),
    "journal": lambda name: name.endswith("-journal"),
    "wal": lambda name: name.endswith("-wal"),
    "folder": lambda name: name == ".",
    # What encrypt and decrypt write in place of the database.
    "new": lambda name: ".lumo-" in name,
}


@dataclass(frozen=True, slots=True)
class Job:
    """Crashes of one scenario."""

    scenario: str
    states: int
    seed: int
    flavour: str = "encrypted"
    lie: str = ""
    #: Deaths of the process only, and no power cuts.
    kills: bool = False
    #: What fails in each recording: ``"sync"``, ``"write"`` or nothing.
    failing: str = ""
    #: What the description of such a failure has to contain.
    failure: str = ""
    #: Also failures that SQLite alone does not survive.
    every: bool = False
    #: Failures after which there is no need to go on.
    stop_after: int = 5


class _Worker:
    """One worker process."""

    def __init__(self, package: Path | None, fault: str) -> None:
        # Where this package is, and before it the lumocrypt to use, if not the installed one.
        paths = [str(package)] if package else []
        paths.append(str(Path(__file__).parents[1]))
        environment = {
            **os.environ,
            VARIABLE: str(build(SOURCE, *LIBRARIES)),
            "PYTHONPATH": os.pathsep.join(paths),
        }
        environment.pop("LUMO_KEY", None)
        # The second thread, however slowly batches fill here.
        environment["LUMO_THREADS"] = "2"
        if fault:
            environment["LUMO_FAULT"] = fault
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"{Path(__file__).parent.name}.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def run(self, job: Job) -> Outcome:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(dataclasses.asdict(job)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            died = f"the process died ({self._process.wait()})"
            return Outcome(job.scenario, failures=[f"{job.flavour} {job.scenario} seed {job.seed}: {died}"])
        return Outcome(**json.loads(line))

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def run_jobs(
    jobs: Sequence[Job],
    *,
    processes: int = 1,
    package: Path | None = None,
    fault: str = "",
    progress: Callable[[Outcome], object] = lambda _: None,
) -> list[Outcome]:
    """The outcomes of all jobs, in the order in which they came.

    ``package`` is the folder of another lumocrypt than the installed one, and ``fault`` what its engine is to
    do wrong (broken_builds.py).
    """
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    outcomes: list[Outcome] = []

    def serve() -> None:
        worker = _Worker(package, fault)
        try:
            for job in _taken(waiting):
                if not worker.alive:
                    worker = _Worker(package, fault)
                outcome = worker.run(job)
                outcomes.append(outcome)
                progress(outcome)
        finally:
            worker.close()

    threads = [threading.Thread(target=serve) for _ in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def _taken(waiting: queue.SimpleQueue[Job]) -> Iterator[Job]:
    while True:
        try:
            yield waiting.get_nowait()
        except queue.Empty:
            return
