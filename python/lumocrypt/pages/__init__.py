"""SQLite's pages as the file format has them, read in spite of damage."""
