"""The scenarios: workloads times journal modes times levels of synchronisation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from . import activities
from .flavour import Geometry
from .session import Activity
from .setup import Setup

_ROLLBACK = ("delete", "truncate", "persist")
_SYNC = ("off", "normal", "full")
#: Page and block sizes that differ, both ways.
_GEOMETRIES = (
    (512, 4096), (1024, 4096), (4096, 512), (4096, 65536), (8192, 4096), (65536, 4096), (1024, 8192),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scenario:
    """A workload in one setting."""

    #: What tests are named after: scenarios of one group are run together.
    group: str
    name: str
    setup: Setup
    activity: Activity


def scenarios() -> list[Scenario]:
    """All of them."""
    found = [*_journals(), *_wal(), *_creation(), *_geometries(), *_others(), *_files()]
    assert len({scenario.name for scenario in found}) == len(found)
    return found


def _scenario(group: str, activity: Activity, setup: Setup, more: str = "") -> Scenario:
    parts = [activity.__name__, setup.journal, setup.sync, more]
    return Scenario(group, "-".join(part for part in parts if part), setup, activity)


def _sync_levels(journal: str) -> tuple[str, ...]:
    # EXTRA also syncs the folder after the deletion of a journal.
    return (*_SYNC, "extra") if journal == "delete" else _SYNC


def _journals() -> Iterator[Scenario]:
    for journal in _ROLLBACK:
        for sync in _sync_levels(journal):
            setup = Setup(journal, sync)
            for activity in (activities.commits, activities.vacuum, activities.holes):
                yield _scenario(journal, activity, setup)
            for activity in (
                activities.spills, activities.rewrites, activities.savepoints, activities.rollbacks,
            ):  # fmt: skip
                yield _scenario(journal, activity, replace(setup, cache=10))
            yield _scenario("floods", activities.floods, replace(setup, cache=10))
            yield _scenario(journal, activities.sizes, _vacuuming(setup, "incremental"), "incremental")
            yield _scenario(journal, activities.sizes, _vacuuming(setup, "full"), "full")
            yield _scenario("sharing", activities.by_turns, setup)


def _vacuuming(setup: Setup, auto_vacuum: str) -> Setup:
    return replace(setup, geometry=Geometry(auto_vacuum=auto_vacuum))


def _wal() -> Iterator[Scenario]:
    for sync in _SYNC:
        setup = Setup("wal", sync)
        # Savepoints do not spill here: ROLLBACK TO behind a page that was spilled twice makes SQLite itself
        # (3.40.1 for one) write a WAL that ends too early for its recovery, with and without encryption.
        for activity in (activities.commits, activities.vacuum, activities.holes, activities.savepoints):
            yield _scenario("wal", activity, setup)
        for activity in (activities.spills, activities.rewrites, activities.rollbacks):
            yield _scenario("wal", activity, replace(setup, cache=10))
        yield _scenario("floods", activities.floods, replace(setup, cache=10))
        yield _scenario("wal", activities.sizes, _vacuuming(setup, "incremental"), "incremental")
        for activity in (
            activities.checkpoints, activities.generations, activities.closing, activities.two_writers,
            activities.by_turns, activities.emptied,
        ):  # fmt: skip
            yield _scenario("log", activity, setup)
        yield _scenario("log", activities.generations, replace(setup, exclusive=True), "exclusive")
        yield _scenario("log", activities.switches, setup)
        yield _scenario("log", activities.each_checkpoint, setup)
        yield _scenario("log", activities.each_checkpoint, replace(setup, exclusive=True), "exclusive")


def _creation() -> Iterator[Scenario]:
    for journal in (*_ROLLBACK, "wal"):
        for sync in _SYNC:
            yield _scenario("creation", activities.creation, Setup(journal, sync, new=True))
    for page in (512, 65536):
        setup = Setup("delete", "full", Geometry(page=page), new=True)
        yield _scenario("creation", activities.creation, setup, f"page{page}")


def _geometries() -> Iterator[Scenario]:
    for page, block in _GEOMETRIES:
        geometry = Geometry(page, block)
        for journal, sync in (("delete", "full"), ("persist", "normal"), ("wal", "full"), ("wal", "normal")):
            setup = Setup(journal, sync, geometry)
            more = f"page{page}-block{block}"
            for activity in (activities.commits, activities.sizes, activities.holes):
                yield _scenario("geometry", activity, setup, more)


def _others() -> Iterator[Scenario]:
    for journal in _ROLLBACK:
        for sync in ("normal", "full"):
            setup = Setup(journal, sync, with_other=True)
            yield _scenario("pairs", activities.pairs, setup)
        setup = Setup(journal, "full", cache=10, exclusive=True)
        yield _scenario("pairs", activities.spills, setup, "exclusive")
    for cipher in ("aegis-256", "xchacha20-poly1305", "aes-256-gcm", "checksum"):
        geometry = Geometry(cipher=cipher)
        for journal in ("delete", "wal"):
            setup = Setup(journal, "normal", geometry)
            yield _scenario("ciphers", activities.commits, setup, cipher)
    # Where blocks have no tags nothing is told by failing to open.
    for cipher in ("adiantum", "aes-256-xts"):
        for journal in (*_ROLLBACK, "wal"):
            setup = Setup(journal, "normal", Geometry(cipher=cipher))
            for activity in (activities.commits, activities.sizes, activities.holes):
                yield _scenario("ciphers", activity, setup, cipher)
            yield _scenario("ciphers", activities.spills, replace(setup, cache=10), cipher)
        setup = Setup("wal", "normal", Geometry(cipher=cipher))
        for activity in (activities.checkpoints, activities.generations, activities.two_writers):
            yield _scenario("ciphers", activity, setup, cipher)


def _files() -> Iterator[Scenario]:
    """What happens to the file as a whole."""
    for journal in (*_ROLLBACK, "wal"):
        for sync in _SYNC:
            setup = Setup(journal, sync)
            yield _scenario("header", activities.header_edits, setup)
            yield _scenario("header", activities.key_changes, replace(setup, keys=True))
            yield _scenario("in-place", activities.conversions, replace(setup, in_place=True))
        yield _scenario("copies", activities.copies, Setup(journal, "full"))
        yield _scenario("rekeying", activities.rekeying, Setup(journal, "full"))
        pieces = Setup(journal, "normal", Geometry(page=1024, block=4096))
        yield _scenario("rekeying", activities.rekeying, pieces, "page1024-block4096")
