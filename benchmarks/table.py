"""Results as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import geometric_mean

from .results import Record, Results
from .subjects import SUBJECTS
from .workloads import API, ENGINE

#: The subjects of the table and of the chart, in their order; controls are not shown.
SHOWN = tuple(name for name, subject in SUBJECTS.items() if not subject.control and subject.kind == "engine")


def speed(results: Results, file_system: str, subjects: Sequence[str] = SHOWN) -> str:
    """A row for each workload, a column for each subject: ratios to plaintext on the same library."""
    cells = by_place(results.of("speed", file_system))
    columns = [name for name in subjects if any((name, workload) in cells for workload in ENGINE)]
    lines = _head(["", *(SUBJECTS[name].title for name in columns)])
    for workload in ENGINE:
        texts = [_cell(cells.get((name, workload))) for name in columns]
        lines.append(_row([words(workload), *texts]))
    means = [mean(cells, name) for name in columns]
    lines.append(_row(["geometric mean", *("" if one is None else f"**{one:.2f}**" for one in means)]))
    return "\n".join(lines)


def mean(cells: Mapping[tuple[str, str], Record], subject: str) -> float | None:
    """The geometric mean over the engine's workloads; None if one is missing or void."""
    found = [cells.get((subject, workload)) for workload in ENGINE]
    values = [record.value for record in found if record is not None and not record.void]
    return geometric_mean(values) if len(values) == len(ENGINE) else None


def controls(results: Results, file_system: str) -> str:
    """Plaintext against plaintext."""
    cells = by_place(results.of("speed", file_system))
    columns = [
        name for name, subject in SUBJECTS.items() if subject.control and any(key[0] == name for key in cells)
    ]
    lines = _head(["", *(SUBJECTS[name].title for name in columns)])
    for workload in (*ENGINE, *API):
        found = [cells.get((name, workload)) for name in columns]
        if any(found):
            lines.append(_row([words(workload), *map(_cell, found)]))
    return "\n".join(lines)


def api(results: Results, file_system: str) -> str:
    """``lumocrypt.connect`` against a bare connection on its VFS."""
    cells = by_place(results.of("speed", file_system))
    lines = _head(["", SUBJECTS["connect"].title])
    lines += [_row([words(name), _cell(cells.get(("connect", name)))]) for name in API]
    return "\n".join(lines)


def cases(records: Iterable[Record], unit: str, digits: int) -> str:
    """A row for each case, a column for each subject."""
    cells = by_place(records)
    columns = list(dict.fromkeys(subject for subject, _ in cells))
    lines = _head([unit, *(SUBJECTS[name].title if name in SUBJECTS else name for name in columns)])
    for case in dict.fromkeys(name for _, name in cells):
        found = [cells.get((subject, case)) for subject in columns]
        lines.append(_row([case, *("" if one is None else f"{one.value:,.{digits}f}" for one in found)]))
    return "\n".join(lines)


def scaling(records: Iterable[Record]) -> str:
    """A row for each load, a column for each subject."""
    cells = by_place(records)
    columns = [name for name in dict.fromkeys(subject for subject, _ in cells) if not SUBJECTS[name].control]
    lines = _head(["", *(SUBJECTS[name].title for name in columns)])
    for name in dict.fromkeys(name for _, name in cells):
        lines.append(_row([loads_name(name), *(_cell(cells.get((column, name))) for column in columns)]))
    return "\n".join(lines)


def words(name: str) -> str:
    """``wal_commits`` as people say it."""
    return name.replace("_", " ").replace("wal", "WAL")


def loads_name(name: str) -> str:
    """``size 1000, points`` as people say it."""
    axis, _, rest = name.partition(" ")
    count, _, work = rest.partition(", ")
    if axis == "size":
        return f"{count} MB, {work}" if int(count) < 1000 else f"{int(count) / 1000:g} GB, {work}"
    plural = {"processes": "process"}.get(axis, axis.removesuffix("s"))
    return f"{count} {axis if count != '1' else plural}, {work}"


def by_place(records: Iterable[Record]) -> dict[tuple[str, str], Record]:
    """The records by subject and name."""
    return {(record.subject, record.name): record for record in records}


def _cell(record: Record | None) -> str:
    if record is None:
        return ""
    if record.void:
        return "void"
    low, high = record.interval or (record.value, record.value)
    return f"{record.value:.2f} ({low:.2f}-{high:.2f})"


def _head(titles: Sequence[str]) -> list[str]:
    return [_row(titles), "|" + "-|" * len(titles)]


def _row(texts: Iterable[str]) -> str:
    return "| " + " | ".join(texts) + " |"
