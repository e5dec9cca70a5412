"""A scenario whose syncs or writes fail, one in each recording, and crashes after that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

from . import activities
from .campaign import Crash, Outcome, Trial, clear, in_setup
from .catalogue import Scenario
from .flavour import Flavour, Plain
from .log import Kind
from .medium import Failure, failed_at, failures, is_survived
from .recorder import Recorder
from .session import Errors, Recording, record

#: Crashes of one recording.
EACH = 10
#: Not judged: the simulator edits the header itself, and relies on what it reads.
_UNTRIED = (activities.header_edits,)
#: Nor with SQLite alone: a checkpoint that a reader holds up counts pages as copied that it has not synced;
#: the next one does not write them again.
_UNTRIED_PLAIN = (activities.checkpoints,)


def is_tried(scenario: Scenario, flavour: str) -> bool:
    """May syncs of this scenario fail? Not where nothing is synced."""
    untried = (*_UNTRIED, *_UNTRIED_PLAIN) if flavour == Plain.name else _UNTRIED
    return scenario.setup.sync != "off" and scenario.activity not in untried


def run_failing(
    scenario: Scenario,
    flavour: Flavour,
    folder: Path,
    recorder: Recorder,
    *,
    states: int,
    seed: int,
    kind: Kind = Kind.SYNC,
    stop_after: int = 5,
    only: str = "",
    every: bool = False,
) -> Outcome:
    """Judges about ``states`` crashes of a scenario, each after a sync that failed, or a write.

    ``only``: what the description of the failure has to contain. ``every``: also those that SQLite does not
    survive.
    """
    random = Random(f"failing {seed} {scenario.name}")
    outcome = Outcome(scenario.name)
    flavour = in_setup(flavour, scenario.setup)
    run = _Run(scenario, flavour, folder, recorder, random.randrange(1 << 30))
    try:
        sound = run.record(None)
    except Errors as error:
        outcome.failures.append(run.report(seed, "without a failure", error))
        return outcome
    found = [
        failure
        for failure in failures(sound.events, str(folder), kind)
        if only in str(failure) and (every or is_survived(failure, scenario.setup))
    ]
    for failure in random.sample(found, min(len(found), max(1, states // EACH))):
        try:
            recording = run.record(failure)
        except Errors as error:
            outcome.failures.append(run.report(seed, f"{failure}, and nothing goes on", error))
        else:
            trial = Trial(scenario, folder, recorder, random, lambda _: False, failing=True)
            for crash, wrong in run.crashes(trial, recording):
                outcome.states += 1
                if wrong is not None:
                    story = f"{failure}, point {crash.point} of {len(recording.events)} ({crash.image.story})"
                    outcome.failures.append(run.report(seed, story, wrong))
                    break
        if len(outcome.failures) >= stop_after:
            break
    return outcome


class _Run:
    """One scenario with one seed, recorded again and again."""

    def __init__(
        self, scenario: Scenario, flavour: Flavour, folder: Path, recorder: Recorder, seed: int
    ) -> None:
        self._scenario, self._flavour, self._folder = scenario, flavour, folder
        self._recorder, self._seed = recorder, seed

    def record(self, failure: Failure | None) -> Recording:
        clear(self._folder)
        scenario = self._scenario
        return record(
            self._folder,
            self._flavour,
            scenario.setup,
            scenario.activity,
            self._recorder,
            self._seed,
            failure,
        )

    def crashes(self, trial: Trial, recording: Recording) -> Iterator[tuple[Crash, str | None]]:
        first = failed_at(recording.events)
        if first is None:
            return
        for crash in trial.crashes(self._flavour, recording, self._scenario.setup, EACH, first=first):
            yield crash, trial.judge(self._flavour, crash)

    def report(self, seed: int, story: str, wrong: object) -> str:
        what = f"{type(wrong).__name__}: {wrong}" if isinstance(wrong, Exception) else wrong
        return f"{self._flavour.name} {self._scenario.name} seed {seed} {story}: {what}"
