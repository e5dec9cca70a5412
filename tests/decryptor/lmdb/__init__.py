"""Encrypted LMDB environments, by docs/reference/lmdb-format.md alone."""

from .environment import Database, Environment, read_environment

__all__ = ["Database", "Environment", "read_environment"]
