"""The header region: superblock, keyslots, cells, link (docs/reference/format.md, sections 2.1 to 2.4)."""

from __future__ import annotations

import hmac
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from .errors import (
    HeaderDamagedError,
    MalformedError,
    NotALumocryptFileError,
    UnauthenticError,
    UnsupportedFormatError,
    WrongKeyError,
)
from .primitives import (
    Keys,
    Suite,
    argon2id,
    hkdf_sha256,
    sha256,
    suite_by_id,
    xchacha20_poly1305_open,
)

REGION = 65536
COPY = 16384
CELL_OFFSETS = (0x8000, 0x9000)
LENGTH_OFFSETS = (0xA000, 0xB000)
CELLS_END = 0xC000
CELL = 4096
MAGIC = b"lumocrypt\x00\x0d\x0a\x1a\x0a\x00\x00"
SLOTS, SLOT = 12, 1024
PASSPHRASE, RAW, KMS = 1, 2, 3
#: The flag of a change of the data key, and where the link to the older one is.
REKEYING = 1
#: The flag of a database with a length cell, whose cells are written in pairs.
KEEPS_LENGTH = 2
#: The flag of an LMDB environment (docs/reference/lmdb-format.md).
LMDB = 4
LINK, LINK_END = 512, 680

#: A passphrase, a raw key, or none (checksum suite).
Secret = str | bytes | None


def _zero(data: bytes, what: str) -> None:
    if any(data):
        raise MalformedError(f"{what} is not zero")


@dataclass(frozen=True, slots=True)
class Keyslot:
    index: int
    type: int
    created: int
    t: int
    m: int
    p: int
    label: str
    raw: bytes

    @classmethod
    def parse(cls, index: int, raw: bytes) -> Keyslot | None:
        kind, reserved, created, kdf, t, m, p = struct.unpack_from("<IIQIIII", raw)
        if kind == 0:
            _zero(raw, f"empty keyslot {index}")
            return None
        (label_length,) = struct.unpack_from("<I", raw, 168)
        (provider_length,) = struct.unpack_from("<I", raw, 236)
        if kind not in (PASSPHRASE, RAW, KMS) or label_length > 64 or provider_length > 784 or reserved:
            raise MalformedError(f"keyslot {index}")
        if (kdf == 1) != (kind == PASSPHRASE) or (kdf == 0 and (t or m or p)):
            raise MalformedError(f"keyslot {index} has the wrong key derivation for its type")
        _zero(raw[172 + label_length : 236], f"padding of the label of keyslot {index}")
        _zero(raw[240 + provider_length :], f"padding of the provider data of keyslot {index}")
        return cls(index, kind, created, t, m, p, raw[172 : 172 + label_length].decode("utf-8"), raw)

    def unwrap(self, secret: str | bytes, key_id: bytes) -> bytes | None:
        """The data key, or None if the secret is not this slot's."""
        salt = self.raw[32:64]
        if self.type == PASSPHRASE and isinstance(secret, str):
            ikm = argon2id(secret, salt, self.t, self.m, self.p)
        elif self.type in (RAW, KMS) and isinstance(secret, bytes):
            ikm = secret
        else:
            return None
        derived = hkdf_sha256(ikm, salt, b"lumocrypt v1 keyslot", 64)
        wrap, commitment = derived[:32], derived[32:]
        if not hmac.compare_digest(commitment, self.raw[64:96]):
            return None
        wrapped = self.raw[120:168]
        aad = key_id + struct.pack("<I", self.index) + self.raw[:96]
        if self.type == KMS:
            aad += self.raw[236:]
        try:
            return xchacha20_poly1305_open(wrap, self.raw[96:120], wrapped[:32], wrapped[32:], aad)
        except UnauthenticError:
            raise HeaderDamagedError(f"keyslot {self.index} was altered") from None


