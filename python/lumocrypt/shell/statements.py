"""Lines of input, put together to SQL statements."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass

# What a semicolon may hide in, and how it ends; SQLite's tokenizer (tokenize.c) knows these.
_OPENERS = re.compile(r"""['"`\[]|--|/\*|;""")
_CLOSERS = {"'": "'", '"': '"', "`": "`", "[": "]", "--": "\n", "/*": "*/"}
_BLANK = re.compile(r"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?(?:\*/|\Z)|;)*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement."""

    text: str
    #: The number of the line of input that it begins in, from 1.
    line: int


class Splitter:
    """Takes lines and gives the statements that are complete; each character is looked at once."""

    def __init__(self) -> None:
        self._line = 0
        self.clear()

    def clear(self) -> None:
        """Forgets what has been begun."""
        self._text = ""
        self._scanned = 0
        # What the text is inside of at the place that has been scanned.
        self._inside: str | None = None
        self._first_line = self._line + 1

    @property
    def line(self) -> int:
        """How many lines were taken."""
        return self._line

    @property
    def pending(self) -> bool:
        """Whether a statement has been begun and is not complete."""
        return self._inside is not None or not is_blank(self._text)

    def count_line(self) -> None:
        """A line was read that is no SQL."""
        self._line += 1
        self._first_line = self._line + 1

    def feed(self, line: str) -> list[Statement]:
        """Takes one line, without its end, and returns the statements that it completes."""
        if not self.pending:
            self.clear()
        self._line += 1
        self._text += line + "\n"
        found: list[Statement] = []
        begin = 0
        while (end := self._next_semicolon()) is not None:
            candidate = self._text[begin:end]
            # Semicolons within CREATE TRIGGER do not end it.
            if _is_complete(candidate):
                found += self._statement(candidate)
                self._first_line += candidate.count("\n")
                begin = end
        self._text = self._text[begin:]
        self._scanned -= begin
        return found

    def finish(self) -> list[Statement]:
        """The input is over: what has been begun counts as a statement, as a last one needs no semicolon."""
        found = self._statement(self._text)
        self.clear()
        return found

    def _statement(self, text: str) -> list[Statement]:
        blank = _BLANK.match(text)
        start = 0 if blank is None else blank.end()
        if start == len(text):
            return []
        return [Statement(text.strip(), self._first_line + text.count("\n", 0, start))]

    def _next_semicolon(self) -> int | None:
        """Where the text behind the next semicolon begins that is part of no string, name or comment."""
        while True:
            if self._inside is None:
                opener = _OPENERS.search(self._text, self._scanned)
                if opener is None:
                    # The last character may be the first half of what opens a comment; but lines come whole.
                    self._scanned = len(self._text)
                    return None
                self._scanned = opener.end()
                if opener[0] == ";":
                    return self._scanned
                self._inside = opener[0]
            closer = _CLOSERS[self._inside]
            end = self._text.find(closer, self._scanned)
            if end < 0:
                self._scanned = len(self._text)
                return None
            # A doubled quote closes and opens again, which comes to the same.
            self._scanned = end + len(closer)
            self._inside = None


def _is_complete(text: str) -> bool:
    try:
        return sqlite3.complete_statement(text)
    except ValueError:
        # A NUL, or bytes that are not UTF-8: no SQL, which executing it will say.
        return True


def is_blank(text: str) -> bool:
    """Whether there is nothing in ``text`` but blanks, comments and semicolons."""
    blank = _BLANK.match(text)
    return blank is not None and blank.end() == len(text)
