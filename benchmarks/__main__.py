"""``python -m benchmarks``: measures, merges into results.json, and reports; see ``--help``."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from . import document, imports, memory, offline, opening, scaling, speed
from .environments import OWN, interpreters, versions
from .machine import commit, file_system, in_memory, machine
from .processes import Children
from .results import PATH, Record, Results
from .subjects import SUBJECTS, USUAL
from .targets import targets
from .workloads import WORKLOADS

Job = Callable[[argparse.Namespace, Path, Children], Iterator[list[Record]]]


def main() -> int:
    """0; 1 if a control makes something void, or a target is missed."""
    arguments = _parser().parse_args()
    if arguments.command == "report":
        for path in document.write(Results.load(arguments.json)):
            print(path)
        return 0
    if arguments.command == "targets":
        found = list(targets(Results.load(arguments.json)))
        print(*found, sep="\n")
        return int(not all(target.met for target in found))
    return _measure(arguments, JOBS[arguments.command], getattr(arguments, "subjects", ()))


def _measure(arguments: argparse.Namespace, job: Job, subjects: Iterable[str]) -> int:
    """Runs a job; everything that is done is in the file at once, so that an interruption loses little."""
    given = dict(pair.split("=", 1) for pair in arguments.python)
    children = Children(interpreters(given, subjects))
    results = Results.load(arguments.json)
    campaign = results.begin(
        {
            "command": arguments.command,
            "date": date.today().isoformat(),
            "commit": commit(),
            "file_system": file_system(arguments.folder),
            "pairs": arguments.pairs,
            "machine": machine(),
            "versions": versions(children),
        }
    )
    void: list[Record] = []
    with _temporary(arguments.folder) as folder:
        for records in job(arguments, folder, children):
            results.merge(campaign, records)
            results.save(arguments.json)
            void += [record for record in records if record.void]
            if arguments.command not in ("speed", "scaling"):
                for record in records:
                    print(
                        f"{record.subject:24} {record.name:24} {record.value:>10} {record.unit}", flush=True
                    )
    # One for each control, not for all that it makes void.
    for name, base in dict.fromkeys((record.name, SUBJECTS[record.subject].base) for record in void):
        print(f"VOID: {name}, everything compared with {base}: the machine was busy; measure it again")
    return int(bool(void))


@contextmanager
def _temporary(parent: Path) -> Generator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="lumocrypt-bench-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _speed(arguments: argparse.Namespace, folder: Path, children: Children) -> Iterator[list[Record]]:
    runner = speed.Runner(folder, children)
    return speed.campaign(runner, arguments.subjects, arguments.workloads, arguments.pairs)


def _opening(arguments: argparse.Namespace, folder: Path, children: Children) -> Iterator[list[Record]]:
    return opening.measure(folder, children, arguments.subjects, arguments.pairs)


def _imports(arguments: argparse.Namespace, _folder: Path, _children: Children) -> Iterator[list[Record]]:
    return imports.measure(arguments.pairs)


def _scaling(arguments: argparse.Namespace, folder: Path, children: Children) -> Iterator[list[Record]]:
    return scaling.measure(
        folder, children, arguments.subjects, arguments.axes, arguments.sizes, arguments.pairs
    )


def _memory(arguments: argparse.Namespace, folder: Path, children: Children) -> Iterator[list[Record]]:
    return memory.measure(folder, children, arguments.subjects, arguments.pairs)


def _offline(arguments: argparse.Namespace, folder: Path, children: Children) -> Iterator[list[Record]]:
    if not in_memory(folder):
        print(f"{folder} is on a disk: the final sync is part of these figures", file=sys.stderr)
    return offline.measure(folder, children, arguments.megabytes, arguments.pairs)


JOBS: dict[str, Job] = {
    "speed": _speed,
    "opening": _opening,
    "scaling": _scaling,
    "memory": _memory,
    "offline": _offline,
    "imports": _imports,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    usual = {
        "speed": USUAL,
        "opening": opening.USUAL,
        "scaling": ("map", "pread"),
        "memory": ("map", "pread"),
    }
    modules = {
        "speed": speed,
        "opening": opening,
        "scaling": scaling,
        "memory": memory,
        "offline": offline,
        "imports": imports,
    }
    for name, job_module in modules.items():
        command = commands.add_parser(name, help=_first_line(job_module.__doc__))
        _common(command)
        if name in usual:
            known = [subject.name for subject in SUBJECTS.values() if _fits(name, subject.kind)]
            command.add_argument("--subjects", nargs="+", choices=known, default=list(usual[name]))
    _sub(commands, "speed").add_argument(
        "--workloads", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS)
    )
    _sub(commands, "scaling").add_argument(
        "--sizes", nargs="+", type=int, default=list(scaling.SIZES_MB), help="in MB"
    )
    axes = ("size", *scaling.COUNTS)
    _sub(commands, "scaling").add_argument("--axes", nargs="+", choices=axes, default=list(axes))
    _sub(commands, "offline").add_argument("--megabytes", type=int, default=1000, help="of the database")
    commands.add_parser("report", help="README.md, docs/speed.md and the charts, from results.json")
    commands.add_parser("targets", help="what was promised, and whether results.json shows it")
    for command in commands.choices.values():
        command.add_argument("--json", type=Path, default=PATH, help="the file that results are merged into")
    return parser


def _common(command: argparse.ArgumentParser) -> None:
    shared = Path("/dev/shm")
    default = shared if os.access(shared, os.W_OK) else Path(tempfile.gettempdir())
    command.add_argument("--pairs", type=int, default=9, help="of fresh processes, or rounds (default: 9)")
    command.add_argument(
        "--folder", type=Path, default=default, help=f"where the databases are (default: {default})"
    )
    command.add_argument(
        "--python",
        nargs="*",
        default=[],
        metavar="ENVIRONMENT=PATH",
        help=f"interpreters, of {OWN} and of peers, in place of those of make bench-setup",
    )


def _sub(commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> argparse.ArgumentParser:  # pyright: ignore[reportPrivateUsage]
    return commands.choices[name]


def _fits(command: str, kind: str) -> bool:
    return (
        kind == "opening" if command == "opening" else kind == "engine" or (command, kind) == ("speed", "api")
    )


def _first_line(text: str | None) -> str:
    return (text or "").partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
