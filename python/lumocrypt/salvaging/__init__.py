"""What is left of a damaged database."""
