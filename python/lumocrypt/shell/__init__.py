"""The interactive shell: SQL and dot-commands on one database.

Knows nothing of the command line; :mod:`lumocrypt.cli.shell` is its command.
"""
