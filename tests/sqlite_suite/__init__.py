"""SQLite's own tests, in Tcl, with every new database encrypted, each file beside its run in clear.

``make sqlite-suite`` fetches SQLite's source as Debian has it, builds its ``testfixture`` with `loader.c`, and runs
every file that `excluded.txt` does not name with a reason. A test that fails when encrypted and not in clear is a
failure.
"""
