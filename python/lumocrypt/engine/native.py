"""The engine: loads the shared object and wraps its C ABI (docs/reference/c-abi.md) in typed functions.

Every function here either succeeds or raises; nothing above this module sees a status or a pointer. Keys
are passed as numbers, so that no frame of a traceback holds key material.
"""

from __future__ import annotations

import importlib
import os
import sys
import weakref
from collections.abc import Callable, Sequence

from ..errors import UNIT_NAMES, CryptError, Failure, exception_from

# `import lumocrypt` has to be quick, and these, like json, are not.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

#: The version of docs/reference/c-abi.md that this package speaks.
ABI_VERSION = 3

#: Threads for operations on whole files; one per core if it is not set.
THREADS_VARIABLE = "LUMO_THREADS"

#: What begins a database, and tells its page size.
_HEAD_BYTES = 100
#: How much is encrypted at a time where the content does not come from a file.
_STREAM_BYTES = 1 << 20

#: Bytes that the engine reads where they are.
Material = bytes | bytearray | memoryview

#: ``progress(done_bytes, total_bytes)``; raise from it to stop.
Progress = Callable[[int, int], object]

#: A path, and the descriptor of the folder that the file is in.
Held = tuple[str, int]


def _in_subinterpreter() -> bool:
    # The module was private and renamed between Python 3.12 and 3.13.
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            current: Any = importlib.import_module(name).get_current()
        except ImportError:
            continue
        return int(current[0] if isinstance(current, tuple) else current) != 0  # pyright: ignore[reportUnknownArgumentType]
    return False


def _is_packed() -> bool:
    """Whether this module is part of a frozen program, or in an archive."""
    return hasattr(sys, "frozen") or "__compiled__" in globals() or not os.path.exists(__file__)


def _load() -> Any:
    if _in_subinterpreter():
        raise ImportError(
            "lumocrypt cannot be imported in a subinterpreter: its foreign-function layer (cffi) loads in "
            "the main interpreter only; use threads or processes instead"
        )
    try:
        # A statement, and no name in a string: what makes one program of many modules looks for statements.
        from .. import _lumocrypt as module  # pyright: ignore
    except (ImportError, OSError) as error:
        frozen = "put the folder lumocrypt/_lumocrypt into the program as it is (docs/guide/deployment.md)"
        version = f"Python {sys.version_info.major}.{sys.version_info.minor}, {sys.platform}"
        advice = frozen if _is_packed() else f"reinstall the package for this platform ({version})"
        raise ImportError(f"lumocrypt's native engine could not be loaded ({error}); {advice}") from error
    found = module.lib.lumo_abi_version()
    if found != ABI_VERSION:
        raise ImportError(
            f"lumocrypt's native engine speaks ABI {found}, the package ABI {ABI_VERSION}: "
            "the installation mixes two versions; reinstall it"
        )
    return module


_module = _load()
_ffi: Any = _module.ffi
_lib: Any = _module.lib


def library() -> tuple[Any, Any]:
    """cffi's interface and the engine's functions, for the module that drives LMDB by them."""
    return _ffi, _lib


def shared_object() -> Path:
    """The engine's shared object, which is also SQLite's loadable extension."""
    from pathlib import Path

    folder = Path(str(_module.__file__)).parent
    for name in ("lib_lumocrypt.so", "lib_lumocrypt.dylib", "_lumocrypt.dll"):
        if (folder / name).exists():
            return folder / name
    raise ImportError(f"no shared object of lumocrypt's engine in {folder}; reinstall the package")


def take_failure() -> Failure | None:
    """This thread's failure record, which is cleared."""
    text = _take_string(_lib.lumo_failure_take())
    return None if text is None else _failure(_parsed(text))


def failure_behind(host: int, message: str) -> tuple[Failure, str] | None:
    """This thread's failure record, if an error of the SQLite ``host`` with this text may be about it.

    With it comes what its connection says of its last call: ``"this"`` if that failed so, ``"otherwise"``, or
    ``"unknown"`` if it cannot be asked. The record is cleared in any case.
    """
    # What holds a NUL is no text of SQLite's; it is cut, and will not match.
    text = _take_string(_lib.lumo_failure_behind(host, message.encode("utf-8", "surrogateescape")))
    if text is None:
        return None
    record = _parsed(text)
    return _failure(record), record["says"]


