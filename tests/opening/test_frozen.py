"""Frozen programs: what PyInstaller is told leads it to the engine. `make frozen` builds one."""

from __future__ import annotations

import importlib
import importlib.metadata
import runpy
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import pytest

import lumocrypt
from lumocrypt.engine import native


def test_the_hook_names_the_engine_and_what_loads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    (entry,) = importlib.metadata.entry_points(group="pyinstaller40", name="hook-dirs")
    if entry.value != "lumocrypt.pyinstaller:hook_dirs":
        pytest.skip("PyInstaller's own hooks are in front")
    (folder,) = entry.load()()
    engine = str(native.shared_object())
    hooks = types.ModuleType("PyInstaller.utils.hooks")
    vars(hooks)["collect_dynamic_libs"] = lambda name: [(engine, f"{name}/_lumocrypt")]
    vars(hooks)["copy_metadata"] = lambda name: [(f"{name}.dist-info", ".")]
    for name in ("PyInstaller", "PyInstaller.utils"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, hooks.__name__, hooks)
    found = runpy.run_path(str(Path(folder) / "hook-lumocrypt.py"))
    assert found["binaries"] == [(engine, "lumocrypt/_lumocrypt")]
    assert found["datas"]
    for name in found["hiddenimports"]:
        importlib.import_module(name)


def test_an_archive_says_what_is_missing(tmp_path: Path) -> None:
    """The dynamic linker opens no file in an archive."""
    folder = Path(lumocrypt.__file__).parent
    archive = tmp_path / "app.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in folder.rglob("*.py"):
            packed.write(path, Path("lumocrypt") / path.relative_to(folder))
    code = f"import sys; sys.path.insert(0, {str(archive)!r}); import lumocrypt"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert "ImportError: lumocrypt's native engine could not be loaded" in done.stderr
    assert "lumocrypt/_lumocrypt" in done.stderr.splitlines()[-1]
