"""``lumocrypt verify``."""

from __future__ import annotations

import click

from ..database.verify import verify as run_verify
from ..pages.damage import describe
from . import exitcodes
from .base import Command
from .options.common import file_argument, json_option
from .options.keys import database_options
from .options.keysource import KeySource
from .output import print_json, progress_bar, say

# Enough to see a pattern; --json has them all.
_SHOWN_PAGES = 20


@click.command(cls=Command)
@file_argument
@json_option
@database_options
def verify(file: str, as_json: bool, key_source: KeySource) -> int:
    """Check every block of FILE and its logs, or every page of an LMDB environment.

    Exit code 4 if anything is damaged.
    """
    opening = key_source.opening(file)
    with progress_bar("verifying", quiet=as_json) as progress:
        result = run_verify(file, **opening, progress=progress)
    code = exitcodes.OK if result.ok else exitcodes.DAMAGE
    if as_json:
        print_json(result)
        return code
    for page in result.damaged[:_SHOWN_PAGES]:
        owner = describe(page)
        say(f"{page}: {page.reason}" + (f" ({owner})" if owner else ""))
    if result.damaged_total > _SHOWN_PAGES:
        say(f"... and {result.damaged_total - _SHOWN_PAGES:,} more")
    for warning in result.warnings:
        say(f"warning: {warning}")
    logs = f", {result.wal_frames:,} WAL frames" if result.wal_frames else ""
    logs += f", {result.journal_extents:,} journal extents" if result.journal_extents else ""
    places = "1 place" if result.damaged_total == 1 else f"{result.damaged_total:,} places"
    checked = f"{result.blocks:,} {'blocks' if result.transaction is None else 'pages'}"
    if result.transaction is not None:
        logs = f" of transaction {result.transaction:,}"
    verdict = "ok" if result.ok else f"DAMAGED in {places}"
    say(f"{result.path}: {verdict}; {checked}{logs} checked, {result.cipher}")
    return code
