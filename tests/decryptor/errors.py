"""What the decryptor raises. One class for each thing that can be wrong with the files."""

from __future__ import annotations


class DecryptorError(Exception):
    """Base of all."""


class NotALumocryptFileError(DecryptorError):
    """The file is something else, a plaintext database for example."""


class HeaderDamagedError(DecryptorError):
    """No copy of the superblock, or of the WAL cell, can be trusted."""


class UnsupportedFormatError(DecryptorError):
    """Another version, an unknown suite or an unknown flag."""


class WrongKeyError(DecryptorError):
    """The key opens no keyslot."""


class UnauthenticError(DecryptorError):
    """A sealed block does not open: damaged, changed, or in the wrong place."""


class LostLogError(DecryptorError):
    """The database names a WAL that is not there."""


class ForeignLogError(DecryptorError):
    """A log of another database, of another key, of another time, or a plaintext one."""


class MalformedError(DecryptorError):
    """Authentic bytes that make no sense: the writer was at fault, not the storage."""
