"""Places outside the process where keys are kept: a keyring, and AWS KMS as moto plays it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import keyring
import pytest
from keyring.backend import KeyringBackend
from moto import mock_aws

REGION = "eu-central-1"


class MemoryKeyring(KeyringBackend):
    """A keyring that is gone with the process."""

    priority = 1  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


@pytest.fixture
def memory_keyring() -> Iterator[MemoryKeyring]:
    """The process's keyring."""
    before = keyring.get_keyring()
    mine = MemoryKeyring()
    keyring.set_keyring(mine)
    yield mine
    keyring.set_keyring(before)


class Kms:
    """Some KMS keys."""

    def __init__(self) -> None:
        self.client: Any = boto3.client("kms", region_name=REGION)
        self.arn = self.new_key()

    def new_key(self) -> str:
        """The ARN of a new one."""
        return self.client.create_key()["KeyMetadata"]["Arn"]


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kms]:
    """AWS KMS without a network; also for clients that the tested code makes."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        yield Kms()
