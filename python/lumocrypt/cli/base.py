"""What all commands are made of."""

from __future__ import annotations

import click


def _help_option(option: click.Option | None) -> click.Option | None:
    """Click's own ``--help``, worded as the other options are."""
    if option is not None:
        option.help = "show this message and exit"
    return option


class Command(click.Command):
    """A command."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        return _help_option(super().get_help_option(ctx))


class Group(click.Group):
    """A command that has commands."""

    command_class = Command

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        return _help_option(super().get_help_option(ctx))
