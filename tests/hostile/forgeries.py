"""Changes that somebody without a key can make, as hypothesis strategies."""

from __future__ import annotations

import hashlib
import struct

from hypothesis import strategies as st

from support.layout import CELL_A, CELL_B, CELL_USED, COPY, DIGEST_AT, HEADER, KEYSLOT, KEYSLOTS_AT

from .originals import NAME, Original, original

#: The fields of a superblock and of a keyslot: offset, length in bytes (docs/reference/format.md, section 2).
SUPERBLOCK_FIELDS = {
    "magic": (0, 16),
    "version": (16, 4),
    "length": (20, 4),
    "generation": (24, 8),
    "uuid": (32, 16),
    "key id": (48, 16),
    "suite": (64, 4),
    "block size": (68, 4),
    "flags": (72, 8),
    "reserved": (80, 8),
    "link": (512, 168),
}
KEYSLOT_FIELDS = {
    "kind": (0, 4),
    "zero": (4, 4),
    "created": (8, 8),
    "kdf": (16, 4),
    "t": (20, 4),
    "m": (24, 4),
    "p": (28, 4),
    "salt": (32, 32),
    "commitment": (64, 32),
    "nonce": (96, 24),
    "wrapped": (120, 48),
    "label length": (168, 4),
    "label": (172, 64),
    "provider length": (236, 4),
    "provider": (240, 784),
}
_SLOTS = 12
_MAC_AT, _SHA256 = 16320, 32
_CELL_MAC_AT = CELL_USED - _SHA256
_PREAMBLE, _PREAMBLE_DIGEST = 128, 96
_SUITE_AT, _CHECKSUM = 64, 7

#: What acts on a terminal, or looks as if it were something else.
_TEXTS = (
    b"\x1b[2J\x1b]0;title\x07",
    b"\x9b31m",
    "\u202etxt.exe".encode(),
    b"a\nlumocrypt: ok",
    b"\0",
    b"\xff\xfe",
)
#: An envelope of AWS KMS, as far as its head goes.
_ARN = b"arn:aws:kms:eu-west-1:111122223333:key/" + b"0" * 36
_ENVELOPE = b"aws1" + bytes(32) + struct.pack("<HH", len(_ARN), 669) + _ARN


def edges(length: int) -> st.SearchStrategy[bytes]:
    """A number of ``length`` bytes where something may change or overflow, little-endian."""
    most = 1 << (8 * length)
    bits = (7, 8, 15, 16, 20, 24, 31, 32, 33, 47, 62, 63, 64)
    near = {(1 << bit) + off for bit in bits for off in (-1, 0, 1)}
    known = sorted(
        value for value in {0, 1, 2, 3, 4, 7, 12, 64, 512, 784, 4096, 19456, most - 1, *near} if value < most
    )
    numbers = st.one_of(st.sampled_from(known), st.integers(0, most - 1))
    return numbers.map(lambda value: value.to_bytes(length, "little"))


def values(length: int) -> st.SearchStrategy[bytes]:
    """What may stand in a field of ``length`` bytes."""
    if length <= 8:
        return edges(length)
    texts = st.sampled_from([*_TEXTS, _ENVELOPE]).map(lambda text: text[:length].ljust(length, b"\0"))
    return st.one_of(st.binary(min_size=length, max_size=length), texts, st.just(bytes(length)))


@st.composite
def _keyslot(draw: st.DrawFn) -> tuple[int, bytes]:
    """A whole keyslot that makes sense, with any values."""
    kind = draw(st.sampled_from([1, 2, 3]))
    costs = st.tuples(
        st.integers(1, 4), st.sampled_from([32, 64, 19456, 1 << 20, (1 << 32) - 1]), st.integers(1, 4)
    )
    kdf = struct.pack("<IIII", 1, *draw(costs)) if kind == 1 else bytes(16)
    label = draw(st.one_of(st.text(max_size=16).map(str.encode), st.sampled_from(_TEXTS)))[:64]
    provider = draw(st.sampled_from([_ENVELOPE, b"", b"aws1"])) if kind == 3 else b""
    provider += draw(st.binary(max_size=8)) * 40 if provider == _ENVELOPE else b""
    slot = (
        struct.pack("<IIQ", kind, 0, draw(st.one_of(st.integers(0, 1 << 34), st.integers(0, (1 << 64) - 1))))
        + kdf
    )
    slot += draw(st.binary(min_size=136, max_size=136))
    slot += struct.pack("<I", len(label)) + label.ljust(64, b"\0")
    slot += struct.pack("<I", len(provider[:784])) + provider[:784].ljust(784, b"\0")
    return KEYSLOTS_AT + KEYSLOT * draw(st.integers(0, _SLOTS - 1)), slot


@st.composite
def _header_patch(draw: st.DrawFn) -> tuple[int, bytes]:
    if draw(st.integers(0, 3)) == 0:
        return draw(_keyslot())
    if draw(st.booleans()):
        at, length = draw(st.sampled_from(sorted(SUPERBLOCK_FIELDS.values())))
    else:
        at, length = draw(st.sampled_from(sorted(KEYSLOT_FIELDS.values())))
        at += KEYSLOTS_AT + KEYSLOT * draw(st.integers(0, _SLOTS - 1))
    return at, draw(values(length))


