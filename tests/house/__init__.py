"""What keeps the floors of the house: who imports whom, and which way."""
