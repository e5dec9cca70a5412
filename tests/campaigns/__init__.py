"""What the campaigns in ``crash``, ``faults``, ``threads`` and ``hostile`` have in common.

shared_object.py   C sources that are put under a process, compiled
selection.py       which scenarios a command line means
integrity.py       what SQLite says of a database's structure
"""
