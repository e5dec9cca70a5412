"""Workloads times faults. ``python -m faults.sweep`` runs all of them."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from campaigns.integrity import WrongError

from .catalogue import workloads
from .faulty import FAULTS, GONE, SHORT_READ, Call, Scope, faulty
from .opener import Encrypted, Opener, Plain
from .reopening import judge
from .run import Injection, Run, prepare
from .workload import Workload


@dataclass(slots=True)
class Outcome:
    """What a workload's faults came to."""

    workload: str
    calls: int = 0
    runs: int = 0
    #: Runs in which SQLite or the application saw an error; in the others the fault was tolerated.
    errors: int = 0
    failures: list[str] = field(default_factory=list)


def injections(calls: list[Call], opener: Opener) -> Iterator[Injection]:
    """Every call in every way."""
    for at, call in enumerate(calls):
        for fault in FAULTS[call.operation]:
            if fault == SHORT_READ and not opener.encrypted:
                # SQLite alone takes the bytes that are missing for zeros.
                continue
            yield Injection(at, fault, Scope.ONCE, call)
            yield Injection(at, fault, Scope.SAME_OPERATION, call)
        yield Injection(at, GONE, Scope.EVERY, call)


def sweep(workload: Workload, opener: Opener, folder: Path, *, share: float = 1.0, seed: int = 0) -> Outcome:
    """Runs ``workload`` once without a fault and then with each; ``share`` of them, chosen by ``seed``."""
    faulty()
    outcome = Outcome(workload.label)
    original = folder / "original"
    prepare(original, opener, workload)
    calm = Run(_copy(original, folder), opener, workload)
    calm.go()
    judge(calm)
    if calm.errors:
        raise WrongError(f"{workload.label} fails without a fault: {calm.errors}")
    outcome.calls = len(calm.calls)
    random = Random(f"{seed} {workload.label}")
    for injection in injections(calm.calls, opener):
        if random.random() >= share:
            continue
        run = Run(_copy(original, folder), opener, workload, injection)
        outcome.runs += 1
        try:
            run.go()
            if not run.fired:
                raise WrongError("the call that should have failed was not made")
            judge(run)
        except WrongError as error:
            outcome.failures.append(f"{workload.label}: {injection}: {error}")
        outcome.errors += bool(run.errors)
    return outcome


def _copy(original: Path, folder: Path) -> Path:
    target = folder / "run"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(original, target)
    return target


def _job(number: int, plain: bool, share: float, seed: int) -> Outcome:
    workload = list(workloads())[number]
    opener = Plain() if plain else Encrypted()
    with tempfile.TemporaryDirectory(prefix="lumocrypt-faults-") as folder:
        try:
            return sweep(workload, opener, Path(folder), share=share, seed=seed)
        except WrongError as error:
            return Outcome(workload.label, failures=[f"{workload.label}: {error}"])


def main() -> int:
    parser = argparse.ArgumentParser(description="Fails every call of every workload in turn.")
    parser.add_argument("--share", type=float, default=1.0, help="the part of the runs that is done")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="workloads whose name contains this")
    parser.add_argument("--plain", action="store_true", help="SQLite alone, to calibrate the judge")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    chosen = [number for number, one in enumerate(workloads()) if arguments.only in one.label]
    start, total, errors, failures = time.monotonic(), 0, 0, 0
    with ProcessPoolExecutor(arguments.jobs) as pool:
        jobs = [
            pool.submit(_job, number, arguments.plain, arguments.share, arguments.seed) for number in chosen
        ]
        for job in jobs:
            outcome = job.result()
            total, errors, failures = (
                total + outcome.runs,
                errors + outcome.errors,
                failures + len(outcome.failures),
            )
            print(
                f"{outcome.workload:32} {outcome.calls:5} calls {outcome.runs:6} runs "
                f"{outcome.errors:6} with errors {len(outcome.failures):4} failures",
                flush=True,
            )
            for failure in outcome.failures[:20]:
                print("   ", failure, flush=True)
    print(f"{total} runs, {errors} with errors, {failures} failures in {time.monotonic() - start:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
