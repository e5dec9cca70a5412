"""Files on disk: names, folders, new files, attributes."""
