"""SQLite's values as text: for people, and as SQL."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from .screen import ACTIVE

#: What a column of a row holds.
Value = int | float | str | bytes | None

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def undecoded(text: bytes) -> str:
    """A TEXT value; bytes that are not UTF-8 become lone surrogates, from which they can be had again."""
    return text.decode("utf-8", "surrogateescape")


def shown(value: Value, null: str = "") -> str:
    """A value for people: REALs with 15 digits as SQLite converts them to text, BLOBs as ``X'...'``."""
    match value:
        case None:
            return null
        case float():
            return _real(value, ".15g")
        case bytes():
            return blob(value)
        case _:
            return str(value)


def _real(value: float, form: str) -> str:
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    text = format(value, form)
    mantissa, exponent, digits = text.partition("e")
    # A REAL is told from an INTEGER by its point.
    return (mantissa if "." in mantissa else mantissa + ".0") + exponent + digits


def blob(value: bytes) -> str:
    """A BLOB literal."""
    return f"X'{value.hex()}'"


def literal(value: Value) -> str:
    """A value as an SQL expression that gives exactly it.

    In a database of any encoding, but for bytes that are not UTF-8, which only a UTF-8 database can hold.
    """
    match value:
        case None:
            return "NULL"
        case float():
            # Out of range for a literal: SQLite reads it as infinity.
            return ("9.0e+999" if value > 0 else "-9.0e+999") if math.isinf(value) else _exact(value)
        case bytes():
            return blob(value)
        case str():
            return _text_literal(value)
        case _:
            return str(value)


def _exact(value: float) -> str:
    # SQLite before 3.43 reads 15 digits exactly and may be wrong in the last bit of shorter ways to write a
    # number with 17; of as many digits as its own quote() uses it is sure.
    short = _real(value, ".15g")
    return short if float(short) == value else _real(value, ".20e")


def _text_literal(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return f"CAST({blob(text.encode('utf-8', 'surrogateescape'))} AS TEXT)"
    # A literal ends at a NUL.
    pieces = [("'" + piece.replace("'", "''") + "'") for piece in text.split("\0")]
    return pieces[0] if len(pieces) == 1 else "(" + "||char(0)||".join(pieces) + ")"


def identifier(name: str) -> str:
    """A name as SQL, quoted only where it has to be."""
    from .keywords import KEYWORDS

    if _PLAIN_NAME.fullmatch(name) and name.upper() not in KEYWORDS:
        return name
    return quoted(name)


def quoted(name: str) -> str:
    """A name as SQL, quoted."""
    return '"' + name.replace('"', '""') + '"'


def as_json(value: Value) -> str:
    """A value as JSON; BLOBs and what JSON has no number for become strings."""
    converted: Any = value
    match value:
        case bytes():
            converted = blob(value)
        case float() if math.isinf(value):
            # As SQLite's own json_quote(): out of range, and so infinity to most readers.
            return "9e999" if value > 0 else "-9e999"
        case str():
            converted = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        case _:
            pass
    text = json.dumps(converted, ensure_ascii=False)
    # JSON lets these stand for themselves; a terminal would act upon them.
    return ACTIVE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