def _failure(record: dict[str, Any]) -> Failure:
    return Failure(
        record["class"],
        record["message"],
        _name(record),
        record.get("file_kind"),
        next((record[name] for name in UNIT_NAMES if record.get(name) is not None), None),
        record.get("code") or 0,
        record.get("sqlite_pages"),
    )


def pragma_refusal(name: str) -> str | None:
    """Why a pragma, in lower case, must not pass for one that did something; None for SQLite's and ours."""
    return _take_string(_lib.lumo_pragma_refusal(name.encode("utf-8", "surrogateescape")))


def _name(record: dict[str, Any]) -> str | None:
    """The file that a failure record names; its bytes are in hex where they are not UTF-8."""
    exact = record.get("path_hex")
    return record.get("path") if exact is None else os.fsdecode(bytes.fromhex(exact))


def _take_string(pointer: Any) -> str | None:
    if pointer == _ffi.NULL:
        return None
    try:
        return _ffi.string(pointer).decode("utf-8", "surrogateescape")
    finally:
        _lib.lumo_string_free(pointer)


def _check(status: int) -> None:
    if status != 0:
        failure = take_failure()
        if failure is None:
            raise CryptError(f"the engine reported failure class {status} without details")
        raise exception_from(failure)


def _path(path: str) -> bytes:
    encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise ValueError("embedded null byte in a file name")
    return encoded


def _held(source: Held) -> tuple[bytes, int]:
    return _path(source[0]), source[1]


def _parsed(text: str) -> Any:
    import json

    return json.loads(text)


def _options(options: dict[str, Any]) -> bytes:
    import json

    return json.dumps({name: value for name, value in options.items() if value is not None}).encode()


def threads() -> int | None:
    """How many threads may work on a whole file; None: as many as there are cores.

    Raises ValueError if ``LUMO_THREADS`` is set and no such number.
    """
    given = os.environ.get(THREADS_VARIABLE)
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and 0 < int(given) < 1 << 64):
        raise ValueError(f"{THREADS_VARIABLE} is to be a number of threads, from 1 on, and not {given!r}")
    return int(given)


def _file_options(options: dict[str, Any]) -> bytes:
    """The options of an operation on a whole file."""
    return _options({**options, "threads": threads()})


def _json(pointer: Any) -> Any:
    text = _take_string(pointer[0])
    return {} if text is None else _parsed(text)


# Registration


def register_library(library: str | None) -> dict[str, Any]:
    """Registers the VFSs with the SQLite that a shared object links; None is the process's own symbols."""
    answer = _ffi.new("char **")
    name = _ffi.NULL if library is None else _path(library)
    _check(_lib.lumo_register_library(name, answer))
    return _json(answer)


def hosts() -> list[dict[str, Any]]:
    """All SQLite libraries that know the VFSs, in the form of :func:`register_library`."""
    return _parsed(_take_string(_lib.lumo_hosts()) or "[]")


def register_over(host: int, base_vfs: str) -> str:
    """Registers and names the VFS ``lumocrypt-<base>``."""
    answer = _ffi.new("char **")
    _check(_lib.lumo_register_over(host, base_vfs.encode(), answer))
    return _take_string(answer[0]) or f"lumocrypt-{base_vfs}"


def shared_vfs(host: int, vfs: str) -> str:
    """Names a VFS over that of ``vfs``, one of ours, on which connections share their caches."""
    answer = _ffi.new("char **")
    _check(_lib.lumo_shared_vfs(host, vfs.encode(), answer))
    return _take_string(answer[0]) or ""


def expect_sharing(expected: bool) -> None:
    """Says whether this thread is opening a connection that may join a cache, and will prove its key then."""
    _lib.lumo_expect_sharing(int(expected))


def set_default(host: int, on: bool, strict: bool) -> None:
    """Makes the pass-through flavour SQLite's default VFS, or restores the one before."""
    _check(_lib.lumo_set_default(host, (2 if strict else 1) if on else 0))


# Keys: the callers drop their references to the text before they raise; see keys.py.


def key_passphrase(text: bytes) -> tuple[int, int]:
    """Status and number of a key made from a UTF-8 passphrase."""
    return _new_key(_lib.lumo_key_passphrase, text)


def key_parse(text: bytes) -> tuple[int, int]:
    """Status and number of a key made from text: ``x'<64 hex digits>'`` or a passphrase."""
    return _new_key(_lib.lumo_key_parse, text)


