"""What text of a key brings along from where it was kept, and is no part of it."""

from __future__ import annotations

_BYTE_ORDER_MARK = "\ufeff"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def bare(text: str) -> str:
    """``text`` without a byte order mark in front and without the end of the line behind, if there is one.

    Editors and shells of some systems write them: a line ends in ``\\n``, ``\\r\\n`` or, where a script of
    another system has lost its newline, ``\\r``. The engine does so to ``LUMO_KEY`` (Key::from_variable).
    """
    text = text.removeprefix(_BYTE_ORDER_MARK).removesuffix("\n")
    return text.removesuffix("\r")


def is_utf16(text: bytes) -> bool:
    """Whether ``text`` says of itself that it is UTF-16, which keys are not."""
    return text.startswith(_UTF16_MARKS)
