"""Dot-commands: how a line becomes a command with arguments, and which there are."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .shell import Shell

Run = Callable[["Shell", list[str]], None]


class CommandError(Exception):
    """A dot-command is unknown, or its arguments are wrong."""


class QuitError(Exception):
    """``.quit``: the shell is to end, with the code given, or with that of what has failed."""

    def __init__(self, code: int | None = None) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Command:
    """A dot-command."""

    #: Without the dot.
    name: str
    #: Its arguments, for people.
    usage: str
    #: What it does, in a line.
    summary: str
    run: Run
    #: The fewest and the most arguments.
    least: int = 0
    most: int = 0
    #: Arguments that it takes, for completion.
    words: tuple[str, ...] = ()
    #: Why it takes no argument, for one that somebody might give.
    refusal: str = ""


COMMANDS: dict[str, Command] = {}


def command(
    name: str,
    summary: str,
    usage: str = "",
    *,
    least: int = 0,
    most: int = 0,
    words: tuple[str, ...] = (),
    refusal: str = "",
) -> Callable[[Run], Run]:
    """Makes a function a dot-command."""

    def add(run: Run) -> Run:
        COMMANDS[name] = Command(name, usage, summary, run, least, most, words, refusal)
        return run

    return add


def find(name: str) -> Command:
    """The command of that name, or the only one that begins with it. Raises CommandError."""
    if name in COMMANDS:
        return COMMANDS[name]
    found = [command for known, command in COMMANDS.items() if name and known.startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(f".{one.name}" for one in found)
        raise CommandError(f".{name} could be {names}")
    raise CommandError(f'unknown command .{name}; ".help" lists all')


def run(shell: Shell, line: str) -> None:
    """Runs the dot-command in ``line``. Raises CommandError, QuitError, and what the command does."""
    name, _, rest = line[1:].strip().partition(" ")
    command = find(name)
    if command.refusal and rest:
        # Before it is looked at: it may be a secret, which no message should repeat.
        raise CommandError(f".{command.name} takes no argument: {command.refusal}")
    try:
        arguments = shlex.split(rest)
    except ValueError as error:
        raise CommandError(f".{command.name}: {error}") from None
    if not command.least <= len(arguments) <= command.most:
        raise CommandError(f"usage: .{command.name} {command.usage}".rstrip())
    command.run(shell, arguments)


def switch(name: str, argument: str) -> bool:
    """``on`` or ``off``, as the sqlite3 shell takes them. Raises CommandError."""
    match argument.lower():
        case "on" | "yes" | "true" | "1":
            return True
        case "off" | "no" | "false" | "0":
            return False
        case _:
            raise CommandError(f".{name} is on or off, not {argument}")
