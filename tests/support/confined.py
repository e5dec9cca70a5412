"""A process that gives up something for good, and then does everything that lumocrypt can do.

    python -m support.confined RESTRICTION FOLDER [--first]

prints a line for each errand: ``ok``, or the class of its error and the message. With ``--first`` Python
starts under the restriction, too.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import os
import platform
import resource
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import lumocrypt

RAW = bytes(range(32))
#: The cheapest costs that are accepted.
FAST = {"t": 2, "m": 19 * 1024, "p": 4}
#: The gosqlite format's key.
GOSQLITE = bytes(range(32))
PASSPHRASE = "a passphrase"
NEW = lumocrypt.Key.raw(b"2" * 32)

# prctl(2), seccomp(2).
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _PR_SET_MDWE = 38, 22, 65
_SECCOMP_MODE_FILTER = 2
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
# Classic BPF (linux/bpf_common.h): load a word, jump if equal, jump if any bit is set, return.
_LOAD, _IF_EQUAL, _IF_SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_NUMBERS = {
    "x86_64": {"mmap": 9, "mprotect": 10, "clone": 56, "clone3": 435, "getrandom": 318, "memfd_create": 319},
    "aarch64": {
        "mmap": 222,
        "mprotect": 226,
        "clone": 220,
        "clone3": 435,
        "getrandom": 278,
        "memfd_create": 279,
    },
}
_EPERM, _EAGAIN, _ENOSYS = 1, 11, 38
_PROT_EXEC, _CLONE_THREAD = 4, 0x10000

_libc = ctypes.CDLL(None, use_errno=True)


def _filter(rules: list[tuple[str, int | None, int, int]]) -> None:
    """Lets system calls fail: name, argument (or None) with one of these bits set, and the error."""
    numbers = _NUMBERS[platform.machine()]
    program = [struct.pack("HBBI", _LOAD, 0, 0, 0)]
    for name, argument, bits, error in rules:
        failing = [struct.pack("HBBI", _RETURN, 0, 0, _ERRNO | error)]
        if argument is not None:
            failing = [
                struct.pack("HBBI", _LOAD, 0, 0, 16 + 8 * argument),
                struct.pack("HBBI", _IF_SET, 0, 1, bits),
                *failing,
                struct.pack("HBBI", _RETURN, 0, 0, _ALLOW),
            ]
        program += [struct.pack("HBBI", _IF_EQUAL, 0, len(failing), numbers[name]), *failing]
    program.append(struct.pack("HBBI", _RETURN, 0, 0, _ALLOW))
    code = ctypes.create_string_buffer(b"".join(program))
    head = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    assert _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert _libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, head, 0, 0) == 0, os.strerror(
        ctypes.get_errno()
    )


def no_new_code() -> None:
    """No memory becomes executable, as under systemd's MemoryDenyWriteExecute=."""
    if _libc.prctl(_PR_SET_MDWE, 1, 0, 0, 0) != 0:  # Linux before 6.3
        _filter([("mmap", 2, _PROT_EXEC, _EPERM), ("mprotect", 2, _PROT_EXEC, _EPERM)])


def no_new_code_nor_memfd() -> None:
    """The same by a filter, which also takes away what libffi falls back on."""
    _filter([("mprotect", 2, _PROT_EXEC, _EPERM), ("memfd_create", None, 0, _EPERM)])


def no_threads() -> None:
    """No thread can be started."""
    _filter([("clone3", None, 0, _ENOSYS), ("clone", 0, _CLONE_THREAD, _EAGAIN)])


def no_locked_memory() -> None:
    """Nothing can be locked into memory."""
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))


def no_getrandom() -> None:
    """The system call is forbidden, as filters that know an older kernel do."""
    _filter([("getrandom", None, 0, _EPERM)])


def few_descriptors() -> None:
    """A few descriptors beyond those that are open; how many says the environment."""
    used = {int(name) for name in os.listdir("/proc/self/fd")}
    free = (number for number in range(1 << 10) if number not in used)
    limit = next(itertools.islice(free, int(os.environ.get("DESCRIPTORS", "12")), None))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


