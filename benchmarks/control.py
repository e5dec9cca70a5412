"""Measures subjects beside their control, plaintext against plaintext, which says whether to believe it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .measured import Measured, is_void
from .results import Record
from .subjects import SUBJECTS

#: How often as many pairs are added where the control is void; a trial of few pairs gets none. All of them
#: count: on a busy machine more pairs say more than other ones.
REPEATS = 2
ENOUGH_PAIRS = 5

#: Seconds of the base and of a subject, and whether the base comes first.
Pair = Callable[[str, bool], tuple[float, float]]


def beside_control(
    kind: str, subjects: Sequence[str], name: str, pairs: int, pair: Pair, details: Mapping[str, Any]
) -> list[Record]:
    """Ratios of subjects that share a control, which is one of them."""
    attempts = 1 + (REPEATS if pairs >= ENOUGH_PAIRS else 0)
    found = [Measured(subject, name) for subject in subjects]
    for attempt in range(1, attempts + 1):
        for number in range((attempt - 1) * pairs, attempt * pairs):
            # Side by side, so that the control sees the same machine as they do.
            for one in found:
                one.pairs.append(pair(one.subject, number % 2 == 0))
        void = is_void(one for one in found if SUBJECTS[one.subject].control)
        for one in found:
            print(f"{one}{' VOID' if void else ''}", file=sys.stderr, flush=True)
        if not void or attempt == attempts:
            more = {**details, "attempts": attempt}
            return [_record(kind, one, void=void, details=more) for one in found]
    raise AssertionError


def alternating(
    base: str, subject: str, base_first: bool, seconds: Callable[[str], float]
) -> tuple[float, float]:
    """Seconds of both, in that order or the other."""
    if base_first:
        first = seconds(base)
        return first, seconds(subject)
    second = seconds(subject)
    return seconds(base), second


def _record(kind: str, measured: Measured, *, void: bool, details: Mapping[str, Any]) -> Record:
    low, high = measured.interval
    seconds = [[round(base, 4), round(subject, 4)] for base, subject in measured.pairs]
    return Record(
        kind=kind,
        subject=measured.subject,
        name=measured.workload,
        value=round(measured.ratio, 4),
        unit="ratio",
        interval=(round(low, 4), round(high, 4)),
        void=void,
        details={**details, "seconds": seconds},
    )
