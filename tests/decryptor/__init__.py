"""An independent decryptor for lumocrypt format v1, in pure Python.

It is written from docs/reference/format.md alone and shares no code with the engine or the package, so that
the two check each other and the document.
"""

from .errors import (
    DecryptorError,
    ForeignLogError,
    HeaderDamagedError,
    LostLogError,
    MalformedError,
    NotALumocryptFileError,
    UnauthenticError,
    UnsupportedFormatError,
    WrongKeyError,
)
from .reader import Database, read_database

__all__ = [
    "Database",
    "DecryptorError",
    "ForeignLogError",
    "HeaderDamagedError",
    "LostLogError",
    "MalformedError",
    "NotALumocryptFileError",
    "UnauthenticError",
    "UnsupportedFormatError",
    "WrongKeyError",
    "read_database",
]
