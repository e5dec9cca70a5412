"""Keyslots that AWS KMS opens. The service is moto's; boto3 is the real one."""

from __future__ import annotations

import base64
import copy
import importlib
import json
import logging
import pickle
import shutil
import sqlite3
import struct
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

import lumocrypt
from decryptor.header import open_header
from lumocrypt import Key, KeySourceError, KmsKey
from lumocrypt.cli import main
from lumocrypt.keys.kms import Envelope
from support.keystores import REGION, Kms, kms
from support.known_keys import RAW
from support.plaintext import make_plain

__all__ = ["kms"]

SOME_ARN = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.fixture
def database(tmp_path: Path, kms: Kms) -> Path:
    """A database that only KMS opens."""
    path = make_plain(tmp_path / "app.db", rows=50)
    lumocrypt.encrypt(path, key=KmsKey(kms.arn))
    return path


class Spy:
    """A client of boto3 that remembers what it was asked, and may change what it answers."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.change: dict[str, Any] = {}

    def decrypt(self, **arguments: Any) -> dict[str, Any]:
        self.calls.append(("decrypt", arguments))
        return self._client.decrypt(**arguments) | self.change

    def generate_data_key(self, **arguments: Any) -> dict[str, Any]:
        self.calls.append(("generate_data_key", arguments))
        return self._client.generate_data_key(**arguments) | self.change


def rows(connection: sqlite3.Connection) -> int:
    return connection.execute("SELECT count(*) FROM t").fetchone()[0]


# It works


def test_everywhere_a_key_goes(tmp_path: Path, kms: Kms) -> None:
    key = KmsKey(kms.arn)
    path = make_plain(tmp_path / "app.db", rows=50)
    original = path.read_bytes()
    lumocrypt.encrypt(path, key=key)
    assert [slot.type for slot in lumocrypt.info(path).keyslots] == ["kms"]
    # Objects that remember nothing.
    with closing(lumocrypt.connect(path, key=KmsKey(kms.arn))) as connection:
        assert rows(connection) == 50
    assert lumocrypt.verify(path, key=KmsKey(kms.arn)).ok
    assert lumocrypt.salvage(path, tmp_path / "saved.db", key=KmsKey(kms.arn)).ok
    assert lumocrypt.verify(tmp_path / "saved.db", key=KmsKey(kms.arn)).ok
    lumocrypt.unlock(path, KmsKey(kms.arn))
    with closing(lumocrypt.connect(path)) as connection:
        assert rows(connection) == 50
    lumocrypt.lock(path)
    with closing(lumocrypt.connect(":memory:", key=KmsKey(kms.arn))) as connection:
        lumocrypt.attach(connection, path, "app", key=KmsKey(kms.arn))
        assert connection.execute("SELECT count(*) FROM app.t").fetchone() == (50,)
        lumocrypt.attach(connection, tmp_path / "new.db", "fresh", key=KmsKey(kms.arn))
        connection.execute("CREATE TABLE fresh.t (a)")
    assert lumocrypt.verify(tmp_path / "new.db", key=KmsKey(kms.arn)).ok
    lumocrypt.decrypt(path, key=KmsKey(kms.arn))
    assert path.read_bytes() == original


def test_connect_creates(tmp_path: Path, kms: Kms) -> None:
    path = tmp_path / "new.db"
    with closing(lumocrypt.connect(path, key=KmsKey(kms.arn), cipher="aes-256-gcm")) as connection:
        connection.execute("PRAGMA page_size=8192")
        connection.execute("CREATE TABLE t (a)")
        assert connection.execute("PRAGMA page_size").fetchone() == (8192,)
        connection.commit()
    assert lumocrypt.info(path).cipher == "aes-256-gcm"
    assert [slot.type for slot in lumocrypt.info(path).keyslots] == ["kms"]
    with closing(lumocrypt.connect(path, key=KmsKey(kms.arn))) as connection:
        assert rows(connection) == 0
    assert [each.name for each in tmp_path.iterdir()] == ["new.db"]


def test_two_that_create_at_once_agree(tmp_path: Path, kms: Kms) -> None:
    path = tmp_path / "new.db"
    first = lumocrypt.connect(path, key=KmsKey(kms.arn))
    second = lumocrypt.connect(path, key=KmsKey(kms.arn))
    for connection in (first, second):
        connection.execute("CREATE TABLE IF NOT EXISTS t (a)")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.commit()
    assert rows(first) == 2
    first.close()
    second.close()


def test_connect_creates_only_where_sqlite_would(tmp_path: Path, kms: Kms) -> None:
    for mode in ("ro", "rw"):
        with pytest.raises(sqlite3.OperationalError, match="unable to open"):
            lumocrypt.connect(f"file:{tmp_path}/none.db?mode={mode}", key=KmsKey(kms.arn), uri=True)
    with pytest.raises(FileNotFoundError):
        lumocrypt.unlock(tmp_path / "none.db", KmsKey(kms.arn))
    (tmp_path / "none.db-wal").write_bytes(b"x" * 100)
    with pytest.raises(FileExistsError):
        lumocrypt.connect(tmp_path / "none.db", key=KmsKey(kms.arn))
    assert [each.name for each in tmp_path.iterdir()] == ["none.db-wal"]


def test_the_service_is_asked_once_per_keyslot_and_object(database: Path, kms: Kms) -> None:
    spy = Spy(kms.client)
    key = KmsKey(kms.arn, client=spy)
    for _ in range(3):
        lumocrypt.connect(database, key=key).close()
    assert [name for name, _ in spy.calls] == ["decrypt"]


def test_copies_open(database: Path, tmp_path: Path, kms: Kms) -> None:
    """VACUUM INTO makes another UUID; the keyslot, and what the service is told, stay."""
    with closing(lumocrypt.connect(database, key=KmsKey(kms.arn))) as connection:
        connection.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
    assert lumocrypt.info(tmp_path / "copy.db").uuid != lumocrypt.info(database).uuid
    assert lumocrypt.verify(tmp_path / "copy.db", key=KmsKey(kms.arn)).ok


def test_the_format_is_as_documented(database: Path, kms: Kms) -> None:
    """By the independent decryptor, with the data key from the service."""
    region = database.read_bytes()[:65536]
    (slot,) = (slot for slot in open_raw_slots(region) if slot[0] == 3)
    provider = slot[1]
    mark, uuid, key_id, arn_length, length = struct.unpack_from("<4s16s16sHH", provider)
    assert mark == b"aws1"
    assert provider[40 : 40 + arn_length].decode() == kms.arn
    found = lumocrypt.info(database)
    assert (UUID(bytes=uuid), key_id.hex()) == (found.uuid, found.key_id)
    blob = provider[40 + arn_length :]
    assert len(blob) == length
    context = {"lumocrypt:uuid": str(found.uuid), "lumocrypt:key_id": found.key_id}
    answer = kms.client.decrypt(CiphertextBlob=blob, EncryptionContext=context, KeyId=kms.arn)
    assert open_header(region, answer["Plaintext"]).keys.data_key
    lumocrypt.connect(database, key=Key.raw(answer["Plaintext"])).close()


def open_raw_slots(region: bytes) -> list[tuple[int, bytes]]:
    """Type and provider data of all keyslots (docs/reference/format.md, section 2.2)."""
    slots = [region[1024 + 1024 * i :][:1024] for i in range(12)]
    return [
        (int.from_bytes(slot[:4], "little"), slot[240 : 240 + int.from_bytes(slot[236:240], "little")])
        for slot in slots
    ]


# Hazard 12


def test_another_key_than_the_callers_is_never_asked_for_hazard_12(database: Path, kms: Kms) -> None:
    """The header names the key that wrapped; only the caller says which one is trusted."""
    other = kms.new_key()
    spy = Spy(kms.client)
    with pytest.raises(lumocrypt.WrongKeyError, match="no keyslot names the KMS key"):
        lumocrypt.connect(database, key=KmsKey(other, client=spy))
    assert spy.calls == []


def test_the_service_is_told_the_key_and_the_database_hazard_12(database: Path, kms: Kms) -> None:
    spy = Spy(kms.client)
    lumocrypt.connect(database, key=KmsKey(kms.arn, client=spy)).close()
    ((name, arguments),) = spy.calls
    found = lumocrypt.info(database)
    assert name == "decrypt"
    assert arguments["KeyId"] == kms.arn
    assert arguments["EncryptionContext"] == {
        "lumocrypt:uuid": str(found.uuid),
        "lumocrypt:key_id": found.key_id,
    }


@pytest.mark.parametrize("field", ["uuid", "key_id"])
def test_a_wrapped_key_is_good_for_its_own_database_hazard_12(database: Path, kms: Kms, field: str) -> None:
    (envelope,) = (Envelope.decode(slot.provider) for slot in lumocrypt.info(database).keyslots)
    assert envelope is not None
    context = envelope.context | {f"lumocrypt:{field}": "0" * 32}
    with pytest.raises(ClientError):
        kms.client.decrypt(CiphertextBlob=envelope.ciphertext, EncryptionContext=context)


def test_an_answer_by_another_key_is_refused_hazard_12(database: Path, tmp_path: Path, kms: Kms) -> None:
    other = kms.new_key()
    spy = Spy(kms.client)
    spy.change = {"KeyId": other}
    with pytest.raises(KeySourceError, match="used another key"):
        lumocrypt.connect(database, key=KmsKey(kms.arn, client=spy))
    plain = make_plain(tmp_path / "plain.db", rows=5)
    before = plain.read_bytes()
    with pytest.raises(KeySourceError, match="used another key"):
        lumocrypt.encrypt(plain, key=KmsKey(kms.arn, client=spy))
    assert plain.read_bytes() == before


def test_a_data_key_of_another_length_is_refused(database: Path, kms: Kms) -> None:
    spy = Spy(kms.client)
    spy.change = {"Plaintext": b"short"}
    with pytest.raises(KeySourceError, match="5 bytes"):
        lumocrypt.connect(database, key=KmsKey(kms.arn, client=spy))


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "alias/app",
        "arn:aws:kms:eu-central-1:123456789012:alias/app",
        "1234abcd-12ab-34cd-56ef-1234567890ab",
        "arn:aws:s3:::bucket",
        "arn:aws:kms:eu-central-1:123456789012:key/a b",
        "arn:aws:kms:eu-central-1:123456789012:key/a\n",
    ],
)
def test_only_the_arn_of_a_key_will_do(arn: str) -> None:
    with pytest.raises(ValueError, match="not the ARN of a KMS key"):
        KmsKey(arn)


# When it does not work


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Decrypt")


class Refusing:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def decrypt(self, **_: Any) -> Any:
        raise self._error

    generate_data_key = decrypt


@pytest.mark.parametrize(
    "error",
    [
        refused("AccessDeniedException"),
        refused("InvalidCiphertextException"),
        refused("DisabledException"),
        NoCredentialsError(),
        TimeoutError("slow"),
    ],
    ids=lambda error: type(error).__name__ + str(error)[-20:],
)
def test_the_services_errors_are_never_a_wrong_key(
    database: Path, tmp_path: Path, kms: Kms, error: Exception
) -> None:
    key = KmsKey(kms.arn, client=Refusing(error))
    plain = make_plain(tmp_path / "plain.db", rows=5)
    for use in (
        lambda: lumocrypt.connect(database, key=key),
        lambda: lumocrypt.verify(database, key=key),
        lambda: lumocrypt.encrypt(plain, key=key),
        lambda: lumocrypt.connect(tmp_path / "new.db", key=key),
    ):
        with pytest.raises(KeySourceError, match="AWS KMS does not give the key") as caught:
            use()
        assert caught.value.__cause__ is error
        assert not isinstance(caught.value, lumocrypt.WrongKeyError)
        assert isinstance(caught.value, lumocrypt.CryptError)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["app.db", "plain.db"]
    assert plain.read_bytes()[:6] == b"SQLite"


def test_no_credentials(database: Path, kms: Kms, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    with pytest.raises(KeySourceError, match="Unable to locate credentials") as caught:
        lumocrypt.connect(database, key=KmsKey(kms.arn, client=boto3.Session().client("kms", REGION)))
    assert isinstance(caught.value.__cause__, NoCredentialsError)


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens there; it does not take minutes to say so."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    begun = time.monotonic()
    with pytest.raises(KeySourceError) as caught:
        lumocrypt.connect(tmp_path / "new.db", key=KmsKey(SOME_ARN))
    assert isinstance(caught.value.__cause__, EndpointConnectionError)
    assert time.monotonic() - begun < 30
    assert list(tmp_path.iterdir()) == []


def test_a_second_keyslot_is_tried(database: Path, kms: Kms) -> None:
    """One of two under the same KMS key may be beyond use."""

    class Picky(Spy):
        def decrypt(self, **arguments: Any) -> dict[str, Any]:
            if not self.calls:
                self.calls.append(("decrypt", arguments))
                raise refused("InvalidCiphertextException")
            return super().decrypt(**arguments)

    lumocrypt.add_key(database, key=KmsKey(kms.arn), new_key=KmsKey(kms.arn))
    spy = Picky(kms.client)
    lumocrypt.connect(database, key=KmsKey(kms.arn, client=spy)).close()
    assert len(spy.calls) == 2


@pytest.mark.parametrize("new_key", [None, "x'" + "2e" * 32 + "'"], ids=["the same key", "another key"])
def test_a_keyslot_goes_along_with_a_new_data_key(database: Path, kms: Kms, new_key: str | None) -> None:
    """As another one's slot: what the service unwraps stays what it was."""
    own = Key.raw(RAW)
    lumocrypt.add_key(database, key=KmsKey(kms.arn), new_key=own)
    before = lumocrypt.info(database)
    lumocrypt.rekey(database, key=own, new_key=new_key, other_keys=[KmsKey(kms.arn)])
    after = lumocrypt.info(database)
    assert before.key_id != after.key_id
    assert [slot.type for slot in after.keyslots] == ["kms", "raw"]
    assert after.keyslots[0].provider == before.keyslots[0].provider
    for key in (KmsKey(kms.arn), own if new_key is None else new_key):
        assert lumocrypt.verify(database, key=key).ok