@dataclass(frozen=True, slots=True)
class Superblock:
    raw: bytes
    generation: int
    uuid: bytes
    key_id: bytes
    suite: Suite
    block_size: int
    keyslots: tuple[Keyslot, ...]
    keeps_length: bool
    #: Empty unless the data key is being changed.
    link: bytes
    #: Whether this is no database of SQLite's but an LMDB environment.
    lmdb: bool

    @classmethod
    def parse(cls, raw: bytes) -> Superblock:
        """An intact copy of version 1."""
        (generation,) = struct.unpack_from("<Q", raw, 24)
        suite, block_size, flags = struct.unpack_from("<IIQ", raw, 64)
        if flags & ~(REKEYING | KEEPS_LENGTH | LMDB):
            raise UnsupportedFormatError(f"flags {flags:#x}")
        if block_size not in (1 << shift for shift in range(9, 17)):
            raise MalformedError(f"block size {block_size}")
        _zero(raw[80:LINK] + raw[LINK_END:1024], "the reserved part of the superblock")
        if not flags & REKEYING:
            _zero(raw[LINK:LINK_END], "the place of a link")
        _zero(raw[13312:16320], "the end of the superblock")
        slots = (Keyslot.parse(i, raw[1024 + i * SLOT : 1024 + (i + 1) * SLOT]) for i in range(SLOTS))
        found = cls(
            raw,
            generation,
            raw[32:48],
            raw[48:64],
            suite_by_id(suite),
            block_size,
            tuple(slot for slot in slots if slot is not None),
            bool(flags & KEEPS_LENGTH),
            raw[LINK:LINK_END] if flags & REKEYING else b"",
            bool(flags & LMDB),
        )
        if not found.suite.keyed and (found.keyslots or any(found.key_id)):
            raise MalformedError("a database without a key has a keyslot or a key id")
        return found

    def unlock(self, secret: Secret) -> Keys:
        if not self.suite.keyed:
            if secret is not None:
                raise WrongKeyError("the database has no key; whatever it says is not protected by yours")
            return Keys(self.suite, self.uuid, self.key_id, b"")
        if secret is None:
            raise WrongKeyError("the database has a key")
        for slot in self.keyslots:
            data_key = slot.unwrap(secret, self.key_id)
            if data_key is not None:
                return Keys(self.suite, self.uuid, self.key_id, data_key)
        raise WrongKeyError("no keyslot opens")

    def authentic(self, keys: Keys) -> bool:
        mac = keys.mac(b"lumocrypt v1 superblock mac", self.raw[:16320])
        return hmac.compare_digest(mac, self.raw[16320:16352])


def older_keys(superblock: Superblock, keys: Keys) -> Keys | None:
    """The keys that ``keys`` are taking the place of; None if they are not."""
    link = superblock.link
    if not link:
        return None
    key_id, (suite, reserved) = link[:16], struct.unpack_from("<II", link, 16)
    if reserved:
        raise MalformedError("the link to the older data key")
    wrap = keys.derive(b"lumocrypt v1 rekey link" + keys.key_id)
    aad = keys.uuid + key_id + keys.key_id + b"\0"
    try:
        data_key = xchacha20_poly1305_open(wrap, link[24:48], link[48:80], link[80:96], aad)
    except UnauthenticError:
        raise HeaderDamagedError("the link to the older data key was altered") from None
    return Keys(suite_by_id(suite), keys.uuid, key_id, data_key)


def _intact(raw: bytes) -> bool:
    (length,) = struct.unpack_from("<I", raw, 20)
    return raw[:16] == MAGIC and length == COPY and sha256(raw[:16352]) == raw[16352:16384]


def intact_copies(region: bytes) -> list[bytes]:
    """The copies that are whole, newest first; UnsupportedFormatError if the newest is of another version."""
    copies = [region[:COPY], region[COPY : 2 * COPY]]
    whole = [copy for copy in copies if _intact(copy)]
    if not whole:
        if not any(copy[:16] == MAGIC for copy in copies):
            raise NotALumocryptFileError("no magic number")
        raise HeaderDamagedError("both copies of the superblock")
    # A stable sort: of two equal copies, A is first.
    whole.sort(key=lambda copy: -struct.unpack_from("<Q", copy, 24)[0])
    versions = [struct.unpack_from("<I", copy, 16)[0] for copy in whole]
    generations = [struct.unpack_from("<Q", copy, 24)[0] for copy in whole]
    if versions[0] != 1 or (len(whole) == 2 and versions[1] != 1 and generations[1] == generations[0]):
        raise UnsupportedFormatError(f"format version {versions[0]}")
    return [copy for copy, version in zip(whole, versions, strict=True) if version == 1]


