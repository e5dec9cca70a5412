"""A program for `make frozen`: writes, verifies and reads an encrypted database."""

import tempfile
from pathlib import Path

import lumocrypt

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "app.db"
    connection = lumocrypt.connect(path, key="a passphrase")
    connection.execute("CREATE TABLE t (x)")
    connection.commit()
    connection.close()
    assert lumocrypt.verify(path, key="a passphrase").ok
    print("lumocrypt", lumocrypt.__version__, "works in a frozen program")
