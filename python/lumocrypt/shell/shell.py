"""The shell: runs SQL and dot-commands, from a terminal or a script, and says what failed."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

from ..errors.names import shown
from . import commands as _commands
from . import dotcommands
from . import switches as _switches
from .completion import Completer
from .dotcommands import COMMANDS, CommandError, QuitError
from .history import History
from .importing import ImportFailedError
from .interrupts import INTERVAL, Ended, Interrupts
from .modes import MODES, Result, Row
from .output import Output
from .screen import Paint, harmless
from .session import Session
from .settings import Settings
from .statements import Splitter, Statement
from .terminal import Terminal

# Imported for the dot-commands that they define.
_ = (_commands, _switches)

#: How deep `.read` may be nested: a script that reads itself ends with an error.
_DEEPEST_READ = 25
#: What may go wrong with a statement or a command without the shell being wrong.
_EXPECTED = (
    sqlite3.Error,
    sqlite3.Warning,
    OSError,
    ValueError,
    OverflowError,
    MemoryError,
    CommandError,
    ImportFailedError,
)


class _BailError(Exception):
    """A script is to stop, because something in it has failed."""


class Shell:
    """One shell on one :class:`~lumocrypt.shell.session.Session`."""

    def __init__(
        self,
        session: Session,
        settings: Settings,
        *,
        output: TextIO,
        errors: TextIO,
        grade: Callable[[BaseException], int],
    ) -> None:
        """``grade`` gives the exit code for an error; of several the highest counts."""
        self.session = session
        self.settings = settings
        self.output = Output(output)
        self.interrupts = Interrupts()
        self._errors = errors
        self._paint = Paint.of(errors)
        self._grade = grade
        self._interactive = False
        self._code = 0
        self._depth = 0
        session.watch(self.interrupts.wanted, INTERVAL)

    # Sources of commands. Each returns the exit code.

    def run_arguments(self, texts: Iterable[str]) -> int:
        """Runs each text, as from the command line; the first error is the end."""
        self.settings.bail = True
        return self._run(lambda: [self._script(text.split("\n"), None) for text in texts])

    def run_script(self, lines: Iterable[str]) -> int:
        """Runs a script to its end, or with ``.bail on`` to its first error."""
        return self._run(lambda: self._script(lines, ""))

    def _run(self, body: Callable[[], object]) -> int:
        with self.interrupts:
            try:
                body()
                self._finish()
            except QuitError as quit_:
                self._finish()
                return self._code if quit_.code is None else quit_.code
            except _BailError:
                self._finish()
            except Ended:
                # As for any other command.
                raise KeyboardInterrupt from None
        return self._code

    def _finish(self) -> None:
        try:
            self.output.to_standard()
        except OSError as error:
            self._report(error, "")
        self.output.flush()

    def read(self, path: str) -> None:
        """Runs the script at ``path``; raises OSError."""
        if self._depth >= _DEEPEST_READ:
            raise CommandError(f"{shown(path)}: .read is nested more than {_DEEPEST_READ} deep")
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            self._depth += 1
            try:
                self._script(file, path)
            finally:
                self._depth -= 1

    def _script(self, lines: Iterable[str], name: str | None) -> None:
        """``name`` is the file's, empty for standard input; None means that the user sees the text anyway."""
        splitter = Splitter()

        def at(line: int) -> str:
            if name is None:
                return ""
            return f"{shown(name)}:{line}: " if name else f"near line {line}: "

        for number, raw in enumerate(lines, start=1):
            line = raw.removeprefix("\ufeff") if number == 1 else raw
            line = line.removesuffix("\n")
            if not splitter.pending and line[:1] in (".", "#"):
                splitter.count_line()
                self._try_command(line, at(number))
                continue
            for statement in splitter.feed(line):
                self._try_statement(statement, at(statement.line))
        for statement in splitter.finish():
            self._try_statement(statement, at(statement.line))

    def _try_command(self, line: str, at: str) -> None:
        if line.startswith("#"):
            return
        self._try(lambda: dotcommands.run(self, line.rstrip()), at)

    def _try_statement(self, statement: Statement, at: str) -> None:
        self._try(lambda: self._execute(statement.text), at)

    def _try(self, body: Callable[[], None], at: str) -> None:
        try:
            body()
        except BrokenPipeError:
            # Nobody reads the results any more.
            raise
        except _EXPECTED as error:
            self._report(error, at)
            if self.settings.bail and not self._interactive:
                raise _BailError from None

    def _execute(self, sql: str) -> None:
        start, used = time.perf_counter(), os.times()
        try:
            with (
                self.interrupts.statement(),
                contextlib.closing(self.session.connection.execute(sql)) as cursor,
            ):
                self._show(cursor)
            self.session.check_attached()
        finally:
            self.output.result_over()
        if self.settings.timer:
            now = os.times()
            real, user, system = time.perf_counter() - start, now.user - used.user, now.system - used.system
            self.output.line(f"Run Time: real {real:.3f} user {user:.6f} sys {system:.6f}")

    def _show(self, cursor: sqlite3.Cursor) -> None:
        names = [column[0] for column in cursor.description or ()]
        rows = self._rows(cursor)
        first = next(rows, None)
        if first is not None:
            MODES[self.settings.mode](
                Result(names, itertools.chain([first], rows)), self.settings, self.output
            )

    def _rows(self, cursor: sqlite3.Cursor) -> Iterator[Row]:
        # To the end also where rows have no columns: some pragmas work step by step.
        for row in cursor:
            self.interrupts.check()
            if row:
                yield row

    # What goes to standard error

    def _report(self, error: BaseException, at: str) -> None:
        if not self._interactive:
            self._code = max(self._code, self._grade(error))
        self._say(self._paint.error("Error:"), at + _words(error))

    def warn(self, text: str) -> None:
        """Says something that is not as it should be, but no failure."""
        self._say("Warning:", text)

    def remark(self, text: str) -> None:
        """Says something that helps a person, and is no result."""
        self._say("", text)

    def _say(self, heading: str, text: str) -> None:
        self.output.flush()
        self._errors.write(f"{heading} {harmless(text)}\n" if heading else f"{harmless(text)}\n")
        self._errors.flush()

    # The terminal

    def interact(self, history: History | None, banner: str) -> int:
        """Reads from the terminal until Ctrl-D or ``.quit``; errors do not count for the exit code."""
        self._interactive = True
        words = {f".{command.name}": command.words for command in COMMANDS.values()}
        terminal = Terminal(Completer(lambda: self.session.connection, words), history)
        self.output.line(self.output.clean(banner))
        return self._run(lambda: self._converse(terminal))

    def _converse(self, terminal: Terminal) -> None:
        splitter = Splitter()
        typed: list[str] = []
        while True:
            try:
                line = terminal.read(self._prompt(splitter.pending))
            except EOFError:
                self.output.line()
                return
            except KeyboardInterrupt:
                self.output.line()
                splitter.clear()
                typed.clear()
                continue
            typed.append(line)
            try:
                self._take(line, splitter, terminal, typed)
            except KeyboardInterrupt:
                self._say(self._paint.error("Error:"), "interrupted")
                splitter.clear()
            if not splitter.pending:
                typed.clear()

    def _take(self, line: str, splitter: Splitter, terminal: Terminal, typed: list[str]) -> None:
        is_command = not splitter.pending and line[:1] in (".", "#")
        statements = [] if is_command else splitter.feed(line)
        if not splitter.pending:
            try:
                terminal.remember(typed)
            except OSError as error:
                self.warn(f"the history is not kept any more: {_words(error)}")
        if is_command:
            self._try_command(line, "")
        for statement in statements:
            self._try_statement(statement, "")

    def _prompt(self, pending: bool) -> str:
        text = "lumocrypt"
        if self.session.locked:
            text += " (locked)"
        elif self.session.connection.in_transaction:
            text += " (transaction)"
        prompt = "...> ".rjust(len(text) + 2) if pending else f"{text}> "
        return self.output.standard_paint.prompt(prompt)


def _words(error: BaseException) -> str:
    """What went wrong, for a person."""
    if isinstance(error, UnicodeEncodeError):
        return "the statement is not UTF-8 text"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__
