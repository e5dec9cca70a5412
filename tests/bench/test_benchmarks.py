"""The harness of `make bench`: names, statistics, and that the README says what results.json has."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import charts, control, document, memory, opening, subjects, table, targets  # noqa: E402
from benchmarks.measured import Measured, interval_of, is_void  # noqa: E402
from benchmarks.prose import findings  # noqa: E402
from benchmarks.results import PATH, Record, Results  # noqa: E402
from benchmarks.workloads import API, ENGINE, FROM_NOTHING, WITH_SLOW_SYNCS, WORKLOADS  # noqa: E402

FACTS = {
    "date": "2026-01-02",
    "machine": {"processor": "2 x made up", "kernel": "0.0"},
    "versions": {"own": {"sqlite": "3.40.1", "python": "3.11.7"}},
}


def ratio(subject: str, name: str, value: float, *, void: bool = False) -> Record:
    return Record("speed", subject, name, value, "ratio", (value - 0.01, value + 0.01), void=void)


def made_up() -> Results:
    """A campaign in memory and one on a disk, with one of each other kind."""
    results = Results()
    shown = [name for name, one in subjects.SUBJECTS.items() if one.kind == "engine"]
    for place in ("tmpfs", "ext4"):
        number = results.begin({**FACTS, "file_system": place})
        records = [
            ratio(name, workload, 1.0 if subjects.SUBJECTS[name].control else 0.5 + 0.1 * at)
            for name in shown
            for at, workload in enumerate(ENGINE)
        ]
        results.merge(number, [*records, *(ratio("connect", workload, 1.01) for workload in API)])
    number = results.begin({**FACTS, "file_system": "tmpfs"})
    load: dict[str, Any] = {"axis": "size", "at": 1000, "work": "points"}
    results.merge(
        number,
        [
            *(Record("opening", "passphrase", case, 100.0, "us above plaintext") for case in opening.CASES),
            *(Record("memory", "map", case, 0.5, "MB above plaintext") for case in memory.CASES),
            *(Record("offline", one, "one core", 1600.0, "MB/s") for one in ("encrypt", "verify")),
            Record("scaling", "map", "size 1000, points", 0.9, "ratio", (0.8, 1.0), details=load),
        ],
    )
    return results


@pytest.fixture
def results() -> Results:
    return made_up()


def test_names_are_known() -> None:
    assert len(ENGINE) == 11
    assert {*FROM_NOTHING, *WITH_SLOW_SYNCS, *targets.LIMITS, *targets.PREAD} <= set(WORKLOADS)
    assert {*document.SUBJECTS_SHOWN, *subjects.USUAL, *opening.USUAL} <= set(subjects.SUBJECTS)
    for subject in subjects.SUBJECTS.values():
        base = subjects.SUBJECTS[subject.base]
        assert base.control
        assert base.environment == subject.environment
        assert subject.title
        # Apart from opening.py, which brings its own pairs, both are measured in the same workloads.
        assert subject.kind in (base.kind, "opening")
        assert subject.environment == "own" or (ROOT / f"benchmarks/peers/{subject.environment}.txt").exists()


def test_peers_are_pinned() -> None:
    for file in (ROOT / "benchmarks" / "peers").iterdir():
        assert all("==" in line for line in file.read_text().splitlines())


def test_controls_come_along() -> None:
    assert subjects.with_controls(["map", "pread", "mc-aegis"]) == [
        "plain",
        "map",
        "pread",
        "mc-plain",
        "mc-aegis",
    ]


def test_the_median_of_the_pairs_ratios() -> None:
    # Not the ratio of the medians, which is 0.5.
    measured = Measured("map", "full_scan", [(1.0, 0.9), (2.0, 1.0), (10.0, 12.0)])
    assert measured.ratio == 0.9
    assert measured.ratios == [0.9, 0.5, 1.2]
    assert measured.interval == (0.5, 1.2)


def test_the_interval() -> None:
    assert interval_of([1.0] * 9) == (1.0, 1.0)
    assert interval_of([3.0]) == (3.0, 3.0)
    values = [0.90, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97, 5.0]
    low, high = interval_of(values)
    assert (low, high) == interval_of(values)
    # The median is 0.94, and one wild pair does not reach it.
    assert 0.90 <= low < 0.94 < high <= 0.97


@pytest.mark.parametrize(
    ("ratios", "void"),
    [([1.0], False), ([0.97], False), ([1.031], True), ([0.96], True), ([1.0, 1.2, 1.01], False)],
)
def test_the_void_rule(ratios: list[float], void: bool) -> None:
    assert is_void([Measured("plain", "full_scan", [(1.0, one) for one in ratios])]) is void


def test_what_is_void_gets_more_pairs_and_then_is_said() -> None:
    calls: list[tuple[str, bool]] = []

    def pair(subject: str, base_first: bool) -> tuple[float, float]:
        calls.append((subject, base_first))
        # Three of the first five pairs of the control.
        busy = subject == "plain" and len(calls) <= 6
        return 1.0, 2.0 if busy else 0.5 if subject == "map" else 1.0

    plain, ours = control.beside_control("speed", ["plain", "map"], "full_scan", 5, pair, {})
    assert (plain.void, ours.void) == (False, False)
    assert (ours.details["attempts"], len(ours.details["seconds"]), ours.value) == (2, 10, 0.5)
    assert len(plain.details["seconds"]) == 10
    # All count, and the order goes on alternating.
    assert calls == [(subject, number % 2 == 0) for number in range(10) for subject in ("plain", "map")]
    always = control.beside_control("speed", ["plain", "map"], "x", 5, lambda *_: (1.0, 2.0), {})
    assert [record.void for record in always] == [True, True]
    assert len(always[0].details["seconds"]) == 15


def test_merging(tmp_path: Path) -> None:
    results = Results()
    first = results.begin({"file_system": "tmpfs"})
    results.merge(first, [ratio("map", "full_scan", 0.8), ratio("map", "checkpoint", 0.7)])
    disk = results.begin({"file_system": "ext4"})
    results.merge(disk, [ratio("map", "full_scan", 0.9)])
    again = results.begin({"file_system": "tmpfs"})
    results.merge(again, [ratio("map", "full_scan", 0.6), ratio("map", "checkpoint", 0.1, void=True)])
    path = tmp_path / "results.json"
    results.save(path)
    loaded = Results.load(path)
    assert loaded == results
    found = {(one.file_system, one.name): (one.value, one.campaign) for one in loaded.records}
    assert found == {
        ("tmpfs", "full_scan"): (0.6, again),
        ("tmpfs", "checkpoint"): (0.7, first),
        ("ext4", "full_scan"): (0.9, disk),
    }
    last = loaded.begin({"file_system": "tmpfs"})
    loaded.merge(last, [ratio("map", "checkpoint", 0.65), ratio("map", "full_scan", 0.6)])
    assert set(loaded.campaigns) == {disk, last}


def test_a_table(results: Results) -> None:
    lines = table.speed(results, "tmpfs", ["map", "mc-aegis"]).splitlines()
    assert lines[:3] == [
        "|  | lumocrypt | MC aegis |",
        "|-|-|-|",
        "| full scan | 0.50 (0.49-0.51) | 0.50 (0.49-0.51) |",
    ]
    assert lines[-1].startswith("| geometric mean | **0.9")
    results.merge(1, [ratio("map", "full_scan", 0.4, void=True)])
    assert table.speed(results, "tmpfs", ["map"]).splitlines()[2] == "| full scan | 0.50 (0.49-0.51) |"


def test_it_says_where_we_lose(results: Results) -> None:
    results.merge(1, [ratio("mc-aegis", "wal_commits", 0.9)])
    text = "\n".join(findings(results, "tmpfs"))
    assert "slower than plaintext at rollback commits (1.50)" in text
    assert "MC aegis at WAL commits (1.30 to 0.90)" in text


def test_it_says_so_where_nothing_is_lost(tmp_path: Path) -> None:
    few = Results.load(tmp_path / "none.json")
    few.merge(few.begin({"command": "speed", "file_system": "ext4"}), [ratio("map", "checkpoint", 0.7)])
    assert findings(few, "ext4") == [
        "With its defaults, lumocrypt is slower than plaintext at nothing that was measured."
    ]


def test_it_says_what_a_second_core_does(results: Results) -> None:
    assert "LUMO_THREADS" not in "\n".join(findings(results, "tmpfs"))
    more = [ratio("map", "checkpoint", 0.8), ratio("one-thread", "checkpoint", 1.05)]
    results.merge(1, [*more, ratio("map", "full_scan", 0.9), ratio("one-thread", "full_scan", 0.91)])
    (said,) = [text for text in findings(results, "tmpfs") if "LUMO_THREADS" in text]
    assert said.endswith("take longer: checkpoint (1.05).")


def test_targets(results: Results) -> None:
    found = {target.name: target for target in targets.targets(results)}
    assert found["map, full_scan"].met
    assert not found["map, rollback_commits"].met
    assert found["encrypt on one core, MB/s"].met
    assert not any(target.met for target in targets.targets(Results()))


def test_the_section_of_a_readme(results: Results) -> None:
    text = f"before\n{document.BEGIN}\nold\n{document.END}\nafter\n"
    new = document.with_section(text, document.section(results))
    assert document.between(new) == document.section(results)
    assert new.startswith("before\n")
    assert new.endswith("\nafter\n")
    with pytest.raises(ValueError, match="speed:begin"):
        document.between("nothing")


def test_the_page_has_everything(results: Results) -> None:
    page = document.page(results)
    for heading in ("Workloads, tmpfs", "Workloads, ext4", "Opening", "Scaling", "Memory", "Whole files"):
        assert f"## {heading}" in page
    assert "1 GB, points" in page


def test_charts(results: Results) -> None:
    drawings = document.drawings(results)
    # One of workloads, which README shows; others have tables.
    assert set(drawings) == {"speed.svg", "scaling-size.svg"}
    for text in drawings.values():
        ElementTree.fromstring(text)
    cut = charts.bars("a & b", ["<one>"], [charts.Series("ours", {"<one>": 7.5})])
    bar = [one for one in ElementTree.fromstring(cut).iter() if one.get("height") == "8"]
    assert [float(one.get("width", 0)) for one in bar] == [pytest.approx(630)]


def test_the_readme_says_what_the_results_yield() -> None:
    inside = document.between(document.README.read_text())
    if not PATH.exists():
        pytest.skip("no campaign has been run")
    results = Results.load()
    assert inside == document.section(results)
    assert (ROOT / "docs" / "speed.md").read_text() == document.page(results)
    for name, text in document.drawings(results).items():
        assert (ROOT / "docs" / name).read_text() == text
