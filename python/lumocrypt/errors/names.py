"""Names of files as text that people read."""

from __future__ import annotations

import re

# What is no text, or acts on a terminal: C0, DEL, C1, and lone surrogates, which stand for bytes that are not
# UTF-8 (PEP 383).
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def shown(name: str) -> str:
    """A name for messages, always valid UTF-8 and on one line: ``caf\\xe9.db`` is the name with that byte."""
    return _HIDDEN.sub(_escaped, name)


def valid(text: str) -> str:
    """``text`` with what UTF-8 cannot hold escaped as :func:`shown` does, for JSON."""
    return _SURROGATE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if 0xD800 <= code <= 0xDFFF:
        return f"\\u{code:04x}"
    return "".join(f"\\x{byte:02x}" for byte in found[0].encode())
