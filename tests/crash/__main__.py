"""A campaign: ``python -m tests.crash --states 100000 --seed 1``."""

from __future__ import annotations

import argparse
import itertools
import os
import re
import sys
import time

from .catalogue import scenarios
from .jobs import LIES, Job, run_jobs

#: States of one scenario with one seed: as many as a recording has to offer before they repeat themselves.
ROUND = 100


def main() -> int:
    """0 if nothing was found."""
    arguments = _parser().parse_args()
    names = [scenario.name for scenario in scenarios() if re.search(arguments.only, scenario.name)]
    if not names:
        sys.exit(f"no scenario is named like {arguments.only!r}")
    begun = time.monotonic()
    states, failures, recordings = 0, 0, 0
    for seed in itertools.count(arguments.seed):
        if states >= arguments.states or failures >= arguments.failures:
            break
        jobs = [Job(name, ROUND, seed, arguments.flavour, arguments.lie) for name in names]
        for outcome in run_jobs(jobs, processes=arguments.processes):
            states += outcome.states
            recordings += 1
            failures += len(outcome.failures)
            for failure in outcome.failures:
                print(failure)
        print(f"seed {seed}: {states} states so far", file=sys.stderr)
    seconds = time.monotonic() - begun
    print(
        f"crash campaign ({arguments.flavour}): {states} states of {recordings} recordings of {len(names)} "
        f"scenarios in {seconds:.0f} s: {failures} failures"
    )
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--states", type=int, default=100_000, help="crash states to judge, at least")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--only", default="", help="a regular expression for names of scenarios")
    parser.add_argument("--flavour", choices=["encrypted", "plain"], default="encrypted")
    parser.add_argument("--lie", choices=list(LIES), default="", help="syncs that do nothing")
    parser.add_argument("--failures", type=int, default=50, help="stop after so many")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    return parser


if __name__ == "__main__":
    sys.exit(main())
