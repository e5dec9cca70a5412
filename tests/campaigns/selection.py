"""Which scenarios a command line means."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable


def add_only(parser: argparse.ArgumentParser) -> None:
    """The option ``--only``; without it every scenario is meant."""
    parser.add_argument("--only", default="", help="a regular expression for names of scenarios")


def chosen(names: Iterable[str], only: str) -> list[str]:
    """Those of ``names``, in their order, in which the regular expression is found."""
    return [name for name in names if re.search(only, name)]
