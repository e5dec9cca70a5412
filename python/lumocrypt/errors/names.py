"""Names of files as text that people read."""

from __future__ import annotations


def shown(name: str) -> str:
    """A name for messages, always valid UTF-8 and on one line: ``caf\\xe9.db`` is the name with that byte."""
    return "".join(_escaped(one) if _is_control(one) or _is_surrogate(one) else one for one in name)


def valid(text: str) -> str:
    """``text`` with what UTF-8 cannot hold escaped as :func:`shown` does, for JSON."""
    return "".join(_escaped(one) if _is_surrogate(one) else one for one in text)


# No regular expressions, whose module is slow to load.


def _is_control(character: str) -> bool:
    """Whether it is no text, or acts on a terminal: C0, DEL, C1."""
    return character < " " or "\x7f" <= character <= "\x9f"


def _is_surrogate(character: str) -> bool:
    """Whether it stands for a byte that is not UTF-8 (PEP 383)."""
    return "\ud800" <= character <= "\udfff"


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if 0xD800 <= code <= 0xDFFF:
        return f"\\u{code:04x}"
    return "".join(f"\\x{byte:02x}" for byte in character.encode())
