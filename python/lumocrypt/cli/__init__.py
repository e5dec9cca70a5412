"""The command line. See :mod:`lumocrypt.cli.exitcodes` for what its exit codes mean."""

from __future__ import annotations

import signal
import sqlite3
import sys
import threading
from collections.abc import Sequence

import click

from .. import __version__
from . import exitcodes
from .conversion import convert, decrypt, encrypt
from .header import header
from .importing import import_sqlcipher
from .inspection import info, verify
from .keyslots import key
from .keysource import KeyEnvironment
from .measuring import bench
from .output import print_error
from .recovery import salvage
from .rekeying import rekey
from .shell import shell


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="lumocrypt", message="%(prog)s %(version)s")
def cli() -> None:
    """Encryption at rest for SQLite databases.

    A key comes from --key-file, --key-fd, --key-stdin, --keyring or --kms, else from the environment variable
    LUMO_KEY, else from a prompt. Its text is a passphrase, or x'<64 hex digits>' for a raw key; one trailing
    newline is not part of it. The new key of a command that has one comes from --new-key-file and so on,
    LUMO_NEW_KEY, or a prompt. If both come from the same descriptor, each is a line: the key, then the new
    key.

    Exit codes: 0 ok, 1 failure, 2 usage, 3 wrong or missing key, 4 tampering or damage found.
    """


for _command in (
    encrypt,
    decrypt,
    convert,
    verify,
    salvage,
    info,
    key,
    header,
    rekey,
    shell,
    bench,
    import_sqlcipher,
):
    cli.add_command(_command)


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
        with cli.make_context("lumocrypt", arguments, obj=KeyEnvironment.take()) as context:
            result: object = cli.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return exitcodes.USAGE
    except click.ClickException as error:
        code = exitcodes.USAGE if isinstance(error, click.UsageError) else exitcodes.FAILURE
        print_error(error, code, as_json=as_json)
        return code
    except (click.Abort, KeyboardInterrupt):
        print_error(KeyboardInterrupt(), exitcodes.FAILURE, as_json=as_json)
        return exitcodes.FAILURE
    except (sqlite3.Error, OSError, ValueError, TypeError, MemoryError) as error:
        code = exitcodes.exit_code(error)
        print_error(error, code, as_json=as_json)
        return code
    return result if isinstance(result, int) else exitcodes.OK
