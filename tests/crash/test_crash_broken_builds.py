"""The simulator notices engines that are broken on purpose: without that, its silence would mean nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from crash.broken_builds import ATTACKS, FAILING, FAULTS, faulty_package
from crash.jobs import Job, run_jobs

#: Crashes of one recording, and recordings at most, within which a broken build has to be noticed.
STATES, SEEDS = 100, 10


@pytest.fixture(scope="session")
def package() -> Path:
    if shutil.which("cargo") is None:
        pytest.skip("there is no Rust toolchain to build a broken engine with")
    return faulty_package()


@pytest.mark.parametrize(
    ("fault", "scenario"), [(fault, name) for fault, names in FAULTS.items() for name in names]
)
def test_a_broken_build_is_noticed(package: Path, fault: str, scenario: str) -> None:
    for seed in range(1, SEEDS + 1):
        (outcome,) = run_jobs([Job(scenario, STATES, seed, stop_after=1)], package=package, fault=fault)
        if outcome.failures:
            return
    pytest.fail(f"nothing was wrong in {STATES * SEEDS} states")


@pytest.mark.parametrize(
    ("fault", "scenario", "failure"), [(fault, *one) for fault, found in FAILING.items() for one in found]
)
def test_a_build_that_relies_on_a_failed_sync_is_noticed(
    package: Path, fault: str, scenario: str, failure: str
) -> None:
    for seed in range(1, SEEDS + 1):
        job = Job(scenario, STATES * 3, seed, failing="sync", failure=failure, stop_after=1)
        (outcome,) = run_jobs([job], package=package, fault=fault)
        # Without the fault nothing is wrong with the same recordings.
        if outcome.failures and not run_jobs([job], package=package)[0].failures:
            return
    pytest.fail(f"nothing was wrong in {STATES * 3 * SEEDS} states")


@pytest.mark.parametrize("fault", ATTACKS)
def test_a_build_that_an_attack_gets_past_is_noticed(package: Path, fault: str) -> None:
    assert attack(package, ATTACKS[fault], fault) == pytest.ExitCode.TESTS_FAILED
    assert attack(package, ATTACKS[fault], "") == pytest.ExitCode.OK


def attack(package: Path, test: str, fault: str) -> int:
    """The exit code of a test that is run with that engine."""
    environment = {**os.environ, "PYTHONPATH": str(package)}
    environment.pop("LUMO_FAULT", None)
    if fault:
        environment["LUMO_FAULT"] = fault
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    test = str(Path(__file__).parents[1] / test)
    return subprocess.run(
        [*command, test], env=environment, stdout=subprocess.DEVNULL, check=False
    ).returncode


@pytest.mark.parametrize("scenario", ["commits-delete-full", "by_turns-wal-full"])
def test_the_same_build_without_a_fault_is_not_broken(package: Path, scenario: str) -> None:
    (outcome,) = run_jobs([Job(scenario, 30, 1)], package=package)
    assert outcome.failures == []


def test_a_release_does_nothing_wrong_on_demand() -> None:
    (outcome,) = run_jobs([Job("commits-persist-full", 30, 1)], fault="journal-sync")
    assert outcome.failures == []
