"""What the command line prints: results on standard output, errors and progress on standard error."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import click

from ..database.convert import Conversion
from ..engine.native import Progress
from ..errors import UNIT_NAMES
from ..errors.names import shown, valid
from ..keys.inspection import Keyslot
from ..keys.kms import Envelope
from ..shell.screen import harmless


def print_json(result: Any, **more: Any) -> None:
    """One JSON object on standard output, made from a result's dataclass."""
    fields: dict[str, Any] = asdict(result)
    # The name that all of them had goes with the next version.
    for entry in fields.get("damaged", ()):
        entry["page"] = next((entry[name] for name in UNIT_NAMES if entry[name] is not None), None)
    print_fields(**{**more, **fields})


def print_fields(**fields: Any) -> None:
    """One JSON object on standard output."""
    click.echo(json.dumps(_valid(fields), default=_plain, indent=2))


def _valid(value: Any) -> Any:
    """``value`` without lone surrogates, which stand for bytes of names and have no form in JSON."""
    if isinstance(value, str):
        return valid(value)
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        return {valid(name): _valid(member) for name, member in members.items()}
    if isinstance(value, list | tuple):
        return [_valid(member) for member in cast("Sequence[Any]", value)]
    return value


def report_conversion(operation: str, verb: str, done: Conversion, *, as_json: bool) -> None:
    """What a command that makes one file of another has done."""
    if as_json:
        print_json(done, ok=True, operation=operation)
        return
    where = "in place" if done.source == done.destination else f"to {done.destination}"
    suite = f" with {done.cipher}" if done.cipher else ""
    sizes = f"{done.source_size:,} -> {done.destination_size:,} bytes"
    say(f"{verb} {done.source} {where}{suite}: {sizes}")


def say(text: str, *, err: bool = False) -> None:
    """One line, in which nothing acts on a terminal or begins another line: names come from files."""
    click.echo(harmless(shown(text)), err=err)


def describe_keyslot(slot: Keyslot) -> str:
    """A keyslot in a line."""
    made = "at no date that there is" if slot.created is None else f"{slot.created:%Y-%m-%d %H:%M:%S} UTC"
    text = f"{slot.type}, made {made}"
    if slot.label:
        text += f", {slot.label!r}"
    if slot.kdf is not None:
        text += f", Argon2id t={slot.kdf.t} m={slot.kdf.m / 1024:g} MiB p={slot.kdf.p}"
    envelope = Envelope.decode(slot.provider)
    if envelope is not None:
        text += f", {envelope.arn}"
    return text


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def print_error(error: BaseException, code: int, *, as_json: bool) -> None:
    """One line, or one JSON object on one line, on standard error."""
    message = " ".join(_text(error).split())
    if not as_json:
        say(f"lumocrypt: {message}", err=True)
        return
    fields: dict[str, Any] = {
        "ok": False,
        "error": type(error).__name__,
        "message": message,
        "exit_code": code,
    }
    for name in ("path", "file_kind", *UNIT_NAMES, "sqlite_pages"):
        value = getattr(error, name, None)
        if value is not None and value != ():
            fields[name] = value
            if name in UNIT_NAMES:
                fields["page"] = value
    click.echo(json.dumps(_valid(fields), default=str), err=True)


def _text(error: BaseException) -> str:
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, OSError) and error.strerror:
        name = error.filename
        return f"{shown(os.fsdecode(name))}: {error.strerror}" if name else error.strerror
    return str(error) or type(error).__name__


@contextlib.contextmanager
def progress_bar(title: str, *, quiet: bool) -> Generator[Progress | None, None, None]:
    """A progress bar if standard error is a terminal and ``quiet`` is not asked for; else None."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield update
