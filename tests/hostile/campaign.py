"""Forgeries before actions, as many as are asked for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from .actions import ACTIONS, FOREIGN, SEALED, USAGE, Place, outcome_of
from .conduct import judged
from .forgeries import anything, b_trees, headers, key_of, side_files

#: A derivation takes milliseconds, and what a forged header may ask for not much more.
KDF_LIMIT = "t=8,m=32768,p=8,work=163840"

_LUMOCRYPT = ("encrypted", "checksummed", "keyslots", "rekeying")
_WITH_LOGS = ("wal", "journal", "checksummed wal", "checksummed journal", "rekeying")


@dataclass(frozen=True, slots=True)
class Case:
    """A forgery, and what is done with it."""

    files: Mapping[str, bytes] = field(repr=False)
    key: str | None
    action: str
    group: str

    def run(self) -> None:
        """Raises Misbehaved."""
        run = _ACTIONS[self.group][self.action]
        with tempfile.TemporaryDirectory() as folder:
            for name, content in self.files.items():
                Path(folder, name).write_bytes(content)
            place = Place(Path(folder), self.key)
            judged(self.action, lambda: outcome_of(run, place), usage=self.action in USAGE)


_ACTIONS = {"native": ACTIONS, "foreign": FOREIGN, "sealed": SEALED}


@st.composite
def _cases(draw: st.DrawFn, kind: str) -> Case:
    action_of = {group: st.sampled_from(list(actions)) for group, actions in _ACTIONS.items()}
    match kind:
        case "headers":
            name = draw(st.sampled_from(_LUMOCRYPT))
            return Case(draw(headers(name)), key_of(name), draw(action_of["native"]), "native")
        case "files":
            name = draw(st.sampled_from([*_LUMOCRYPT, *_WITH_LOGS]))
            return Case(draw(anything(name)), key_of(name), draw(action_of["native"]), "native")
        case "side files":
            name = draw(st.sampled_from([*_WITH_LOGS, "encrypted", "keyslots"]))
            return Case(draw(side_files(name)), key_of(name), draw(action_of["native"]), "native")
        case "foreign":
            name = draw(st.sampled_from(["gosqlite", "sqlcipher", "plain"]))
            forged = draw(st.sampled_from([anything, side_files]))(name)
            return Case(draw(forged), key_of(name), draw(action_of["foreign"]), "foreign")
        case _:
            return Case(draw(b_trees()), None, draw(action_of["sealed"]), "sealed")


#: Sorts of forgeries.
KINDS = ("headers", "files", "side files", "foreign", "b-trees")


def run(kind: str, examples: int, number: int | None = None) -> None:
    """So many cases of one of KINDS; the same ones each time, unless there is a ``number`` to start from.

    Raises Misbehaved for the smallest case that hypothesis finds.
    """
    before = os.environ.get("LUMO_KDF_LIMIT")
    os.environ["LUMO_KDF_LIMIT"] = KDF_LIMIT
    phases = [Phase.generate] if number is None else [Phase.generate, Phase.shrink]

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=number is None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
    @given(_cases(kind))
    def trials(case: Case) -> None:
        case.run()

    try:
        (trials if number is None else seed(number)(trials))()
    finally:
        if before is None:
            del os.environ["LUMO_KDF_LIMIT"]
        else:
            os.environ["LUMO_KDF_LIMIT"] = before
