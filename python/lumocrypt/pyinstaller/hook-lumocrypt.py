"""The engine, which is opened as a file and by no import statement, goes where its module looks for it."""

from PyInstaller.utils.hooks import (  # pyright: ignore[reportMissingModuleSource, reportMissingImports]
    collect_dynamic_libs,  # pyright: ignore[reportUnknownVariableType]
    copy_metadata,  # pyright: ignore[reportUnknownVariableType]
)

from lumocrypt.cli import COMMANDS

# The version comes from the metadata.
datas = copy_metadata("lumocrypt")  # pyright: ignore[reportUnknownVariableType]
binaries = collect_dynamic_libs("lumocrypt")  # pyright: ignore[reportUnknownVariableType]
hiddenimports = ["lumocrypt._lumocrypt", "lumocrypt._lumocrypt.ffi", "_cffi_backend"]
# Named in a table, and imported when they are run.
hiddenimports += [f"lumocrypt.cli.{name.replace('-', '_')}" for name in COMMANDS]
