"""Keys that come and go, by a program that relies on a change once a call has returned, and not before."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import lumocrypt
from support.known_keys import RAW

from .flavour import numbered_key
from .session import Session

_ALWAYS = lumocrypt.Key.raw(RAW)
_labels = itertools.count()


def add_key(session: Session, number: int) -> None:
    """The numbered key opens the database, too."""
    key = numbered_key(number)
    _change(
        session,
        lambda: lumocrypt.add_key(session.path, key=_ALWAYS, new_key=key, label=_label(number)),
        lambda: _slot_of(session, number) is not None,
    )


def change_key(session: Session, old: int, new: int) -> None:
    """A numbered key takes the place of another."""
    before, after = numbered_key(old), numbered_key(new)
    _change(
        session,
        lambda: lumocrypt.change_key(session.path, key=before, new_key=after, label=_label(new)),
        lambda: _slot_of(session, new) is not None,
    )


def remove_key(session: Session, number: int) -> None:
    """A numbered key opens the database no more."""
    _change(
        session,
        lambda: lumocrypt.remove_key(session.path, key=_ALWAYS, slot=_slot_of(session, number)),
        lambda: _slot_of(session, number) is None,
    )


def _label(number: int) -> str:
    return f"key {number}"


def _slot_of(session: Session, number: int) -> int | None:
    slots = lumocrypt.keyslots(session.path)
    return next((slot.index for slot in slots if slot.label == _label(number)), None)


def _change(session: Session, change: Callable[[], object], done: Callable[[], bool]) -> None:
    def attempt() -> None:
        if done():
            # An attempt failed after it had changed what can be read. A change that succeeds includes it.
            lumocrypt.label_key(session.path, f"label {next(_labels)}", key=_ALWAYS, slot=0)
        else:
            change()

    session.patiently(attempt)
