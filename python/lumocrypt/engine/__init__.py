"""The engine: its C ABI, the SQLite libraries that know it, and its failures as exceptions."""
