"""Faults on purpose: calls of the VFS below that fail, and processes that are killed.

faulty.c, sqlite_vfs.h   a VFS over SQLite's own whose n-th call fails
faulty.py      builds it, and says what fails and how
opener.py      a database through lumocrypt, or by SQLite alone to calibrate the judge
workload.py    what is done to a database, step by step; catalogue.py has the workloads
run.py         one workload with one fault: what an application would see
reopening.py   opens what is left and says what is wrong with it
sweep.py       workloads times faults; `python -m faults.sweep` runs all of them
kills.py, fleet.py, ledger.py   writers and readers in many processes that are killed at random
randomness.c   a random number generator that fails, for a preloaded library
"""
