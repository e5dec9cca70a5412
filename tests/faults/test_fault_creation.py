"""A creation that fails on the way: nothing is there yet, and the next writer makes the database anew."""

from __future__ import annotations

import contextlib
import sqlite3
from operator import attrgetter
from pathlib import Path

import pytest

import lumocrypt
from faults.faulty import FAULTS, Call, Fault, Operation, Scope, faulty
from faults.opener import Encrypted
from support.known_keys import RAW

#: Writing the header, and seeing to it that it stays.
STEPS = (Call(Operation.WRITE, "main"), Call(Operation.SYNC, "main"))
FAILURES = [
    pytest.param(call, fault, id=f"{call.operation.name.lower()} {fault.name}")
    for call in STEPS
    for fault in FAULTS[call.operation]
]


def create(path: Path) -> None:
    with contextlib.closing(Encrypted().open(path)) as connection:
        connection.execute("CREATE TABLE t (v)")


def steps_of_a_creation(path: Path) -> list[tuple[int, Call]]:
    faulty().count()
    create(path)
    found = [(at, call) for at, call in enumerate(faulty().calls()) if call in STEPS]
    faulty().disarm()
    return found


@pytest.mark.parametrize("scope", Scope, ids=attrgetter("name"))
@pytest.mark.parametrize(("step", "fault"), FAILURES)
def test_a_creation_that_fails(tmp_path: Path, step: Call, fault: Fault, scope: Scope) -> None:
    key = lumocrypt.Key.raw(RAW)
    places = [at for at, call in steps_of_a_creation(tmp_path / "calm.db") if call == step]
    assert len(places) > 2
    for at in places:
        path = tmp_path / f"{at}.db"
        faulty().arm(at, fault, scope)
        try:
            with pytest.raises(sqlite3.OperationalError, match=r"disk I/O|full"):
                create(path)
        finally:
            faulty().disarm()
        if 0 < path.stat().st_size <= 65_536 and not any(path.read_bytes()[:16_384]):
            # No damage: there is no database yet.
            for look in (lumocrypt.info, lambda path: lumocrypt.verify(path, key=key)):
                with pytest.raises(lumocrypt.CryptError, match="creation was interrupted") as caught:
                    look(path)
                assert type(caught.value) is lumocrypt.CryptError
        create(path)
        verdict = lumocrypt.verify(path, key=key)
        assert verdict.ok
        assert not verdict.warnings
