"""Looks for byte strings in another process's memory, and knows which of it a core dump would hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path

_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+\s*(.*)")
#: Pages of the kernel's own, which /proc/PID/mem does not show.
_UNREADABLE = ("[vvar", "[vsyscall]")


@dataclass(frozen=True, slots=True)
class Mapping:
    start: int
    end: int
    permissions: str
    name: str
    flags: frozenset[str]

    @property
    def dumped(self) -> bool:
        """Whether a core dump may hold it: the kernel leaves out what MADV_DONTDUMP was said of (``dd``).

        It leaves out more, such as unchanged pages of files; for a search that finds nothing that is on the
        safe side.
        """
        return "dd" not in self.flags

    @property
    def locked(self) -> bool:
        return "lo" in self.flags


@dataclass(frozen=True, slots=True)
class Place:
    mapping: Mapping
    address: int


def mappings(pid: int) -> list[Mapping]:
    """What /proc/PID/smaps says."""
    found: list[Mapping] = []
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if match := _MAPPING.match(line):
            start, end, permissions, name = match.groups()
            found.append(Mapping(int(start, 16), int(end, 16), permissions, name, frozenset()))
        elif line.startswith("VmFlags:"):
            last = found.pop()
            flags = frozenset(line.split()[1:])
            found.append(Mapping(last.start, last.end, last.permissions, last.name, flags))
    return found


def search(pid: int, needles: dict[str, bytes]) -> dict[str, list[Place]]:
    """Where each of the needles is in the memory of a process that is at rest."""
    found: dict[str, list[Place]] = {name: [] for name in needles}
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for mapping in mappings(pid):
            if not mapping.permissions.startswith("r") or mapping.name.startswith(_UNREADABLE):
                continue
            try:
                content = _read(memory, mapping)
            except OSError:
                # Devices, and what was unmapped meanwhile.
                continue
            for name, needle in needles.items():
                for at in _occurrences(content, needle):
                    found[name].append(Place(mapping, mapping.start + at))
    return found


def _read(memory: RawIOBase, mapping: Mapping) -> bytes:
    memory.seek(mapping.start)
    content = bytearray()
    while len(content) < mapping.end - mapping.start:
        part = memory.read(mapping.end - mapping.start - len(content))
        if not part:
            break
        content += part
    return bytes(content)


def _occurrences(content: bytes, needle: bytes) -> Iterator[int]:
    at = content.find(needle)
    while at >= 0:
        yield at
        at = content.find(needle, at + 1)
