"""``lumocrypt shell``."""

from __future__ import annotations

import io
import os
import sqlite3
import sys
from importlib.metadata import version
from typing import TextIO

import click

from ..errors import KeySourceError, make
from ..errors.names import shown
from ..files.paths import absolute, size
from ..keys.kdf import Kdf
from ..keys.key import Key, NoKey, RemoteKey
from ..shell.history import History, default_path
from ..shell.session import MEMORY, Session
from ..shell.settings import Settings
from . import exitcodes
from .base import Command
from .options import keytext
from .options.common import cipher_option, file_argument, kdf_option
from .options.keys import database_options
from .options.keysource import KeySource


@click.command(cls=Command)
@file_argument
@click.argument("sql", nargs=-1)
@click.option("--readonly", is_flag=True, help="write nothing to the database")
@click.option("--mode", metavar="NAME", help="how rows are shown; .help mode")
@click.option("--headers/--no-headers", default=None, help="show the names of columns or not")
@click.option("--bail", is_flag=True, help="stop a script at its first error")
@click.option("--no-history", is_flag=True, help="neither read nor keep what is typed")
@cipher_option("the cipher of a database that is created")
@kdf_option("cost of a passphrase")
@database_options
def shell(
    file: str,
    sql: tuple[str, ...],
    readonly: bool,
    mode: str | None,
    headers: bool | None,
    bail: bool,
    no_history: bool,
    cipher: str | None,
    kdf: Kdf,
    key_source: KeySource,
) -> int:
    """Run SQL and dot-commands on the database FILE, which is created if it does not exist.

    They come from the arguments SQL, else from standard input: typed, with history and completion, or a
    script. Results go to standard output in clear. `.help` lists the dot-commands. With --no-key an
    encrypted FILE is locked until .lumo-key asks for its key.

    Exit codes of scripts: 0 if all went well, 4 if damage was found, 3 for a wrong or missing key, else 1.
    """
    # Here, because the other commands should not wait for it.
    from ..shell.modes import MODES
    from ..shell.shell import Shell

    if mode is not None and mode not in MODES:
        raise click.UsageError(f"--mode {mode} is unknown; the modes are {', '.join(MODES)}")
    interactive = not sql and os.isatty(0)
    settings = Settings.for_people() if interactive else Settings()
    settings.mode = mode or settings.mode
    settings.headers = settings.headers if headers is None else headers
    settings.bail = bail
    if not sql and not interactive and key_source.descriptor == keytext.STDIN:
        raise click.UsageError(
            "standard input cannot be both the key and the script; give the key with --key-file or --key-fd, "
            "or the SQL as an argument"
        )
    key = _key(file, key_source, cipher)
    _as_bytes(sys.stdout)
    session = Session(
        file,
        key,
        ask=_ask,
        readonly=readonly,
        cipher=cipher,
        kdf=kdf,
        kdf_limit=key_source.kdf_limit,
        uuid=key_source.uuid,
        expects_key=key_source.given and not key_source.no_key,
    )
    del key
    try:
        program = Shell(session, settings, output=sys.stdout, errors=sys.stderr, grade=_grade)
        if sql:
            return program.run_arguments(sql)
        if interactive:
            return program.interact(None if no_history else _history(), _banner(session.path))
        with open(0, encoding="utf-8", errors="surrogateescape", newline="\n", closefd=False) as script:
            return program.run_script(script)
    except BrokenPipeError:
        # As a program that dies of SIGPIPE: whoever read the results wants no more of them, and no message.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exitcodes.FAILURE
    finally:
        session.close()


def _key(file: str, source: KeySource, cipher: str | None) -> Key | RemoteKey | NoKey | None:
    """The key of a database that there is, or is to be; none where none is meant, or for now."""
    if file == MEMORY and source.named:
        raise click.UsageError("a database in memory takes no key; name the file that the key is for")
    if file == MEMORY or source.no_key:
        return None
    if size(absolute(file)) == 0 and source.uuid is None:
        return source.of_new(file, cipher)
    return source.existing(file)


def _ask(new: bool) -> Key:
    if not keytext.has_terminal():
        raise make(
            KeySourceError,
            "there is no terminal to ask for the key on; start the shell with --key-file, --key-fd or "
            "LUMO_KEY",
        )
    return keytext.ask(new=new)


def _grade(error: BaseException) -> int:
    code = exitcodes.exit_code(error)
    # What is wrong in a script is no wrong use of the command line.
    return code if code in (exitcodes.KEY, exitcodes.DAMAGE) else exitcodes.FAILURE


def _banner(path: str) -> str:
    versions = f"lumocrypt {version('lumocrypt')}, SQLite {sqlite3.sqlite_version}"
    return (
        f'{versions}: {shown(path)}\nSQL ends with a semicolon; ".help" lists other commands, ".quit" leaves.'
    )


def _history() -> History | None:
    try:
        return History(default_path())
    except (OSError, RuntimeError) as error:
        # A home that is read-only, or nobody's.
        click.echo(f"lumocrypt: no history is kept: {error}", err=True)
        return None


def _as_bytes(stream: TextIO) -> None:
    """Writes text as the database has it, whatever the locale."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8", errors="surrogateescape")
