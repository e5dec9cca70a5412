"""Keeps keys out of the local variables that tracebacks record.

Error reporters store the locals of every frame. A public function that takes a key has it in its own
frame and hands it to others, so on the way out of an error the frames of this package are emptied; those
of the caller stay as they are.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

# The whole package, of which this is a file in one of its folders.
_PACKAGE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")


def forgetful(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """The function, whose frames hold nothing any more once it has raised."""

    @functools.wraps(function)
    def call(*arguments: _Parameters.args, **options: _Parameters.kwargs) -> _Result:
        try:
            return function(*arguments, **options)
        except BaseException as error:
            _forget(error, set())
            raise
        finally:
            # This very frame cannot be emptied while it runs.
            del arguments, options

    return call


def _forget(error: BaseException, seen: set[int]) -> None:
    """Empties the frames of an exception and of those that led to it."""
    if id(error) in seen:
        return
    seen.add(id(error))
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.startswith(_PACKAGE):
            # Those that still run, `call` among them, refuse.
            with contextlib.suppress(RuntimeError):
                trace.tb_frame.clear()
        trace = trace.tb_next
    for other in (error.__cause__, error.__context__):
        if other is not None:
            _forget(other, seen)
