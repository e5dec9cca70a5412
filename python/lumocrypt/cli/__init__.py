"""The command line. See :mod:`lumocrypt.cli.exitcodes` for what its exit codes mean.

Each command is in the module of its name, which is loaded when the command is run: ``lumocrypt --help``
loads none.
"""

from __future__ import annotations

import importlib
import signal
import sqlite3
import sys
import threading
from collections.abc import Sequence

import click

from . import exitcodes
from .base import Group

#: The commands, and what the list of them says: the first sentence of each one's own help.
COMMANDS = {
    "bench": "measure what ciphers and passphrases cost on this machine",
    "convert": "move the encrypted database SOURCE to another format or key, in place or to DESTINATION",
    "decrypt": "decrypt the database SOURCE, in place or to DESTINATION",
    "encrypt": "encrypt the plaintext database SOURCE, in place or to DESTINATION",
    "header": "copy the header of a database, without which no key opens it, and put it back",
    "import-sqlcipher": "copy the SQLCipher 4 database SOURCE to the new database DESTINATION",
    "info": "show what the header of FILE says",
    "key": "list and change the keys that open a database",
    "rekey": "give FILE a new data key and seal every block with it, while others use it",
    "salvage": "copy what is left of the damaged database SOURCE to the new database DESTINATION",
    "shell": "run SQL and dot-commands on the database FILE, which is created if it does not exist",
    "verify": "check every block of FILE and its logs, or every page of an LMDB environment",
}


class _Commands(Group):
    """The commands, each loaded when it is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(f"{__name__}.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        room = formatter.width - 6 - max(map(len, COMMANDS))
        with formatter.section("Commands"):
            formatter.write_dl([(name, _short(text, room)) for name, text in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        from .options.environment import KeyEnvironment

        ctx.obj = KeyEnvironment.take()
        return super().invoke(ctx)


def _short(text: str, room: int) -> str:
    """A help text as click shortens it to a line."""
    return click.Command(None, help=text).get_short_help_str(room)


def _show_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"lumocrypt {version('lumocrypt')}")
        ctx.exit()


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="show the version and exit",
)
def cli() -> None:
    """Encryption at rest for SQLite databases.

    A key comes from --key-file, --key-fd, --key-stdin, --keyring or --kms, else from the environment variable
    LUMO_KEY, else from a prompt. Its text is a passphrase, or x'<64 hex digits>' for a raw key; one trailing
    newline is not part of it. The new key of a command that has one comes from --new-key-file and so on,
    LUMO_NEW_KEY, or a prompt. If both come from the same descriptor, each is a line: the key, then the new
    key.

    Exit codes: 0 ok, 1 failure, 2 usage, 3 wrong or missing key, 4 tampering or damage found.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in arguments
    if threading.current_thread() is threading.main_thread():
        # As Ctrl-C: an unfinished file, which may be in clear, is removed.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)
    try:
        # Not cli.main(): it would print errors, and an interrupt, in a form of its own.
        with cli.make_context("lumocrypt", arguments) as context:
            result: object = cli.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return exitcodes.USAGE
    except click.ClickException as error:
        code = exitcodes.USAGE if isinstance(error, click.UsageError) else exitcodes.FAILURE
        return _failed(error, code, as_json)
    except (click.Abort, KeyboardInterrupt):
        return _failed(KeyboardInterrupt(), exitcodes.FAILURE, as_json)
    except (sqlite3.Error, OSError, ValueError, TypeError, MemoryError) as error:
        return _failed(error, exitcodes.exit_code(error), as_json)
    return result if isinstance(result, int) else exitcodes.OK


def _failed(error: BaseException, code: int, as_json: bool) -> int:
    from .output import print_error

    print_error(error, code, as_json=as_json)
    return code
