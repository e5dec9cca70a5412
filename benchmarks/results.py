"""``results.json``: what was measured, campaign by campaign, merged.

A campaign is one run of one command; its facts (date, machine, versions, file system) stand once, and its
records point at it. A record that is measured again replaces the older one, unless only the newer is void.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from .processes import ROOT

PATH = ROOT / "benchmarks" / "results.json"


@dataclass(frozen=True, slots=True)
class Record:
    """One figure."""

    #: The module that measured it.
    kind: str
    subject: str
    #: What was measured: a workload, or a case of the module.
    name: str
    value: float
    unit: str
    interval: tuple[float, float] | None = None
    #: Whether its control says that it is worth nothing.
    void: bool = False
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    #: Set by Results.merge.
    file_system: str = ""
    campaign: int = 0

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What a newer record has in common with the one that it replaces."""
        return self.kind, self.file_system, self.subject, self.name


@dataclass(slots=True)
class Results:
    """All records, and the facts of their campaigns."""

    campaigns: dict[int, dict[str, Any]] = field(default_factory=dict[int, dict[str, Any]])
    records: list[Record] = field(default_factory=list[Record])

    @classmethod
    def load(cls, path: Path = PATH) -> Results:
        """What the file has; nothing if there is none."""
        if not path.exists():
            return cls()
        content = json.loads(path.read_text())
        records = [_record(entry) for entry in content["records"]]
        return cls({int(number): facts for number, facts in content["campaigns"].items()}, records)

    def save(self, path: Path = PATH) -> None:
        """Writes the file; a record a line, so that differences can be read."""
        campaigns = ",\n".join(f'"{number}": {json.dumps(facts)}' for number, facts in self.campaigns.items())
        records = ",\n".join(json.dumps(asdict(record)) for record in self.records)
        beside = path.with_name(path.name + ".new")
        beside.write_text(f'{{"campaigns": {{\n{campaigns}\n}},\n"records": [\n{records}\n]}}\n')
        beside.replace(path)

    def begin(self, facts: Mapping[str, Any]) -> int:
        """A number for a new campaign."""
        number = max(self.campaigns, default=0) + 1
        self.campaigns[number] = dict(facts)
        return number

    def merge(self, campaign: int, records: Iterable[Record]) -> None:
        """Adds records; those that they replace go, and so do campaigns that have none left."""
        file_system = str(self.campaigns[campaign].get("file_system", ""))
        merged = {record.key: record for record in self.records}
        for record in records:
            placed = replace(record, file_system=file_system, campaign=campaign)
            older = merged.get(placed.key)
            if older is None or older.void or not placed.void:
                merged[placed.key] = placed
        self.records = list(merged.values())
        used = {record.campaign for record in self.records} | {campaign}
        self.campaigns = {number: facts for number, facts in self.campaigns.items() if number in used}

    def of(self, kind: str, file_system: str | None = None) -> list[Record]:
        """The records of a module, from one file system or all."""
        return [
            record
            for record in self.records
            if record.kind == kind and file_system in (None, record.file_system)
        ]

    def file_systems(self, kind: str) -> list[str]:
        """Where a module measured: memory first."""
        found = dict.fromkeys(record.file_system for record in self.of(kind))
        return sorted(found, key=lambda name: (name != "tmpfs", name))


def _record(entry: dict[str, Any]) -> Record:
    interval: Any = entry.pop("interval")
    return Record(**entry, interval=None if interval is None else (interval[0], interval[1]))
