"""``lumocrypt salvage``."""

from __future__ import annotations

import click

from ..salvaging.salvage import SalvagedTable, SalvageResult
from ..salvaging.salvage import salvage as run_salvage
from . import exitcodes
from .base import Command
from .options.common import destination_argument, json_option, source_argument
from .options.keys import database_options
from .options.keysource import KeySource
from .output import print_json, progress_bar, say


@click.command(cls=Command)
@source_argument
@destination_argument(required=True)
@click.option("--plain", is_flag=True, help="leave the result in clear")
@json_option
@database_options
def salvage(source: str, destination: str, plain: bool, as_json: bool, key_source: KeySource) -> int:
    """Copy what is left of the damaged database SOURCE to the new database DESTINATION.

    The result has the same keys. Exit code 4 if anything was lost; the result is there all the same.
    """
    opening = key_source.opening(source)
    with progress_bar("salvaging", quiet=as_json) as progress:
        result = run_salvage(source, destination, **opening, plain=plain, progress=progress)
    code = exitcodes.OK if result.ok else exitcodes.DAMAGE
    if as_json:
        print_json(result)
    else:
        _report(result)
    return code


def _report(result: SalvageResult) -> None:
    for table in result.tables:
        if table.rows_lost != 0 or table.pages_lost:
            say(f"table {table.name}: {table.rows:,} rows saved, {_loss(table)}")
    for name in result.rebuilt:
        say(f"index {name}: damaged, made anew")
    for text in result.not_created:
        say(f"not created: {text}")
    for text in result.lost_commits:
        say(f"log: {text}")
    if result.unknown_pages:
        say(f"{result.unknown_pages:,} more unreadable pages, of what is not known")
    if result.lost_and_found:
        say(f"{result.lost_and_found_rows:,} rows went to table {result.lost_and_found}")
    for text in result.warnings:
        say(f"warning: {text}")
    for text in result.problems:
        say(f"integrity check: {text}")
    rows = sum(table.rows for table in result.tables)
    verdict = "nothing was lost" if result.ok else "something was LOST"
    saved = f"{rows:,} rows of {len(result.tables):,} tables saved"
    say(f"{result.source} -> {result.destination}: {saved}; {verdict}")


def _loss(table: SalvagedTable) -> str:
    pages = f"{table.pages_lost:,} unreadable page" + ("s" if table.pages_lost != 1 else "")
    if table.rows_lost is None:
        return f"an unknown number lost in {pages}"
    if not table.rows_lost:
        return f"none lost in {pages}"
    return f"about {table.rows_lost:,} lost in {pages}"
