"""Exit codes. They are promised to scripts: their meanings never change."""

from __future__ import annotations

from ..errors import (
    HeaderDamagedError,
    KeyRequiredError,
    KeySourceError,
    TamperedError,
    WrongDatabaseError,
    WrongKeyError,
)

OK = 0
#: Anything that has no code of its own. KdfLimitError, too: what a header asks for says nothing of the key.
FAILURE = 1
#: The command line itself is wrong.
USAGE = 2
#: The key is wrong, missing or malformed.
KEY = 3
#: Tampering or damage was found, or another database than the one that was asked for.
DAMAGE = 4


def exit_code(error: BaseException) -> int:
    """The code for an error that ends the program."""
    match error:
        case KeyRequiredError() | WrongKeyError() | KeySourceError():
            return KEY
        case TamperedError() | HeaderDamagedError() | WrongDatabaseError():
            return DAMAGE
        case UnicodeDecodeError():
            # A message of SQLite that quotes a file (errors.quoting_files).
            return FAILURE
        case ValueError() | TypeError():
            return USAGE
        case _:
            return FAILURE