def resealed(content: bytearray, *, clear: bool) -> None:
    """Makes right the digests of a header, which need no key, and the MACs if it is ``clear``."""
    for copy in (0, COPY):
        if len(content) < copy + COPY:
            return
        if clear:
            mac = hashlib.sha256(content[copy : copy + _MAC_AT]).digest()
            content[copy + _MAC_AT : copy + _MAC_AT + _SHA256] = mac
        digest = hashlib.sha256(content[copy : copy + DIGEST_AT]).digest()
        content[copy + DIGEST_AT : copy + DIGEST_AT + _SHA256] = digest
    for cell in (CELL_A, CELL_B) if clear and len(content) >= HEADER else ():
        mac = hashlib.sha256(content[cell : cell + _CELL_MAC_AT]).digest()
        content[cell + _CELL_MAC_AT : cell + CELL_USED] = mac


@st.composite
def headers(draw: st.DrawFn, name: str) -> dict[str, bytes]:
    """The files of an original with fields of its header replaced."""
    files = dict(original(name).files)
    which = draw(st.sampled_from([NAME, "header"])) if "header" in files else NAME
    content = bytearray(files[which])
    copies = draw(st.sampled_from([(0, COPY), (0,), (COPY,)]))
    for at, value in draw(st.lists(_header_patch(), min_size=1, max_size=4)):
        for copy in copies:
            content[copy + at : copy + at + len(value)] = value
    if draw(st.booleans()):
        cell = draw(st.sampled_from([CELL_A, CELL_B]))
        at = 8 * draw(st.integers(0, CELL_USED // 8 - 1))
        content[cell + at : cell + at + 8] = draw(edges(8))
    if draw(st.integers(0, 9)):
        clear = content[_SUITE_AT : _SUITE_AT + 4] == struct.pack("<I", _CHECKSUM)
        resealed(content, clear=clear)
    files[which] = bytes(content)
    return files


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Any bytes of a file changed, moved, cut or made more."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        size = len(changed)
        at = draw(st.integers(0, max(size - 1, 0)))
        match draw(st.sampled_from(["number", "number", "bytes", "cut", "more", "repeat"])):
            case "number":
                # Fields of logs and of SQLite are aligned, and mostly in front.
                at = draw(st.one_of(st.integers(0, 63), st.just(at // 4))) * 4
                value = draw(edges(draw(st.sampled_from([1, 2, 4, 8]))))
                value = value if draw(st.booleans()) else value[::-1]
                changed[at : at + len(value)] = value
            case "bytes":
                value = draw(st.binary(min_size=1, max_size=64))
                changed[at : at + len(value)] = value
            case "cut":
                del changed[at:]
            case "more":
                changed += draw(st.binary(max_size=64)) * draw(st.integers(1, 100))
            case _:
                other = draw(st.integers(0, max(size - 1, 0)))
                piece = changed[other : other + draw(st.sampled_from([24, 128, 512, 552, 4096]))]
                changed[at : at + len(piece)] = piece
    return bytes(changed)


@st.composite
def side_files(draw: st.DrawFn, name: str) -> dict[str, bytes]:
    """The files of an original with one of those beside the database damaged, or foreign."""
    files = dict(original(name).files)
    beside = sorted(set(files) - {NAME})
    which = draw(st.sampled_from([*beside, NAME + "-wal", NAME + "-journal", NAME + "-lumo-rekey"]))
    content = bytearray(draw(damaged(files.get(which) or files[draw(st.sampled_from(beside or [NAME]))])))
    if draw(st.booleans()) and len(content) >= _PREAMBLE:
        digest = hashlib.sha256(content[:_PREAMBLE_DIGEST]).digest()
        content[_PREAMBLE_DIGEST:_PREAMBLE] = digest
    files[which] = bytes(content)
    return files


@st.composite
def anything(draw: st.DrawFn, name: str) -> dict[str, bytes]:
    """The files of an original with the database itself damaged."""
    files = dict(original(name).files)
    files[NAME] = draw(damaged(files[NAME]))
    return files


@st.composite
def b_trees(draw: st.DrawFn) -> dict[str, bytes]:
    """A plaintext database of which pages say something else: to be sealed as it is."""
    content = bytearray(original("plain").files[NAME])
    page_size = 512
    pages = len(content) // page_size
    for _ in range(draw(st.integers(1, 5))):
        page = draw(st.integers(0, pages - 1))
        # A page's header and its pointers, or its cells, which begin at its end; numbers of pages in front.
        within = draw(st.one_of(st.integers(0, 24), st.integers(0, page_size - 1)))
        at = page * page_size + within + (100 if page == 0 and within < 100 and draw(st.booleans()) else 0)
        number = st.integers(0, pages + 1)
        value = draw(
            st.one_of(
                number.map(lambda value: value.to_bytes(4, "big")),
                number.map(lambda value: value.to_bytes(2, "big")),
                edges(1),
                edges(2),
                edges(4),
                st.just(b"\xff" * 9),
                st.binary(min_size=1, max_size=12),
            )
        )
        value = value[: len(content) - at]
        content[at : at + len(value)] = value
    if draw(st.booleans()):
        # Still a database to whoever looks at its beginning.
        content[:20] = original("plain").files[NAME][:20]
    return {NAME: bytes(content)}


def key_of(name: str) -> str | None:
    """The text of the key of an original."""
    return original(name).key


__all__ = ["Original", "anything", "b_trees", "headers", "key_of", "side_files"]