def key_raw(raw: bytes | bytearray | memoryview) -> tuple[int, int]:
    """Status and number of a key made from 32 bytes."""
    return _new_key(_lib.lumo_key_raw, raw)


def key_random() -> int:
    """The number of a new random raw key."""
    number = _ffi.new("uint64_t *")
    _check(_lib.lumo_key_random(number))
    return int(number[0])


def _new_key(function: Any, material: bytes | bytearray | memoryview) -> tuple[int, int]:
    number = _ffi.new("uint64_t *")
    with _ffi.from_buffer("uint8_t[]", material) as buffer:
        status = function(buffer, len(buffer), number)
    return int(status), int(number[0])


def key_failure(status: int) -> Exception:
    """The exception for the status of :func:`key_passphrase`, :func:`key_parse` or :func:`key_raw`."""
    failure = take_failure()
    return exception_from(failure or Failure(status, "the key is malformed"))


def derive_key(passphrase: Material, salt: Material, length: int) -> bytes:
    """A key of 32 or 64 bytes for the gosqlite format."""
    key = _ffi.new("uint8_t[]", length)
    with _ffi.from_buffer("uint8_t[]", passphrase) as secret, _ffi.from_buffer("uint8_t[]", salt) as buffer:
        _check(_lib.lumo_derive_key(secret, len(secret), buffer, len(buffer), key, length))
    derived = bytes(_ffi.buffer(key))
    _ffi.memmove(key, bytes(length), length)
    return derived


def key_free(number: int) -> None:
    """Wipes a key; connections that use it keep their own."""
    _lib.lumo_key_free(number)


def handle_new(key: int, options: dict[str, Any]) -> str:
    """A random handle, good for one open, that stands for a key (0: none) and options in a filename."""
    answer = _ffi.new("char **")
    _check(_lib.lumo_handle_new(key, _options(options), answer))
    return _take_string(answer[0]) or ""


def unlock(path: str, key: int, options: dict[str, Any]) -> None:
    """Keeps a key for every later open of a path in this process; 0: the key that it has, for the
    database there now."""
    _check(_lib.lumo_unlock(_path(path), key, _options(options)))


def unlocked(path: str) -> tuple[int, dict[str, Any]]:
    """What is kept for a path: the number of its key, 0 for none, and what else is known of it."""
    number, answer = _ffi.new("uint64_t *"), _ffi.new("char **")
    _check(_lib.lumo_unlocked(_path(path), number, answer))
    return int(number[0]), _json(answer)


def lock(path: str) -> bool:
    """Forgets the key of a path; whether there was one."""
    was_unlocked = _ffi.new("int *")
    _check(_lib.lumo_lock(_path(path), was_unlocked))
    return bool(was_unlocked[0])


def command_new(command: dict[str, Any], keys: Sequence[int]) -> str:
    """A random handle, good for one ``PRAGMA lumo_command``, for a command and the keys it takes."""
    answer = _ffi.new("char **")
    numbers = _ffi.new("uint64_t[]", list(keys))
    _check(_lib.lumo_command_new(_options(command), numbers, len(keys), answer))
    return _take_string(answer[0]) or ""


# Whole files


def environment_command(
    host: int, path: str, key: int, options: dict[str, Any], handle: str
) -> dict[str, Any]:
    """Changes keyslots of an LMDB environment, as the command of :func:`command_new` says."""
    answer = _ffi.new("char **")
    settings = _file_options(options)
    _check(_lib.lumo_environment_command(host, _path(path), key, settings, handle.encode(), answer))
    return _json(answer)


def inspect(host: int, path: str) -> dict[str, Any]:
    """What a file says about itself without a key."""
    answer = _ffi.new("char **")
    _check(_lib.lumo_inspect(host, _path(path), answer))
    return _json(answer)


# What is written is a new, empty file that is open for reading and writing: ``destination`` or ``saved`` is
# its descriptor. A source is a path, and the descriptor of the folder that it is in.


def create_file(destination: int, key: int, options: dict[str, Any]) -> None:
    """Makes an empty file a database without content."""
    _check(_lib.lumo_create_file(destination, key, _options(options)))


def header_backup(host: int, path: str, destination: int) -> None:
    """Copies the header of a database into an empty file."""
    _check(_lib.lumo_header_backup(host, _path(path), destination))


