"""One fresh process: ``python -m benchmarks.child module arguments`` runs one job.

The job is the function ``child`` of that module, the arguments a JSON object, and what it returns is printed
as JSON. A peer's environment runs this too, so whatever it imports needs the standard library alone.
"""

from __future__ import annotations

import importlib
import json
import sys
import time


def main() -> None:
    """Runs what the arguments name."""
    module, arguments = sys.argv[1:]
    job = importlib.import_module(f"{__package__}.{module}")
    answer = job.child(**json.loads(arguments))
    print(json.dumps(answer), flush=True)


def wait_for_others() -> float:
    """For jobs that processes.Children.together runs: returns when all are ready, with the time."""
    print(json.dumps("ready"), flush=True)
    sys.stdin.readline()
    # The same clock in all processes.
    return time.monotonic()


if __name__ == "__main__":
    main()
