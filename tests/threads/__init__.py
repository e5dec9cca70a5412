"""Threads that open, share, attach, copy, interrupt and close at the same time, with a watchdog.

``python -m threads`` runs every scenario in a process of its own. A thread that does not move for half a minute
ends that process with all stacks. ``--plain`` is SQLite alone, to calibrate: what happens there is not the engine's
doing. With ``--checked`` the engine checks the order of its locks, too (engine/src/locks.rs).
"""
