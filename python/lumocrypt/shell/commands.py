"""The dot-commands about the database: what is in it, what goes in and out, its keys."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from rich.cells import cell_len

from . import catalog
from .backup import backup
from .dotcommands import CommandError, command
from .dump import dump
from .importing import Import
from .screen import harmless

if TYPE_CHECKING:
    from .shell import Shell

_NO_SECRETS = (
    "what is typed here stays on the screen; it asks for the key on the terminal, without showing it"
)


@command(
    "backup", "Copy the database DB (main) to a new FILE, with the same keys", "[DB] FILE", least=1, most=2
)
def _backup(shell: Shell, arguments: list[str]) -> None:
    *database, file = arguments
    with shell.interrupts.statement():
        backup(shell.session.connection, database[0] if database else "main", os.path.expanduser(file))


@command("databases", "The databases of this connection, and how each is encrypted")
def _databases(shell: Shell, _arguments: list[str]) -> None:
    for name, file in catalog.databases(shell.session.connection):
        status = shell.session.status(name)
        how = f" {status['cipher']}" if status.get("cipher") else ""
        state = status.get("state", "")
        if state not in ("", "unlocked", "plain"):
            how += f" ({state})"
        shell.output.line(f"{shell.output.clean(name)}: {shell.output.clean(file) or '(memory)'}{how}")


@command("dump", "The database, or the tables like PATTERN, as SQL, in clear", "[PATTERN]", most=1)
def _dump(shell: Shell, arguments: list[str]) -> None:
    statements = dump(shell.session.connection, arguments[0] if arguments else None)
    # Closed, so that what it reads under ends with it.
    with shell.interrupts.statement(), contextlib.closing(statements):
        for statement in statements:
            shell.interrupts.check()
            shell.output.line(shell.output.clean(statement))


@command(
    "import",
    "Insert the rows of the CSV file FILE into TABLE, which is created if missing",
    "[--csv] [--skip N] FILE TABLE",
    least=2,
    most=5,
    words=("--csv", "--skip"),
)
def _import(shell: Shell, arguments: list[str]) -> None:
    names: list[str] = []
    skip = 0
    rest = iter(arguments)
    for argument in rest:
        match argument:
            # The only format; said for those who know it from the sqlite3 shell.
            case "--csv" | "-csv":
                pass
            case "--skip" | "-skip":
                number = next(rest, "")
                if not number.isdecimal():
                    raise CommandError("--skip takes a number of lines")
                skip = int(number)
            case _ if argument.startswith("-"):
                raise CommandError(f".import has no option {argument}; it has --csv and --skip N")
            case _:
                names.append(argument)
    if len(names) != 2:
        raise CommandError("usage: .import [--csv] [--skip N] FILE TABLE")
    file, table = names
    job = Import(os.path.expanduser(file), table, skip)
    with shell.interrupts.statement():
        job.run(shell.session.connection, shell.warn, shell.interrupts.check)


@command("indexes", "The indexes, or those of tables like PATTERN", "[PATTERN]", most=1)
def _indexes(shell: Shell, arguments: list[str]) -> None:
    _print_names(shell, catalog.indexes(shell.session.connection, arguments[0] if arguments else None))


@command("lumo-key", "Ask for the key of a locked database", refusal=_NO_SECRETS)
def _lumo_key(shell: Shell, _arguments: list[str]) -> None:
    shell.session.unlock()


@command("lumo-change-key", "Ask for the key and a new one, which replaces it", refusal=_NO_SECRETS)
def _lumo_change_key(shell: Shell, _arguments: list[str]) -> None:
    shell.session.change_key()


@command("open", "Work on another database", "[--readonly] FILE", least=1, most=2, words=("--readonly",))
def _open(shell: Shell, arguments: list[str]) -> None:
    *options, file = arguments
    if options not in ([], ["--readonly"]):
        raise CommandError("usage: .open [--readonly] FILE")
    shell.session.open(os.path.expanduser(file), readonly=bool(options))
    if shell.session.locked:
        shell.remark("the database needs a key: .lumo-key asks for it")


@command("schema", "The definitions, or those of tables like PATTERN", "[PATTERN]", most=1)
def _schema(shell: Shell, arguments: list[str]) -> None:
    for entry in catalog.entries(shell.session.connection, arguments[0] if arguments else None):
        if entry.sql is not None:
            shell.output.line(shell.output.clean(f"{entry.sql};"))


@command("tables", "The tables and views, or those like PATTERN", "[PATTERN]", most=1)
def _tables(shell: Shell, arguments: list[str]) -> None:
    _print_names(shell, catalog.tables(shell.session.connection, arguments[0] if arguments else None))


def _print_names(shell: Shell, names: list[str]) -> None:
    """In columns on a terminal; one in a line for programs."""
    out = shell.output
    if not out.on_terminal or not names:
        for name in names:
            out.line(name)
        return
    names = [harmless(name).replace("\n", " ") for name in names]
    width = max(map(cell_len, names)) + 2
    per_line = max(1, 80 // width)
    rows = -(-len(names) // per_line)
    for row in range(rows):
        cells = names[row::rows]
        out.line("".join(name + " " * (width - cell_len(name)) for name in cells).rstrip())