def test_its_own_keyslot_is_wrapped_anew_with_a_new_data_key(database: Path, kms: Kms) -> None:
    before = lumocrypt.info(database)
    spy = Spy(kms.client)
    lumocrypt.rekey(database, key=KmsKey(kms.arn, client=spy))
    after = lumocrypt.info(database)
    assert [slot.type for slot in after.keyslots] == ["kms"]
    assert after.keyslots[0].provider != before.keyslots[0].provider
    assert [name for name, _ in spy.calls].count("generate_data_key") == 1
    assert spy.calls[0][1]["EncryptionContext"]["lumocrypt:key_id"] == after.key_id
    assert lumocrypt.verify(database, key=KmsKey(kms.arn)).ok


def test_a_database_without_such_a_keyslot(tmp_path: Path, kms: Kms) -> None:
    path = make_plain(tmp_path / "app.db", rows=5)
    lumocrypt.encrypt(path, key=Key.raw(RAW))
    with pytest.raises(lumocrypt.WrongKeyError, match="no keyslot names"):
        lumocrypt.connect(path, key=KmsKey(kms.arn))


def test_without_the_package(database: Path, kms: Kms, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.import_module

    def missing(name: str, package: str | None = None) -> Any:
        if name.startswith("boto"):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return find(name, package)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(KeySourceError, match=r"pip install 'lumocrypt\[kms\]'"):
        lumocrypt.connect(database, key=KmsKey(kms.arn))


# Nothing secret gets out


def test_the_plaintext_is_in_no_log(
    database: Path, tmp_path: Path, kms: Kms, caplog: pytest.LogCaptureFixture
) -> None:
    plain = make_plain(tmp_path / "plain.db", rows=5)
    (envelope,) = (Envelope.decode(slot.provider) for slot in lumocrypt.info(database).keyslots)
    assert envelope is not None
    with caplog.at_level(logging.DEBUG):
        boto3.set_stream_logger("", logging.DEBUG)
        answer = kms.client.decrypt(CiphertextBlob=envelope.ciphertext, EncryptionContext=envelope.context)
        secret = answer["Plaintext"]
        assert base64.b64encode(secret).decode() in caplog.text, "the library does log it"
        caplog.clear()
        lumocrypt.connect(database, key=KmsKey(kms.arn)).close()
        lumocrypt.encrypt(plain, key=KmsKey(kms.arn))
    assert "Decrypt" in caplog.text
    assert base64.b64encode(secret).decode() not in caplog.text
    assert '"Plaintext"' not in caplog.text


def test_nothing_about_a_kms_key_shows_more_than_its_arn(database: Path, kms: Kms) -> None:
    key = KmsKey(kms.arn)
    lumocrypt.connect(database, key=key).close()
    assert repr(key) == f"<lumocrypt.KmsKey {kms.arn}>"
    assert key.kind == "kms"
    for same in (copy.copy(key), pickle.loads(pickle.dumps(key))):
        assert same.arn == kms.arn
        lumocrypt.connect(database, key=same).close()
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(KmsKey(kms.arn, client=kms.client))


def test_the_list_of_keys_names_the_kms_key(
    database: Path, kms: Kms, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["key", "list", str(database)]) == 0
    assert kms.arn in capsys.readouterr().out
    assert main(["key", "list", str(database), "--json"]) == 0
    (slot,) = json.loads(capsys.readouterr().out)["keyslots"]
    assert kms.arn.encode().hex() in slot["provider"]


def test_provider_data_that_is_no_envelope() -> None:
    good = Envelope("arn:aws:kms:eu-central-1:123456789012:key/x", bytes(16), bytes(16), b"blob")
    assert Envelope.decode(good.encode()) == good
    for bad in (
        b"",
        good.encode()[:-1],
        good.encode() + b"x",
        b"gcp1" + good.encode()[4:],
        good.encode()[:39],
    ):
        assert Envelope.decode(bad) is None
    with pytest.raises(ValueError, match="too many"):
        Envelope(good.arn, bytes(16), bytes(16), bytes(800)).encode()


def test_the_region_is_that_of_the_arn(
    database: Path, kms: Kms, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert f":{REGION}:" in kms.arn
    shutil.copy(database, tmp_path / "copy.db")
    lumocrypt.connect(tmp_path / "copy.db", key=KmsKey(kms.arn)).close()
