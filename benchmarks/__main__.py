"""``python -m benchmarks``: a campaign; see ``--help``."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from .pairs import Runner, campaign
from .report import as_json, machine, table, void
from .subjects import SUBJECTS
from .workloads import WORKLOADS


def main() -> int:
    """0, or 1 if the control makes the campaign void."""
    arguments = _parser().parse_args()
    pythons = dict(pair.split("=", 1) for pair in arguments.python)
    folder = Path(tempfile.mkdtemp(prefix="lumocrypt-bench-", dir=arguments.folder))
    try:
        results = campaign(Runner(folder, pythons), arguments.subjects, arguments.workloads, arguments.pairs)
    finally:
        shutil.rmtree(folder)
    print(table(results))
    print("\n" + ", ".join(f"{name} {value}" for name, value in machine().items()))
    if arguments.json:
        arguments.json.write_text(as_json(results, pairs=arguments.pairs, folder=_kind_of(arguments.folder)))
    problems = void(results)
    for problem in problems:
        print(f"VOID: {problem}")
    return 1 if problems else 0


def _kind_of(folder: Path) -> str:
    """The file system that a folder is on."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    found = [(len(at), kind) for at, kind in mounts if folder.resolve().is_relative_to(at)]
    return max(found)[1] if found else "unknown"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--subjects", nargs="+", choices=list(SUBJECTS), default=["plain", "map", "pread"])
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--pairs", type=int, default=9, help="of fresh processes, per workload and subject")
    memory = Path("/dev/shm")
    default = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
    parser.add_argument("--folder", type=Path, default=default, help="where the databases are")
    parser.add_argument("--json", type=Path, help="a file for all that was measured")
    parser.add_argument(
        "--python",
        nargs="*",
        default=[],
        metavar="ENVIRONMENT=PATH",
        help="interpreters of other environments",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
