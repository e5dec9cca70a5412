"""Keys in AWS KMS: a keyslot is opened by a data key that only the key-management service can unwrap.

The header holds the wrapped data key and the ARN of the KMS key that wrapped it. Whoever can change the
header could name a KMS key of their own there, and read what is written from then on; so the caller names
the KMS key, and what the header says only counts where it is the same.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import re
import struct
import threading
from collections.abc import Generator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, final
from uuid import UUID

from ..errors import KeySourceError, NotEncryptedError, WrongKeyError, make
from .inspection import inspect
from .key import RAW_KEY_BYTES, Hidden, Key, RemoteKey, Wrapped

_EXTRA = "lumocrypt[kms]"

# A key and no alias: whoever may change an alias could point it at another key. The forms are those of
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awskeymanagementservice.html
_ARN = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]{1,128}")

# Provider data (docs/reference/format.md, section 2.2.1): mark, UUID, key id, lengths of ARN and ciphertext.
_MARK = b"aws1"
_HEAD = struct.Struct("<4s16s16sHH")
#: The room that a keyslot has for provider data, in bytes.
PROVIDER_MAX = 784

# Seconds. What boto3 does by default, five times a minute, looks like a hang.
_TIMEOUTS = {"connect_timeout": 5, "read_timeout": 10}
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Envelope:
    """The provider data of a keyslot that AWS KMS opens."""

    #: The KMS key.
    arn: str
    #: UUID and key id of the database that the keyslot was made for: the encryption context. A copy that
    #: `VACUUM INTO` makes has another UUID, and after a change of the data key there is another key id.
    uuid: bytes
    key_id: bytes
    #: The data key, as GenerateDataKey wrapped it.
    ciphertext: bytes

    def encode(self) -> bytes:
        """The bytes in the keyslot. Raises ValueError if they are too many."""
        arn = self.arn.encode("ascii")
        head = _HEAD.pack(_MARK, self.uuid, self.key_id, len(arn), len(self.ciphertext))
        encoded = head + arn + self.ciphertext
        if len(encoded) > PROVIDER_MAX:
            raise ValueError(f"the wrapped data key has {len(self.ciphertext)} bytes, too many for a keyslot")
        return encoded

    @classmethod
    def decode(cls, provider: bytes) -> Envelope | None:
        """Reads a keyslot's provider data; None if it is not of this form."""
        if len(provider) < _HEAD.size:
            return None
        mark, uuid, key_id, arn_length, length = _HEAD.unpack_from(provider)
        arn = provider[_HEAD.size :][:arn_length].decode("ascii", "replace")
        ciphertext = provider[_HEAD.size + arn_length :]
        if mark != _MARK or len(ciphertext) != length or _ARN.fullmatch(arn) is None:
            return None
        return cls(arn, uuid, key_id, ciphertext)

    @property
    def context(self) -> dict[str, str]:
        """KMS's encryption context: authenticated with the ciphertext, shown in the service's audit log."""
        return {"lumocrypt:uuid": str(UUID(bytes=self.uuid)), "lumocrypt:key_id": self.key_id.hex()}


