"""Signals: Ctrl-C ends a statement or clears a line; SIGTERM and SIGHUP end the shell."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Generator
from typing import Any

#: How many instructions of SQLite's virtual machine run between two looks at the signals: some 0.1 ms.
INTERVAL = 10_000


class Ended(BaseException):
    """SIGTERM or SIGHUP came. Not an Exception: nothing but the end of the shell is to handle it."""


class Interrupts(contextlib.AbstractContextManager["Interrupts"]):
    """While it is entered, signals become exceptions; in a statement at its end, which they bring about.

    Python runs signal handlers between its own instructions, and SQLite runs for minutes without one. So
    SQLite calls :meth:`wanted` as its progress handler.
    """

    def __init__(self) -> None:
        self._in_statement = False
        self._pending: type[BaseException] | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _handle(self, number: int, _: object) -> None:
        cause = KeyboardInterrupt if number == signal.SIGINT else Ended
        # The second one does not wait: the statement may hang in something that is not SQLite's.
        if self._in_statement and self._pending is None:
            self._pending = cause
        else:
            raise cause

    def wanted(self) -> bool:
        """SQLite's progress handler: whether the statement is to end."""
        return self._pending is not None

    def check(self) -> None:
        """Raises what came, between two rows."""
        if self._pending is not None:
            raise self._pending

    @contextlib.contextmanager
    def statement(self) -> Generator[None, None, None]:
        """A statement runs. Raises KeyboardInterrupt or Ended in place of the error that they lead to."""
        self._in_statement = True
        try:
            yield
        finally:
            self._in_statement = False
            pending, self._pending = self._pending, None
            if pending is not None:
                raise pending
