"""A campaign: ``PYTHONPATH=tests python -m crash --states 100000 --seed 1``, or ``make crash``."""

from __future__ import annotations

import argparse
import collections
import itertools
import os
import sys
import time

from campaigns.selection import add_only, chosen

from .campaign import Outcome
from .catalogue import scenarios
from .failing import is_tried
from .flavour import Gosqlite, Plain
from .jobs import LIES, Job, run_jobs

#: States of one scenario with one seed: as many as a recording has to offer before they repeat themselves.
ROUND = 100
#: The fewest states of a scenario, as a part of its share: short recordings have fewer to offer.
SHARE = 0.1


class Table:
    """What a campaign came to, by group of scenarios."""

    def __init__(self, groups: dict[str, str]) -> None:
        self._groups = groups
        self.states = dict.fromkeys(groups, 0)
        self._recordings, self._recoveries, self._failures = (collections.Counter[str]() for _ in range(3))

    def add(self, outcome: Outcome) -> None:
        group = self._groups[outcome.scenario]
        self.states[outcome.scenario] += outcome.states
        self._recordings[group] += 1
        self._recoveries[group] += outcome.recoveries
        self._failures[group] += len(outcome.failures)

    @property
    def total(self) -> int:
        return sum(self.states.values())

    @property
    def failures(self) -> int:
        return self._failures.total()

    def lines(self) -> list[str]:
        """For people."""
        head = ("group", "scenarios", "recordings", "states", "of recoveries", "failures")
        rows = [head, *(self._row(group) for group in sorted(set(self._groups.values())))]
        rows.append(
            (
                "all",
                str(len(self.states)),
                str(self._recordings.total()),
                str(self.total),
                str(self._recoveries.total()),
                str(self.failures),
            )
        )
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        return [
            "  ".join(
                cell.rjust(width) if column else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]

    def _row(self, group: str) -> tuple[str, ...]:
        names = [name for name, its_group in self._groups.items() if its_group == group]
        states = sum(self.states[name] for name in names)
        counts = (self._recordings[group], states, self._recoveries[group], self._failures[group])
        return (group, str(len(names)), *map(str, counts))


def main() -> int:
    """0 if there were states enough, of every scenario, and nothing was found."""
    arguments = _parser().parse_args()
    named = chosen((scenario.name for scenario in scenarios()), arguments.only)
    groups = {
        scenario.name: scenario.group
        for scenario in scenarios()
        if scenario.name in named
        and not _skipped(scenario.group, arguments.flavour)
        and (not arguments.failing or is_tried(scenario, arguments.flavour))
    }
    if not groups:
        sys.exit(f"no scenario is named like {arguments.only!r}")
    begun = time.monotonic()
    table = Table(groups)

    def add(outcome: Outcome) -> None:
        table.add(outcome)
        for failure in outcome.failures:
            print(failure, flush=True)

    for seed in itertools.count(arguments.seed):
        if table.total >= arguments.states or table.failures >= arguments.failures:
            break
        jobs = [
            Job(
                name,
                ROUND,
                seed,
                flavour=arguments.flavour,
                lie=arguments.lie,
                failing=arguments.failing,
                failure=arguments.failure,
                every=arguments.every,
                stop_after=arguments.stop_after,
            )
            for name in groups
        ]
        run_jobs(jobs, processes=arguments.processes, progress=add)
        print(f"seed {seed}: {table.total} states so far", file=sys.stderr)
    seconds = time.monotonic() - begun
    print(*table.lines(), sep="\n")
    print(f"crash campaign ({arguments.flavour}) from seed {arguments.seed}: {seconds:.0f} s")
    fewest = int(arguments.states / len(groups) * SHARE)
    scarce = [name for name, states in table.states.items() if states < fewest]
    if scarce:
        print(f"fewer than {fewest} states of {', '.join(scarce)}")
    return 1 if table.failures or scarce else 0


def _skipped(group: str, flavour: str) -> bool:
    """Is there nothing of a group for databases that are not of lumocrypt's own format?"""
    if flavour in Gosqlite.CIPHERS:
        return group in Gosqlite.WITHOUT
    return flavour == Plain.name and group in Plain.WITHOUT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m crash", description=__doc__)
    parser.add_argument("--states", type=int, default=100_000, help="crash states to judge, at least")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    add_only(parser)
    parser.add_argument("--flavour", choices=["encrypted", "plain", *Gosqlite.CIPHERS], default="encrypted")
    parser.add_argument("--lie", choices=list(LIES), default="", help="syncs that do nothing")
    parser.add_argument(
        "--failing", choices=["sync", "write"], default="", help="one fails in each recording"
    )
    parser.add_argument("--failure", default="", help="only failures whose description contains this")
    parser.add_argument(
        "--every", action="store_true", help="failures that SQLite alone does not survive, too"
    )
    parser.add_argument("--stop-after", type=int, default=5, help="failures of one recording that are enough")
    parser.add_argument("--failures", type=int, default=50, help="stop after so many")
    parser.add_argument("-j", "--processes", type=int, default=os.cpu_count() or 1)
    return parser


if __name__ == "__main__":
    sys.exit(main())
