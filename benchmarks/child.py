"""One fresh process: ``python -m benchmarks.child subject workload file`` prints how many seconds it took.

The workload ``template`` makes the database that others start with.
"""

from __future__ import annotations

import sys
import time

from .subjects import SUBJECTS
from .workloads import WORKLOADS, template


def main() -> None:
    """Runs what the arguments name."""
    subject, workload, path = sys.argv[1:]
    connection = SUBJECTS[subject].connect(path)
    if workload == "template":
        template(connection)
        connection.close()
        return
    run = WORKLOADS[workload](connection)
    begun = time.perf_counter()
    run()
    print(time.perf_counter() - begun)
    connection.close()


if __name__ == "__main__":
    main()