def little_memory() -> None:
    """Room for a derivation and little else: 160 MiB of addresses more than there are."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + (160 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def no_home() -> None:
    """No HOME, no folder for temporary files named, no terminal."""
    for name in ("HOME", "USER", "LOGNAME", "TMPDIR", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "TERM", "LANG"):
        os.environ.pop(name, None)
    os.setsid()


def no_proc() -> None:
    """Neither /proc nor /dev, in a namespace of its own. Needs root."""
    assert _libc.unshare(0x00020000) == 0, os.strerror(ctypes.get_errno())  # CLONE_NEWNS
    assert _libc.mount(b"none", b"/", None, 0x44000, None) == 0  # MS_REC | MS_PRIVATE
    for folder in (b"/proc", b"/dev"):
        assert _libc.mount(b"none", folder, b"tmpfs", 0, None) == 0, os.strerror(ctypes.get_errno())
    assert not os.listdir("/proc")


def deleted_folder() -> None:
    """The working directory was deleted."""
    folder = Path(sys.argv[2]) / "gone"
    folder.mkdir()
    os.chdir(folder)
    folder.rmdir()


def nothing() -> None:
    """What can be done without a restriction."""


RESTRICTIONS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        nothing,
        no_new_code,
        no_new_code_nor_memfd,
        no_threads,
        no_locked_memory,
        no_getrandom,
        few_descriptors,
        little_memory,
        no_home,
        no_proc,
        deleted_folder,
    )
}


class Errands:
    """All of them, in the order in which they are written down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = lumocrypt.Key.raw(RAW)
        self.path = folder / "app.db"
        self.events: list[int] = []

    def connect(self) -> None:
        connection = lumocrypt.connect(self.path, key=self.key)
        connection.execute("PRAGMA journal_mode=wal").fetchall()
        connection.execute("CREATE TABLE t (x)")
        connection.executemany("INSERT INTO t VALUES (?)", ((bytes(1000),) for _ in range(1500)))
        connection.commit()
        connection.execute("CREATE INDEX i ON t (x)")
        assert connection.execute("SELECT count(*) FROM (SELECT x FROM t ORDER BY random())").fetchone() == (
            1500,
        )
        connection.close()

    def connect_with_a_passphrase(self) -> None:
        path = self.folder / "passphrase.db"
        for _ in range(2):
            connection = lumocrypt.connect(path, key=PASSPHRASE, kdf=FAST)
            connection.execute("CREATE TABLE IF NOT EXISTS t (x)")
            connection.close()
            lumocrypt.lock(path)
        lumocrypt.add_key(path, key=PASSPHRASE, new_key=self.key)

    def verify(self) -> None:
        calls: list[int] = []
        assert lumocrypt.verify(self.path, key=self.key, progress=lambda done, total: calls.append(done)).ok
        assert calls

    def decrypt(self) -> None:
        lumocrypt.decrypt(self.path, self.folder / "clear.db", key=self.key)

    def encrypt(self) -> None:
        lumocrypt.encrypt(self.folder / "clear.db", self.folder / "again.db", key=self.key)

    def in_place(self) -> None:
        lumocrypt.decrypt(self.folder / "again.db", key=self.key)
        lumocrypt.encrypt(self.folder / "again.db", key=PASSPHRASE, kdf=FAST)

    def convert(self) -> None:
        lumocrypt.convert(
            self.path,
            self.folder / "converted.db",
            format="lumocrypt",
            key=self.key,
            new_format="gosqlite",
            new_key=GOSQLITE,
        )

    def record(self) -> None:
        import sqlite3

        errands = self

        class Recorder:
            def on_read(self, *_: object) -> None:
                errands.events.append(0)

            def on_write(self, *_: object) -> None:
                errands.events.append(1)

        with lumocrypt.crypto_vfs(GOSQLITE, recorder=Recorder()) as vfs:
            uri = f"file:{self.folder}/recorded.db?vfs={vfs.name}"
            connection = sqlite3.connect(uri, uri=True)
            connection.execute("CREATE TABLE t (x)")
            connection.close()
        assert {0, 1} <= set(self.events)

    def rekey(self) -> None:
        lumocrypt.rekey(self.path, key=self.key, new_key=NEW)

    def salvage(self) -> None:
        assert lumocrypt.salvage(self.path, self.folder / "salvaged.db", key=NEW).ok

    def headers(self) -> None:
        lumocrypt.backup_header(self.path, self.folder / "header")
        lumocrypt.restore_header(self.path, self.folder / "header", key=NEW)

    def import_sqlcipher(self) -> None:
        source = self.folder / "cipher.db"
        lumocrypt.import_sqlcipher(source, self.folder / "imported.db", source_key=PASSPHRASE, key=self.key)

    def derive(self) -> None:
        assert len(lumocrypt.derive_key(b"p", bytes(16))) == 32

    def unlock(self) -> None:
        lumocrypt.unlock(self.path, NEW)
        lumocrypt.connect(self.path).execute("SELECT count(*) FROM t").fetchone()
        lumocrypt.lock(self.path)

    def shell(self) -> None:
        from lumocrypt.cli import main

        os.environ["LUMO_KEY"] = f"x'{(b'2' * 32).hex()}'"
        assert main(["shell", str(self.path), "SELECT count(*) FROM t"]) == 0


def main() -> None:
    """Does all errands."""
    folder = Path(sys.argv[2])
    errands = Errands(folder)
    # What a program loads is loaded before it restricts itself.
    import cryptography.hazmat.primitives.ciphers

    assert cryptography.hazmat.primitives.ciphers
    lumocrypt.connect(folder / "first.db", key=errands.key).close()
    RESTRICTIONS[sys.argv[1]]()
    if "--first" in sys.argv:
        os.execv(sys.executable, [sys.executable, "-m", "support.confined", "nothing", *sys.argv[2:3]])
    for name in list(vars(Errands)):
        if name.startswith("_"):
            continue
        try:
            getattr(errands, name)()
            print(f"{name}: ok", flush=True)
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
        gc.collect()


if __name__ == "__main__":
    main()
