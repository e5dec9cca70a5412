"""Lines from a terminal: editing, history and completion by GNU readline, where Python has it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from .completion import DELIMITERS, Completer
from .history import History, may_hold_key

try:
    import readline as _found_readline
except ImportError:
    _found_readline = None
# Typed as on Linux, where it is there or not.
_readline: Any = _found_readline


class Terminal:
    """Where a person types."""

    def __init__(self, completer: Completer, history: History | None) -> None:
        """Without ``history`` nothing is kept beyond this shell, and nothing is read."""
        self._completer = completer
        self._history = history
        self._found: list[str] = []
        if _readline is None:
            return
        # Lines are remembered one by one when it is known that no key is in them.
        _readline.set_auto_history(False)
        _readline.clear_history()
        for line in history.lines if history else ():
            _readline.add_history(line)
        _readline.set_completer_delims(DELIMITERS)
        _readline.set_completer(self._complete)
        _readline.parse_and_bind("tab: complete")

    def read(self, prompt: str) -> str:
        """A line without its end. Raises EOFError and KeyboardInterrupt for Ctrl-D and Ctrl-C."""
        sys.stdout.flush()
        return input(prompt)

    def remember(self, lines: Sequence[str]) -> None:
        """Keeps the lines of a command or statement, unless they may hold a key.

        Raises OSError if the file cannot be written; it is not tried again.
        """
        if may_hold_key("\n".join(lines)):
            return
        if _readline is not None:
            for line in lines:
                if line.strip():
                    _readline.add_history(line)
        history, self._history = self._history, None
        if history is not None:
            history.add(lines)
            self._history = history

    def _complete(self, word: str, state: int) -> str | None:
        # readline asks for one candidate after the other, and swallows exceptions.
        if state == 0:
            line = _readline.get_line_buffer()[: _readline.get_endidx()]
            self._found = self._completer.candidates(line, word)
        return self._found[state] if state < len(self._found) else None