def header_restore(
    host: int, database: Held, backup: str, key: int, options: dict[str, Any], saved: int
) -> dict[str, Any]:
    """Puts a header back, after the one that is there was copied into the empty file ``saved``."""
    answer = _ffi.new("char **")
    settings = _options(options)
    _check(_lib.lumo_header_restore(host, *_held(database), _path(backup), key, settings, saved, answer))
    return _json(answer)


def encrypt_file(
    host: int, source: Held, destination: int, key: int, options: dict[str, Any], progress: Progress | None
) -> dict[str, Any]:
    """Encrypts a quiescent plaintext database into an empty file."""
    settings = _file_options(options)
    return _work(progress, _lib.lumo_encrypt_file, host, *_held(source), destination, key, settings)


def encrypt_stream(
    destination: int,
    size: int,
    key: int,
    options: dict[str, Any],
    source: Callable[[int, int], bytes],
    progress: Progress | None,
) -> dict[str, Any]:
    """Encrypts ``size`` bytes into an empty file; ``source(offset, length)`` hands them out in clear."""
    settings = _options(options)
    with _ffi.from_buffer("uint8_t[]", source(0, min(size, _HEAD_BYTES))) as head:
        stream = _ffi.new("void **")
        _check(_lib.lumo_stream_open(destination, head, len(head), size, key, settings, stream))
    answer = _ffi.NULL
    try:
        for offset in range(0, size, _STREAM_BYTES):
            with _ffi.from_buffer("uint8_t[]", source(offset, min(size - offset, _STREAM_BYTES))) as content:
                _check(_lib.lumo_stream_write(stream[0], content, len(content)))
            if progress is not None:
                progress(min(offset + _STREAM_BYTES, size), size)
        answer = _ffi.new("char **")
    finally:
        # With a place for the answer the database is completed, and without the stream is given up.
        status = _lib.lumo_stream_close(stream[0], answer)
    _check(status)
    return _json(answer)


class Secret:
    """The bytes of a key of another program's format, out of sight; wiped when nobody needs them any more."""

    __slots__ = ("__weakref__", "_bytes")

    def __init__(self, material: Material) -> None:
        self._bytes: Any = _ffi.new("uint8_t[]", len(material))
        _ffi.memmove(self._bytes, material, len(material))
        weakref.finalize(self, _wipe, self._bytes)

    @property
    def argument(self) -> tuple[Any, int]:
        """As C functions take it."""
        return self._bytes, len(self._bytes)

    def view(self) -> memoryview:
        """The bytes where they are."""
        return memoryview(_ffi.buffer(self._bytes))


def _wipe(content: Any) -> None:
    _ffi.memmove(content, bytes(len(content)), len(content))


_NO_SECRET = (_ffi.NULL, 0)


def convert_file(
    host: int,
    source: tuple[Held, dict[str, Any], int, Secret | None],
    destination: tuple[int, dict[str, Any], int, Secret | None],
    progress: Progress | None,
) -> dict[str, Any]:
    """Writes a quiescent database to an empty file in another format and reads it back.

    With each file come options with its format, the number of its key, and its key where it has no number.
    """

    def side(options: dict[str, Any], key: int, secret: Secret | None) -> tuple[Any, ...]:
        argument = _NO_SECRET if secret is None else secret.argument
        return (_file_options(options), key, *argument)

    old = (*_held(source[0]), *side(*source[1:]))
    new = (destination[0], *side(*destination[1:]))
    return _work(progress, _lib.lumo_convert_file, host, *old, *new)


def gosqlite_page_size(host: int, path: str, options: dict[str, Any], secret: Secret) -> int:
    """The page size in bytes of a database in the gosqlite format."""
    found = _ffi.new("uint32_t *")
    _check(_lib.lumo_gosqlite_page_size(host, _path(path), _options(options), *secret.argument, found))
    return int(found[0])


def decrypt_file(
    host: int, source: Held, destination: int, key: int, options: dict[str, Any], progress: Progress | None
) -> dict[str, Any]:
    """Decrypts a quiescent database into an empty file."""
    settings = _file_options(options)
    return _work(progress, _lib.lumo_decrypt_file, host, *_held(source), destination, key, settings)


