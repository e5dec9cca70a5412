"""A process with the recorder in it: jobs as JSON lines on standard input, outcomes on standard output."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from support.folders import fast_folder

from .campaign import Outcome, run
from .catalogue import Scenario, scenarios
from .failing import run_failing
from .flavour import Encrypted, Flavour, Gosqlite, Plain
from .jobs import LIES, Job
from .log import Kind
from .recorder import Recorder


def main() -> None:
    """Runs jobs until standard input ends."""
    known = {scenario.name: scenario for scenario in scenarios()}
    recorder = Recorder()
    with fast_folder() as place:
        # The recorder knows files by the names that the kernel has for them.
        folder = place.resolve() / "files"
        for line in sys.stdin:
            job = Job(**json.loads(line))
            scenario = known[job.scenario]
            flavour = _flavour(job.flavour, scenario)
            outcome = _outcome(job, scenario, flavour, folder, recorder)
            if isinstance(flavour, Gosqlite):
                flavour.close()
            print(json.dumps(dataclasses.asdict(outcome)), flush=True)


def _outcome(job: Job, scenario: Scenario, flavour: Flavour, folder: Path, recorder: Recorder) -> Outcome:
    if job.failing:
        return run_failing(
            scenario,
            flavour,
            folder,
            recorder,
            states=job.states,
            seed=job.seed,
            kind=Kind.SYNC if job.failing == "sync" else Kind.WRITE,
            stop_after=job.stop_after,
            only=job.failure,
            every=job.every,
        )
    return run(
        scenario,
        flavour,
        folder,
        recorder,
        states=job.states,
        seed=job.seed,
        lies=LIES[job.lie],
        kills=job.kills,
        stop_after=job.stop_after,
    )


def _flavour(name: str, scenario: Scenario) -> Flavour:
    if name in Gosqlite.CIPHERS:
        return Gosqlite(name, scenario.setup.geometry.page)
    return Plain() if name == Plain.name else Encrypted(keys=scenario.setup.keys)


if __name__ == "__main__":
    main()
