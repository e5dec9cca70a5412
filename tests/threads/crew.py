"""Threads that repeat their work until time is up, and a watchdog that notices one that does not come back."""

from __future__ import annotations

import faulthandler
import os
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

#: Seconds without a round after which a thread counts as stuck: more than a busy machine takes.
STALL = 30.0
_TICK = 0.1

#: What SQLite answers where connections are in each other's way.
EXPECTED = ("locked", "busy", "interrupted")

Work = Callable[[Random], None]


class Crew:
    """Runs each of ``work`` in a thread of its own, over and over."""

    def __init__(self, work: Sequence[Work], seed: int = 1) -> None:
        self._work = work
        self._seed = seed
        self._rounds = [0] * len(work)
        self._stop = threading.Event()
        self.refused: Counter[str] = Counter()
        self.errors: list[BaseException] = []

    def run(self, seconds: float, beside: Callable[[], None] | None = None) -> int:
        """Works for ``seconds``, while the calling thread does ``beside``; returns how many rounds that were.

        Raises the first error that is none of :data:`EXPECTED`. Ends the process with exit code 3, and all stacks
        on stderr, if a thread gets stuck.
        """
        threads = [
            threading.Thread(target=self._repeat, args=(i,), daemon=True) for i in range(len(self._work))
        ]
        moved = [time.monotonic()] * len(threads)
        seen = list(self._rounds)
        end = time.monotonic() + seconds
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            # The engine, or SQLite, may be stuck with the interpreter's lock; this one needs no interpreter.
            faulthandler.dump_traceback_later(2 * STALL, exit=True)
            now = time.monotonic()
            if now >= end or self.errors:
                self._stop.set()
            elif beside is not None:
                beside()
            for i, rounds in enumerate(self._rounds):
                if rounds != seen[i] or not threads[i].is_alive():
                    seen[i], moved[i] = rounds, time.monotonic()
            if time.monotonic() - min(moved) > STALL:
                self._give_up(moved.index(min(moved)))
            time.sleep(_TICK)
        faulthandler.cancel_dump_traceback_later()
        if self.errors:
            raise self.errors[0]
        return sum(self._rounds)

    def _repeat(self, number: int) -> None:
        random = Random(f"{self._seed} {number}")
        try:
            while not self._stop.is_set():
                try:
                    self._work[number](random)
                except sqlite3.Error as error:
                    if not any(word in str(error) for word in EXPECTED):
                        raise
                    self.refused[str(error)] += 1
                self._rounds[number] += 1
        except BaseException as error:  # what a thread raises would be lost
            self.errors.append(error)

    def _give_up(self, number: int) -> None:
        print(
            f"thread {number} has not moved for {STALL:.0f} seconds; rounds: {self._rounds}", file=sys.stderr
        )
        faulthandler.dump_traceback(all_threads=True)
        os._exit(3)