@final
class KmsKey(RemoteKey):
    """A symmetric AWS KMS key, usable wherever a key is; needs ``lumocrypt[kms]``.

    ``arn`` is the ARN of the key itself, ``arn:aws:kms:REGION:ACCOUNT:key/ID``, and not of an alias.
    Opening a database needs the permission ``kms:Decrypt``, and a new keyslot ``kms:GenerateDataKey``, both
    with the encryption context of :class:`Envelope`. Credentials are found as boto3 finds them; ``client``
    is a KMS client of boto3 to use instead of a default one.

    The service is asked once per keyslot and object: what it answered is kept in the engine's locked memory.

    Raises ValueError for another form of ARN.
    """

    __slots__ = ("_arn", "_client", "_lock", "_opened", "_theirs")

    def __init__(self, arn: str, *, client: Any = None) -> None:
        if _ARN.fullmatch(arn) is None:
            raise ValueError(
                f"not the ARN of a KMS key: {arn!r}; give arn:aws:kms:REGION:ACCOUNT:key/ID, which "
                "`aws kms describe-key` shows for an alias"
            )
        self._arn = arn
        self._client: Any = client
        self._theirs = client is not None
        self._lock = threading.Lock()
        self._opened: dict[bytes, Key] = {}

    @property
    def arn(self) -> str:
        """The ARN."""
        return self._arn

    @property
    def kind(self) -> str:
        """``"kms"``."""
        return "kms"

    def __repr__(self) -> str:
        return f"<lumocrypt.KmsKey {self._arn}>"

    def __reduce__(self) -> tuple[type[KmsKey], tuple[str]]:
        # The other process asks the service itself.
        if self._theirs:
            raise TypeError("a KmsKey with a client of its own cannot be pickled")
        return KmsKey, (self._arn,)

    def unwrap(self, path: str) -> Key:
        """The key of the first keyslot of ``path`` that names this KMS key, and that the service unwraps.

        Raises WrongKeyError if no keyslot names it; KeySourceError, with what boto3 raised as its cause, if
        the service does not unwrap it; NotEncryptedError, HeaderDamagedError, UnsupportedFormatError.
        """
        slots = inspect(path).keyslots
        if not slots:
            raise make(
                NotEncryptedError,
                "a key was given, and this file is only checksummed: it takes none",
                path=path,
            )
        envelopes = (Envelope.decode(slot.provider) for slot in slots if slot.type == "kms")
        mine = [envelope for envelope in envelopes if envelope is not None and envelope.arn == self._arn]
        if not mine:
            raise make(
                WrongKeyError,
                f"no keyslot names the KMS key {self._arn}; `lumocrypt key list` shows which ones they name",
                path=path,
            )
        with self._lock:
            for envelope in mine:
                if envelope.ciphertext in self._opened:
                    return self._opened[envelope.ciphertext]
            *others, last = mine
            for envelope in others:
                # One of several keyslots under the same KMS key may be beyond use.
                with contextlib.suppress(KeySourceError):
                    return self._decrypt(envelope, path)
            return self._decrypt(last, path)

    def wrap(self, uuid: bytes, key_id: bytes) -> Wrapped:
        """A fresh data key for a keyslot of the database with this UUID and key id.

        Raises KeySourceError, with what boto3 raised as its cause.
        """
        unnamed = Envelope(self._arn, uuid, key_id, b"")
        with self._lock:
            ciphertext, secret = self._call(
                "generate_data_key", KeySpec="AES_256", EncryptionContext=unnamed.context
            )
            envelope = Envelope(self._arn, uuid, key_id, ciphertext)
            key = Key.raw(secret.raw())
            self._opened[ciphertext] = key
        return Wrapped(key, envelope.encode())

    def _decrypt(self, envelope: Envelope, path: str) -> Key:
        _, secret = self._call(
            "decrypt",
            path,
            CiphertextBlob=envelope.ciphertext,
            EncryptionContext=envelope.context,
        )
        key = Key.raw(secret.raw())
        self._opened[envelope.ciphertext] = key
        return key

    def _call(self, operation: str, path: str | None = None, **arguments: Any) -> tuple[bytes, Hidden]:
        """Ciphertext and plaintext of the service's answer."""
        client = self._connected()
        try:
            with _unlogged():
                answer = _Answer(getattr(client, operation)(KeyId=self._arn, **arguments))
        except Exception as error:
            # boto3's own classes, and whatever a client of the caller's raises.
            raise self._unusable(f"{operation}: {error}", path) from error
        if answer.key != self._arn:
            raise self._unusable(f"{operation}: the service used another key, {answer.key}", path)
        if answer.length != RAW_KEY_BYTES:
            raise self._unusable(f"{operation}: the data key has {answer.length} bytes", path)
        return answer.ciphertext, answer.plaintext

    def _connected(self) -> Any:
        if self._client is None:
            try:
                boto3: Any = importlib.import_module("boto3")
                config: Any = importlib.import_module("botocore.config")
            except ImportError as error:
                raise make(
                    KeySourceError, f"keys in AWS KMS need the package boto3: pip install '{_EXTRA}'"
                ) from error
            settings = config.Config(
                retries={"mode": "standard", "total_max_attempts": _ATTEMPTS}, **_TIMEOUTS
            )
            region = self._arn.split(":")[3]
            try:
                self._client = boto3.client("kms", region_name=region, config=settings)
            except Exception as error:
                raise self._unusable(str(error), None) from error
        return self._client

    def _unusable(self, reason: str, path: str | None) -> Exception:
        return make(KeySourceError, f"AWS KMS does not give the key of {self._arn}: {reason}", path=path)


class _Answer:
    """What KMS answered, with the plaintext out of sight."""

    __slots__ = ("ciphertext", "key", "length", "plaintext")

    def __init__(self, answer: dict[str, Any]) -> None:
        self.length = len(answer["Plaintext"])
        self.plaintext = Hidden(answer.pop("Plaintext"))
        self.ciphertext: bytes = answer.get("CiphertextBlob", b"")
        self.key: str = answer["KeyId"]


# The AWS library logs each response, plaintext included, if somebody turned its debug messages on.
_SILENT: ContextVar[bool] = ContextVar("lumocrypt_kms_silent", default=False)
_LOGGERS = ("botocore.parsers", "botocore.endpoint")


def _may_log(record: logging.LogRecord) -> bool:
    return not _SILENT.get() or record.levelno > logging.DEBUG


@contextlib.contextmanager
def _unlogged() -> Generator[None, None, None]:
    """Keeps the AWS library's debug messages of this call out of all logs."""
    for name in _LOGGERS:
        # Adding it again changes nothing.
        logging.getLogger(name).addFilter(_may_log)
    token = _SILENT.set(True)
    try:
        yield
    finally:
        _SILENT.reset(token)
