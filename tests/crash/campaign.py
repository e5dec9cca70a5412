"""A scenario and many crashes."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from campaigns.integrity import WrongError

from .catalogue import Scenario
from .disk import Disk
from .flavour import Either, Encrypted, Flavour, Gosqlite
from .image import Fate, Image, cut_off, killed
from .judge import judge
from .log import Kind
from .recorder import Recorder
from .recovery import record_recovery
from .session import Recording, record
from .setup import Setup

#: Syncs of a file (``"."`` for the folder) that a broken recording leaves out.
Lies = Callable[[str], bool]


#: Crashes of one recovery.
RECOVERY = 8


def _truthful(_: str) -> bool:
    return False


@dataclass(slots=True)
class Outcome:
    """What a scenario's crashes came to."""

    scenario: str
    #: Images judged; all are different.
    states: int = 0
    #: How many of them are crashes of a recovery.
    recoveries: int = 0
    #: Points of the recording at which crashes happened.
    points: int = 0
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Crash:
    """An image and the contents that it may hold."""

    point: int
    image: Image
    allowed: list[bytes]


def crashes(
    recording: Recording,
    folder: str,
    setup: Setup,
    wanted: int,
    random: Random,
    *,
    lies: Lies = _truthful,
    whole: Callable[[str], bool] = _truthful,
    first: int = 0,
    ungarbled: Callable[[str], bool] = _truthful,
    kills: bool = False,
) -> Iterator[Crash]:
    """About ``wanted`` crashes of a recording, all with different images, in the order of its events.

    None before event ``first``. ``kills``: deaths of the process only.
    """
    chosen = _points(recording, wanted, random, first)
    disk = Disk(folder, recording.initial, lies=lies)
    seen: set[bytes] = set()
    for point in range(len(recording.events) + 1):
        event = recording.events[point] if point < len(recording.events) else None
        for _ in range(chosen.get(point, 0)):
            if kills or setup.sync == "off" or random.random() < 0.15:
                image = killed(disk, event, random)
            else:
                fate = random.choice([Fate.KEPT, Fate.DROPPED]) if random.random() < 0.2 else None
                image = cut_off(disk, random, fate, whole=whole, ungarbled=ungarbled)
            digest = image.digest()
            if digest in seen:
                continue
            seen.add(digest)
            yield Crash(point, image, allowed_after(recording, point, image, setup))
        if event is not None:
            disk.play(event)


