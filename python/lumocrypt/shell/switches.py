"""The dot-commands about the shell itself: how results look and where they go, scripts, help, the end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .dotcommands import COMMANDS, CommandError, QuitError, command, find, switch
from .modes import MODES, WITH_HEADERS

if TYPE_CHECKING:
    from .shell import Shell

_ON_OFF = ("on", "off")


@command("bail", "Stop a script at its first error", "on|off", least=1, most=1, words=_ON_OFF)
def _bail(shell: Shell, arguments: list[str]) -> None:
    shell.settings.bail = switch("bail", arguments[0])


@command("exit", "Leave, with an exit code if one is given", "[CODE]", most=1)
def _exit(_shell: Shell, arguments: list[str]) -> None:
    if not arguments:
        raise QuitError
    if not arguments[0].isdecimal() or int(arguments[0]) > 255:
        raise CommandError(f".exit takes a number from 0 to 255, not {arguments[0]}")
    raise QuitError(int(arguments[0]))


@command("headers", "Show the names of columns or not", "on|off", least=1, most=1, words=_ON_OFF)
def _headers(shell: Shell, arguments: list[str]) -> None:
    shell.settings.headers = switch("headers", arguments[0])


@command("help", "This list, or what is known of one command", "[COMMAND]", most=1)
def _help(shell: Shell, arguments: list[str]) -> None:
    chosen = [find(arguments[0].removeprefix("."))] if arguments else COMMANDS.values()
    for one in sorted(chosen, key=lambda one: one.name):
        shell.output.line(f"{f'.{one.name} {one.usage}':<34} {one.summary}")


@command(
    "mode",
    "How rows are shown; `insert` writes INSERT statements for TABLE",
    "MODE [TABLE]",
    most=2,
    words=tuple(MODES),
)
def _mode(shell: Shell, arguments: list[str]) -> None:
    if not arguments:
        shell.output.line(f"mode: {shell.settings.mode}")
        return
    mode, table = arguments[0], arguments[1:]
    if mode not in MODES:
        raise CommandError(f"the modes are {', '.join(MODES)}; {mode} is none of them")
    if table and mode != "insert":
        raise CommandError(f".mode {mode} takes no table")
    shell.settings.mode = mode
    shell.settings.insert_table = table[0] if table else "table"
    shell.settings.separator = "|"
    if mode in WITH_HEADERS:
        shell.settings.headers = True


@command("nullvalue", "What stands for NULL", "TEXT", least=1, most=1)
def _nullvalue(shell: Shell, arguments: list[str]) -> None:
    shell.settings.null = arguments[0]


@command("once", "Send the next result to FILE, in clear", "FILE", least=1, most=1)
def _once(shell: Shell, arguments: list[str]) -> None:
    shell.output.to_file(os.path.expanduser(arguments[0]), shell.session.path, once=True)


@command("output", "Send results to FILE, in clear; without FILE, here again", "[FILE]", most=1)
def _output(shell: Shell, arguments: list[str]) -> None:
    if not arguments or arguments[0] == "stdout":
        shell.output.to_standard()
    else:
        shell.output.to_file(os.path.expanduser(arguments[0]), shell.session.path)


@command("print", "Print TEXT", "TEXT...", most=1000)
def _print(shell: Shell, arguments: list[str]) -> None:
    shell.output.line(shell.output.clean(" ".join(arguments)))


@command("quit", "Leave")
def _quit(_shell: Shell, _arguments: list[str]) -> None:
    raise QuitError


@command("read", "Run the SQL and dot-commands in FILE", "FILE", least=1, most=1)
def _read(shell: Shell, arguments: list[str]) -> None:
    shell.read(os.path.expanduser(arguments[0]))


@command("separator", "What is between columns in list mode", "TEXT", least=1, most=1)
def _separator(shell: Shell, arguments: list[str]) -> None:
    shell.settings.separator = arguments[0].replace("\\t", "\t").replace("\\n", "\n")


@command("show", "The settings")
def _show(shell: Shell, _arguments: list[str]) -> None:
    settings = shell.settings
    rows = {
        "bail": "on" if settings.bail else "off",
        "filename": shell.session.path,
        "headers": "on" if settings.headers else "off",
        "mode": settings.mode + (f" {settings.insert_table}" if settings.mode == "insert" else ""),
        "nullvalue": repr(settings.null),
        "output": shell.output.name,
        "separator": repr(settings.separator),
        "timer": "on" if settings.timer else "off",
    }
    for name, value in rows.items():
        shell.output.line(f"{name:>12}: {shell.output.clean(value)}")


@command("timer", "Show how long statements take", "on|off", least=1, most=1, words=_ON_OFF)
def _timer(shell: Shell, arguments: list[str]) -> None:
    shell.settings.timer = switch("timer", arguments[0])