@dataclass(frozen=True, slots=True)
class Cell:
    sequence: int
    active: bool
    current: bytes
    previous: bytes
    synced_slots: int

    @classmethod
    def parse(cls, raw: bytes, keys: Keys) -> Cell | None:
        """The cell, or None if this copy is not authentic."""
        if raw[:8] != b"lumocell":
            return None
        mac = keys.mac(b"lumocrypt v1 wal cell mac", raw[:192])
        if not hmac.compare_digest(mac, raw[192:224]):
            return None
        sequence, state, reserved = struct.unpack_from("<QII", raw, 8)
        _zero(raw[64:192] + raw[224:], "the reserved part of a WAL cell")
        if state > 1 or reserved or (state == 0 and any(raw[24:40])):
            raise MalformedError("WAL cell")
        (synced_slots,) = struct.unpack_from("<Q", raw, 56)
        return cls(sequence, state == 1, raw[24:40], raw[40:56], synced_slots)


@dataclass(frozen=True, slots=True)
class Length:
    """What must be there: slots of the main file, and frames of one WAL generation."""

    sequence: int
    slots: int
    generation: bytes = bytes(16)
    frames: int = 0

    @classmethod
    def parse(cls, raw: bytes, keys: Keys) -> Length | None:
        """The cell, or None if this copy is not authentic."""
        if raw[:8] != b"lumolong":
            return None
        mac = keys.mac(b"lumocrypt v1 wal cell mac", raw[:192])
        if not hmac.compare_digest(mac, raw[192:224]):
            return None
        _zero(raw[48:192] + raw[224:], "the reserved part of a length cell")
        sequence, slots = struct.unpack_from("<QQ", raw, 8)
        (frames,) = struct.unpack_from("<Q", raw, 40)
        return cls(sequence, slots, raw[24:40], frames)

    def frames_of(self, generation: bytes) -> int:
        return self.frames if generation == self.generation else 0

    def slots_under(self, generation: bytes, main_slots: int) -> int:
        return self.slots if generation == self.generation else max(self.slots, main_slots)


@dataclass(frozen=True, slots=True)
class Header:
    superblock: Superblock
    keys: Keys
    cell: Cell
    length: Length
    #: Those before, while the data key is being changed.
    older: Keys | None = None

    def keys_of(self, key_id: bytes) -> Keys:
        """The keys of a log whose preamble has this key id."""
        return self.older if self.older is not None and key_id == self.older.key_id else self.keys


_Cell = TypeVar("_Cell", Cell, Length)


def newest_first(copies: Iterable[_Cell | None]) -> list[_Cell]:
    """The copies that authenticate."""
    return sorted((copy for copy in copies if copy is not None), key=lambda copy: -copy.sequence)


def open_header(region: bytes, secret: Secret, *, lmdb: bool = False) -> Header:
    """Reads and checks the whole header region of a database or, with ``lmdb``, of an LMDB environment."""
    if len(region) < REGION:
        raise HeaderDamagedError("the header is cut off")
    for copy in intact_copies(region):
        superblock = Superblock.parse(copy)
        if superblock.lmdb != lmdb:
            raise UnsupportedFormatError("an LMDB environment" if superblock.lmdb else "an SQLite database")
        keys = superblock.unlock(secret)
        if superblock.authentic(keys):
            break
    else:
        raise HeaderDamagedError("the superblock does not authenticate")
    older = older_keys(superblock, keys)
    candidates = [one for one in (keys, older) if one is not None]

    parts = [region[at : at + CELL] for at in CELL_OFFSETS]
    cells = newest_first(Cell.parse(part, one) for part in parts for one in candidates)
    if superblock.keeps_length:
        parts = [region[at : at + CELL] for at in LENGTH_OFFSETS]
        lengths = newest_first(Length.parse(part, one) for part in parts for one in candidates)
        _zero(region[CELLS_END:REGION], "the end of the header region")
    else:
        # Written in turn: one copy alone may say less than the other did.
        if len(cells) < 2:
            raise HeaderDamagedError("a WAL cell")
        lengths = [Length(0, cells[0].synced_slots)]
        _zero(region[LENGTH_OFFSETS[0] : REGION], "the end of the header region")
    if not cells or not lengths:
        raise HeaderDamagedError("both copies of a cell")
    return Header(superblock, keys, cells[0], lengths[0], older)


def creation_was_interrupted(start: bytes, size: int) -> bool:
    """Whether the file is a database that never came to be (``start``: its first 64 KiB)."""
    return size <= REGION and not any(start[:COPY])