def verify_file(
    host: int, path: str, key: int, options: dict[str, Any], progress: Progress | None
) -> dict[str, Any]:
    """Checks every block of a database and its logs."""
    settings = _file_options(options)
    return _work(progress, _lib.lumo_verify_file, host, _path(path), key, settings)


def _work(progress: Progress | None, begin: Callable[..., int], *arguments: Any) -> dict[str, Any]:
    """Runs an operation that ``begin`` begins, in steps; in between Ctrl-C is heeded and ``progress`` called.

    Not by a callback: cffi makes one by writing machine code, which hardened processes may not execute.
    """
    work, done, total = _ffi.new("void **"), _ffi.new("uint64_t *"), _ffi.new("uint64_t *")
    answer = _ffi.new("char **")
    _check(begin(*arguments, work))
    try:
        while answer[0] == _ffi.NULL:
            _check(_lib.lumo_work_step(work[0], done, total, answer))
            if progress is not None and answer[0] == _ffi.NULL:
                progress(int(done[0]), int(total[0]))
    finally:
        _lib.lumo_work_free(work[0])
    return _json(answer)


def image_open(host: int, path: str, key: int, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A database to read page by page, in spite of damage, and what is known about it."""
    image, answer = _ffi.new("void **"), _ffi.new("char **")
    _check(_lib.lumo_image_open(host, _path(path), key, _options(options), image, answer))
    return image[0], _json(answer)


def image_page(image: Any, number: int, size: int) -> tuple[int, bytes]:
    """Where a page, counted from 1, was found (docs/reference/c-abi.md), and its content."""
    content, source = _ffi.new("uint8_t[]", size), _ffi.new("int *")
    _check(_lib.lumo_image_page(image, number, content, size, source))
    return source[0], _ffi.buffer(content)[:]


def image_relative(image: Any, destination: int) -> None:
    """Makes an empty file a database without content that the image's keys open."""
    _check(_lib.lumo_image_relative(image, destination))


def image_close(image: Any) -> None:
    """Closes what :func:`image_open` opened; it cannot be used any more."""
    _lib.lumo_image_close(image)


def ciphers() -> list[str]:
    """The names of all ciphers."""
    return _parsed(_take_string(_lib.lumo_ciphers()) or "[]")


def bench(options: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Measures the cipher and the derivation that the options name."""
    answer = _ffi.new("char **")
    _check(_lib.lumo_bench(_options(options), seconds, answer))
    return _json(answer)


# VFSs of the gosqlite format


def recorder_callback(function: Callable[[int, int, int, int, int, int, int], None]) -> Any:
    """A C function that the engine can report reads and writes to; it must not raise.

    The first ``function`` of the process counts, and must never go away.
    """
    # CPython's own functions call it, by the object's address. Where they cannot be found, as in other
    # Pythons, cffi makes a function of it, which needs memory that is written and then executed.
    if sys.implementation.name == "cpython":
        if _lib.lumo_python_recorder(_ffi.cast("void *", id(function))) == 0:
            return _lib.lumo_python_record
        take_failure()
    return _ffi.callback("void(uint64_t, int, int, int64_t, int64_t, uint64_t, int)", function)


def recorders_stop() -> None:
    """No recorder is called from now on."""
    _lib.lumo_recorders_stop()


def gosqlite_open(
    host: int,
    base_vfs: str | None,
    cipher: str,
    key: bytes | bytearray | memoryview,
    page_size: int,
    recorder: Any,
    context: int,
) -> tuple[int, int, str]:
    """Status, number and name of a VFS; for a status that is not 0 see :func:`key_failure`."""
    number, name = _ffi.new("uint64_t *"), _ffi.new("char **")
    base = _ffi.NULL if base_vfs is None else base_vfs.encode()
    function = _ffi.NULL if recorder is None else recorder
    with _ffi.from_buffer("uint8_t[]", key) as buffer:
        status = _lib.lumo_gosqlite_open(
            host, base, cipher.encode(), buffer, len(buffer), page_size, function, context, number, name
        )
    return int(status), int(number[0]), _take_string(name[0]) or ""


def gosqlite_close(number: int) -> None:
    """Unregisters a VFS and wipes its key."""
    _check(_lib.lumo_gosqlite_close(number))


def stats() -> dict[str, Any]:
    """The engine's counters."""
    text = _take_string(_lib.lumo_stats())
    return {} if text is None else _parsed(text)