def _points(recording: Recording, wanted: int, random: Random, first: int) -> dict[int, int]:
    """How often to crash before which event; the last point is the end.

    Crashes tell most where most is pending, just before a sync, and around a change of names or lengths.
    """
    events = recording.events
    dull = (Kind.MARK, Kind.CLOSE, Kind.REFUSED)
    changes = [n for n, event in enumerate(events) if n >= first and event.kind not in dull]
    namings = [n for n in changes if events[n].kind in (Kind.UNLINK, Kind.RENAME, Kind.TRUNCATE)]
    telling = [n for n in changes if events[n].kind is Kind.SYNC]
    telling += [point for n in namings for point in (n, n + 1)]
    changes.append(len(events))
    pools = [
        itertools.cycle(random.sample(pool, len(pool))) for pool in (telling or changes, changes, changes)
    ]
    chosen: dict[int, int] = {}
    # Some images turn out to be equal, above all where nothing is pending.
    for number in range(wanted * 4 // 3):
        point = next(pools[number % len(pools)])
        chosen[point] = chosen.get(point, 0) + 1
    return chosen


def allowed_after(recording: Recording, point: int, image: Image, setup: Setup) -> list[bytes]:
    """The contents that an image may hold: all that was acknowledged, and no step in part.

    What SQLite itself does not promise, and only that, may be missing: with synchronous=NORMAL the commits of
    a WAL whose frames were not synced, and the commit of a journal whose truncation was not; below EXTRA,
    the commit of a journal whose deletion was not.
    """
    oldest = recording.returned[point]
    positions = []
    if setup.sync == "normal":
        positions += [position for position, name in image.lost if name.endswith(("-wal", "-journal"))]
    if setup.sync != "extra":
        positions += [position for position, name in image.undone if name.endswith("-journal")]
    if positions:
        # The step under way at that event is the first that may be missing.
        oldest = min(oldest, *(recording.returned[position] for position in positions))
    contents = recording.states[oldest : recording.begun[point] + 1]
    return [content + keys for content in contents for keys in recording.opening(point)]


def run(
    scenario: Scenario,
    flavour: Flavour,
    folder: Path,
    recorder: Recorder,
    *,
    states: int,
    seed: int,
    lies: Lies = _truthful,
    kills: bool = False,
    stop_after: int = 5,
) -> Outcome:
    """Records a scenario and judges about ``states`` crashes of it."""
    random = Random(f"{seed} {scenario.name}")
    outcome = Outcome(scenario.name)
    flavour = in_setup(flavour, scenario.setup)
    clear(folder)
    try:
        recording = record(
            folder, flavour, scenario.setup, scenario.activity, recorder, random.randrange(1 << 30)
        )
    except (sqlite3.Error, OSError) as error:
        outcome.failures.append(
            f"{flavour.name} {scenario.name} seed {seed} without a crash: {type(error).__name__}: {error}"
        )
        return outcome
    trial = Trial(scenario, folder, recorder, random, lies, kills=kills)
    points = set()
    for crash, story, wrong in trial.run(flavour, recording, states):
        outcome.states += 1
        outcome.recoveries += bool(story)
        points.add(crash.point)
        if wrong is not None:
            outcome.failures.append(
                f"{flavour.name} {scenario.name} seed {seed} {story}point {crash.point} "
                f"({crash.image.story}): {wrong}"
            )
            if len(outcome.failures) >= stop_after:
                break
    outcome.points = len(points)
    return outcome


@dataclass(frozen=True, slots=True)
class Trial:
    """Crashes of one recording, and of some of the recoveries after them."""

    scenario: Scenario
    folder: Path
    recorder: Recorder
    random: Random
    lies: Lies
    #: On a medium that fails.
    failing: bool = False
    #: The process dies; the power never fails.
    kills: bool = False

    def run(
        self, flavour: Flavour, recording: Recording, states: int
    ) -> Iterator[tuple[Crash, str, str | None]]:
        """The crashes, for those of a recovery what was recovered, and what was wrong."""
        for crash in self.crashes(flavour, recording, self.scenario.setup, states * 3 // 4):
            wrong = self.judge(flavour, crash)
            yield crash, "", wrong
            # So that a quarter of all crashes are crashes of recoveries.
            if wrong is None and self.random.random() < 1 / (3 * RECOVERY):
                yield from self._recovery(flavour, crash, f"point {crash.point} ({crash.image.story}), then ")

    def _recovery(
        self, flavour: Flavour, crash: Crash, story: str
    ) -> Iterator[tuple[Crash, str, str | None]]:
        setup = replace(self.scenario.setup, sync="full")
        crash.image.write(self.folder)
        try:
            recording, flavour = record_recovery(
                self.folder,
                flavour,
                crash.image,
                crash.allowed,
                self.recorder,
                self.random,
                with_other=setup.with_other,
            )
        except (WrongError, sqlite3.Error, OSError) as error:
            yield crash, story, f"while it was recovered: {type(error).__name__}: {error}"
            return
        for again in self.crashes(flavour, recording, setup, RECOVERY):
            # What the first crash tore is still there.
            again.image.killed &= crash.image.killed
            yield again, story, self.judge(flavour, again)

    def crashes(
        self, flavour: Flavour, recording: Recording, setup: Setup, wanted: int, *, first: int = 0
    ) -> Iterator[Crash]:
        """As :func:`crashes`, of what this flavour stands."""
        # One sync for a journal and the number of its records is not enough if parts of it can last without
        # others: SQLite's checksum looks at every 200th byte. What lumocrypt makes of it stands even that.
        spared = not isinstance(flavour, Encrypted) and setup.sync == "normal"
        unfilled = isinstance(flavour, Gosqlite) and self.scenario.setup.sync == "normal"
        return crashes(
            recording,
            str(self.folder),
            setup,
            wanted,
            self.random,
            lies=self.lies,
            whole=lambda name: spared and name.endswith("-journal"),
            first=first,
            # The sector in which synced frames end is written again by the next, and nothing fills it up.
            ungarbled=lambda name: unfilled and name.endswith("-wal"),
            kills=self.kills,
        )

    def judge(self, flavour: Flavour, crash: Crash) -> str | None:
        """What is wrong after a crash, or None."""
        crash.image.write(self.folder)
        with_other = self.scenario.setup.with_other
        killed = None if self.failing else crash.image.killed
        return judge(self.folder, flavour, crash.allowed, self.random, with_other=with_other, killed=killed)


def in_setup(flavour: Flavour, setup: Setup) -> Flavour:
    """What opens the database, whatever it becomes."""
    return Either() if setup.in_place else flavour


def clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
