"""What the TAB key can make of a line."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterable

from . import catalog
from .keywords import KEYWORDS
from .values import identifier

#: What a word that is completed cannot hold. A hyphen can be in dot-commands and files, a dot in names.
DELIMITERS = " \t\n\"'`,;()=<>+*|&!%"

#: Dot-commands whose arguments are files, tables, or words of their own.
_FILES = frozenset({".read", ".open", ".output", ".once", ".backup", ".import"})
_TABLES = frozenset({".schema", ".dump", ".tables", ".indexes", ".import"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Completer:
    """Finds the words that a line can go on with."""

    def __init__(
        self, connection: Callable[[], sqlite3.Connection], commands: dict[str, tuple[str, ...]]
    ) -> None:
        """``commands`` are the dot-commands, dot included, and the words that each takes."""
        self._connection = connection
        self._commands = commands

    def candidates(self, line: str, word: str) -> list[str]:
        """The completions of ``word``, with which ``line`` ends so far."""
        if line.startswith("."):
            return self._of_command(line, word)
        keywords = () if "." in word else _matching(_cased(word), word)
        return sorted({*keywords, *_matching(self._names(), word)})

    def _of_command(self, line: str, word: str) -> list[str]:
        command, _, rest = line.partition(" ")
        if not rest and line == word:
            return sorted(name for name in self._commands if name.startswith(word))
        found = list(_matching(self._commands.get(command, ()), word))
        if command in _FILES:
            found += _files(word)
        if command in _TABLES:
            found += _matching(self._tables(), word)
        return sorted(set(found))

    def _tables(self) -> list[str]:
        try:
            return [name for name in catalog.tables(self._connection()) if _NAME.fullmatch(name)]
        except sqlite3.Error:
            # A locked or damaged database says so when it is used, not when a key is pressed.
            return []

    def _names(self) -> list[str]:
        """Tables and columns, as far as they need no quotes."""
        try:
            columns = catalog.columns(self._connection())
        except sqlite3.Error:
            columns = []
        return [name for name in (*self._tables(), *columns) if identifier(name) == name]


def _cased(word: str) -> Iterable[str]:
    """Keywords, in lower case if that is how the word begins."""
    return (keyword.lower() for keyword in KEYWORDS) if word[:1].islower() else KEYWORDS


def _matching(words: Iterable[str], word: str) -> Iterable[str]:
    # Behind the dot of a qualified name only its last part counts.
    before, dot, last = word.rpartition(".")
    return (before + dot + found for found in words if found.lower().startswith(last.lower()))


def _files(word: str) -> list[str]:
    folder, name = os.path.split(word)
    try:
        with os.scandir(os.path.expanduser(folder) or ".") as entries:
            return [
                os.path.join(folder, entry.name) + ("/" if entry.is_dir() else "")
                for entry in entries
                if entry.name.startswith(name) and (name.startswith(".") or not entry.name.startswith("."))
                if entry.name.isprintable()
            ]
    except OSError:
        return []
