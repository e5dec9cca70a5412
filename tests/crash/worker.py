"""A process with the recorder in it: jobs as JSON lines on standard input, outcomes on standard output."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from .campaign import run
from .catalogue import scenarios
from .flavour import Encrypted, Plain
from .jobs import LIES, Job
from .recorder import Recorder


def scratch() -> Path:
    """A new folder, in memory where there is such a place: nothing here has to last."""
    memory = Path("/dev/shm")
    parent = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="lumocrypt-crash-", dir=parent)).resolve()


def main() -> None:
    """Runs jobs until standard input ends."""
    known = {scenario.name: scenario for scenario in scenarios()}
    flavours = {flavour.name: flavour for flavour in (Plain(), Encrypted())}
    recorder, folder = Recorder(), scratch()
    try:
        for line in sys.stdin:
            job = Job(**json.loads(line))
            outcome = run(
                known[job.scenario],
                flavours[job.flavour],
                folder / "files",
                recorder,
                states=job.states,
                seed=job.seed,
                lies=LIES[job.lie],
                stop_after=job.stop_after,
            )
            print(json.dumps(dataclasses.asdict(outcome)), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
