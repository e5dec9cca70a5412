"""What README.md, docs/speed.md and the charts say, made of results.json alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from . import charts, prose, table
from .charts import Series
from .processes import ROOT
from .results import Results
from .subjects import SUBJECTS
from .workloads import API, ENGINE

README = ROOT / "README.md"
BEGIN, END = "<!-- speed:begin -->", "<!-- speed:end -->"
#: Of the chart.
SUBJECTS_SHOWN = ("map", "one-thread", "pread", "mc-aegis", "mc-chacha20", "sqlcipher")


def between(text: str) -> str:
    """What stands between the markers.

    Raises ValueError if they are not there.
    """
    before, begin, rest = text.partition(BEGIN)
    inside, end, _ = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {BEGIN} and {END} behind {before[-40:]!r}")
    return inside.strip("\n")


def with_section(text: str, section: str) -> str:
    """The text with another section between the markers."""
    inside = between(text)
    return text.replace(f"{BEGIN}\n{inside}\n{END}", f"{BEGIN}\n{section}\n{END}")


def section(results: Results) -> str:
    """The README's part: a chart, where lumocrypt loses, and where the table is."""
    places = results.file_systems("speed")
    if not places:
        raise ValueError("no campaign of speed has been run")
    place = places[0]
    conditions = _conditions(results, "speed", place)
    lines = [
        "Times divided by those of plaintext on the same library, with a raw key and default sizes: below 1 "
        f"is faster than no encryption. Medians of pairs of fresh processes; {conditions}.",
        "",
        "![Ratios to plaintext](docs/speed.svg)",
        "",
        _bullets(results, place),
        "",
        "[docs/speed.md](docs/speed.md) has the table with its intervals, and the rest: a disk, opening, "
        "scaling, memory, whole files. `make bench` repeats all of it.",
    ]
    return "\n".join(lines)


def page(results: Results) -> str:
    """docs/speed.md."""
    parts = [
        "# Speed",
        "Made by `make bench-report` of `benchmarks/results.json`; benchmarks/ has the programs. All ratios "
        "are to plaintext on the same library, with the same pragmas; a workload whose control, plaintext "
        "against plaintext, is not within 0.97-1.03 gets up to three times as many pairs, and is void if "
        "that does not help. Medians of pairs of fresh processes, with 95 % intervals. MC is SQLite3 "
        "Multiple Ciphers. Everybody has a raw key and the default page and cache sizes.",
    ]
    for place in results.file_systems("speed"):
        parts += [
            f"## Workloads, {place}",
            f"{_conditions(results, 'speed', place)}.",
            table.speed(results, place),
        ]
        parts.append(_bullets(results, place))
        if any(record.name in API for record in results.of("speed", place)):
            parts.append(table.api(results, place))
        parts += ["The controls:", table.controls(results, place)]
    others: Mapping[str, tuple[str, Callable[[Results, str], str]]] = {
        "opening": ("Opening: connect, one row, close", _opening),
        "scaling": ("Scaling", _scaling),
        "memory": ("Memory of an open file", _memory),
        "offline": ("Whole files", _offline),
    }
    for kind, (title, write) in others.items():
        for place in results.file_systems(kind):
            parts += [f"## {title}, {place}", f"{_conditions(results, kind, place)}.", write(results, place)]
    return "\n\n".join(parts) + "\n"


def _bullets(results: Results, place: str) -> str:
    return "\n".join(f"- {sentence}" for sentence in prose.findings(results, place))


def drawings(results: Results) -> dict[str, str]:
    """The charts, by file name."""
    found: dict[str, str] = {}
    for place in results.file_systems("speed")[:1]:
        cells = table.by_place(record for record in results.of("speed", place) if not record.void)
        series = [
            Series(
                SUBJECTS[subject].title,
                {
                    table.words(name): cells[subject, name].value
                    for name in ENGINE
                    if (subject, name) in cells
                },
            )
            for subject in SUBJECTS_SHOWN
        ]
        groups = [table.words(name) for name in ENGINE]
        title = f"Time, plaintext on the same library = 1 ({place}; shorter is better, bars are cut at 3)"
        found["speed.svg"] = charts.bars(title, groups, [one for one in series if one.values])
    for place in results.file_systems("scaling")[:1]:
        for axis in dict.fromkeys(record.details["axis"] for record in results.of("scaling", place)):
            found[f"scaling-{axis}.svg"] = _scaling_chart(results, place, axis)
    return found


def write(results: Results) -> list[Path]:
    """Rewrites all files; returns which."""
    README.write_text(with_section(README.read_text(), section(results)))
    docs = ROOT / "docs"
    files = {"speed.md": page(results), **drawings(results)}
    for name, text in files.items():
        (docs / name).write_text(text)
    return [README, *(docs / name for name in files)]


def _scaling_chart(results: Results, place: str, axis: str) -> str:
    records = [
        record
        for record in results.of("scaling", place)
        if record.details["axis"] == axis and not SUBJECTS[record.subject].control
    ]
    places = [str(at) for at in sorted({int(record.details["at"]) for record in records})]
    keys = dict.fromkeys((record.subject, str(record.details["work"])) for record in records)
    series = [
        Series(
            f"{SUBJECTS[subject].title}: {work}",
            {
                str(record.details["at"]): record.value
                for record in records
                if (record.subject, record.details["work"]) == (subject, work)
            },
        )
        for subject, work in keys
    ]
    called = "megabytes" if axis == "size" else axis
    return charts.lines(f"Time by {called}, plaintext under the same load = 1", places, series)


def _conditions(results: Results, kind: str, place: str) -> str:
    """Where and when the records of a module were measured."""
    numbers = sorted({record.campaign for record in results.of(kind, place)})
    facts = [results.campaigns[number] for number in numbers]
    texts: list[str] = []
    for key in ("processor", "kernel"):
        texts.append(", ".join(dict.fromkeys(str(one["machine"][key]) for one in facts)))
    own: list[dict[str, Any]] = [one["versions"]["own"] for one in facts]
    texts.append("SQLite " + ", ".join(dict.fromkeys(str(one["sqlite"]) for one in own)))
    texts.append("Python " + ", ".join(dict.fromkeys(str(one["python"]) for one in own)))
    texts += [place, ", ".join(dict.fromkeys(str(one["date"]) for one in facts))]
    return ", ".join(texts)


def _opening(results: Results, place: str) -> str:
    text = "Microseconds above plaintext on the same library; `first` is the first in its process.\n\n"
    cases = table.cases(results.of("opening", place), "µs", 0)
    return text + cases.replace("beside another", "another one open")


def _scaling(results: Results, place: str) -> str:
    records = results.of("scaling", place)
    axes = dict.fromkeys(str(record.details["axis"]) for record in records)
    drawn = [f"![Scaling with {axis}](scaling-{axis}.svg)" for axis in axes]
    return "\n\n".join([table.scaling(records), *drawn])


def _memory(results: Results, place: str) -> str:
    text = (
        "Private memory, in megabytes, of each connection above a plaintext one, after a scan, points and "
        "updates; maps of files and the key derivation are not in it.\n\n"
    )
    return text + table.cases(results.of("memory", place), "MB", 2)


def _offline(results: Results, place: str) -> str:
    text = "Megabytes a second, from the page cache"
    text += ", without the cost of syncs.\n\n" if place == "tmpfs" else ", with the final sync.\n\n"
    return text + table.cases(results.of("offline", place), "MB/s", 0)
