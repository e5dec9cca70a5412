"""Pairs of times, and what they say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from statistics import median

#: Resamplings of the ratios, for the interval.
RESAMPLES = 2000
#: A control outside of this says that nothing can be said.
CONTROL = (0.97, 1.03)


def interval_of(values: Sequence[float]) -> tuple[float, float]:
    """Where 95 % of the medians of resampled values lie."""
    random = Random(1)
    medians = sorted(median(random.choices(values, k=len(values))) for _ in range(RESAMPLES))
    tail = RESAMPLES // 40
    return medians[tail], medians[-tail - 1]


@dataclass(slots=True)
class Measured:
    """A workload of a subject, in ratios to its base."""

    subject: str
    workload: str
    #: Seconds of the base and of the subject, pair by pair.
    pairs: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])

    @property
    def ratios(self) -> list[float]:
        """Subject by base, pair by pair."""
        return [subject / base for base, subject in self.pairs]

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios."""
        return median(self.ratios)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the ratio."""
        return interval_of(self.ratios)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.workload:24} {self.subject:20} {self.ratio:.3f} ({low:.3f}-{high:.3f})"


def is_void(controls: Iterable[Measured]) -> bool:
    """Whether what was measured beside these controls, plaintext against plaintext, is worth nothing."""
    low, high = CONTROL
    return any(not low <= control.ratio <= high for control in controls)
