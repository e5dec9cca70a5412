"""Keys: what unlocks a database, where it comes from, and which database it is for."""
