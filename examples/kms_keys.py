"""Keys in AWS KMS: no secret on the server, and a recovery key in a safe.

    python examples/kms_keys.py FOLDER

The keyslot holds a key that KMS wrapped; opening the database is one `Decrypt` call per process. Here moto
plays KMS, so that the example runs anywhere. With the real one, leave out `mock_aws` and `create_key`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import tempfile
from pathlib import Path

import boto3
from botocore.stub import Stubber
from moto import mock_aws

import lumocrypt

REGION = "eu-central-1"


def main(folder: Path) -> None:
    # For moto: any credentials will do, and no profile of this machine is to be read.
    os.environ |= {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": REGION}
    with mock_aws():
        run(folder)


def run(folder: Path) -> None:
    path = folder / "app.db"
    service = boto3.client("kms", region_name=REGION)
    arn = service.create_key()["KeyMetadata"]["Arn"]

    # Creating the database asks KMS for a data key (kms:GenerateDataKey).
    with contextlib.closing(lumocrypt.connect(path, key=lumocrypt.KmsKey(arn))) as db, db:
        db.execute("CREATE TABLE notes (body)")
        db.execute("INSERT INTO notes VALUES ('a private note')")

    # A second way in, for the day when the account, the key or the network is gone. Print it and lock it
    # away.
    recovery = lumocrypt.Key.raw(secrets.token_bytes(32))
    lumocrypt.add_key(path, key=lumocrypt.KmsKey(arn), new_key=recovery, label="paper, safe 3")
    for slot in lumocrypt.keyslots(path):
        print(f"keyslot {slot.index}: {slot.type}", slot.label)

    # What the server does. Name the KMS key every time: the header, which others can write, is not trusted
    # with that.
    with contextlib.closing(lumocrypt.connect(path, key=lumocrypt.KmsKey(arn))) as db:
        print("with KMS:", db.execute("SELECT body FROM notes").fetchone()[0])

    # Disabling the key, or withdrawing the permission, keeps every new process out. (moto knows no disabled
    # keys, so a stub gives the answer of the real service.)
    refusing = boto3.client("kms", region_name=REGION)
    with Stubber(refusing) as stub:
        stub.add_client_error("decrypt", "DisabledException", f"{arn} is disabled.")
        try:
            lumocrypt.connect(path, key=lumocrypt.KmsKey(arn, client=refusing))
        except lumocrypt.KeySourceError as error:
            print("disabled:", error)

    with contextlib.closing(lumocrypt.connect(path, key=recovery)) as db:
        print("with the recovery key:", db.execute("SELECT body FROM notes").fetchone()[0])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
