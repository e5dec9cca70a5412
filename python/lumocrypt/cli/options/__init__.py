"""What the commands have in common: options, each spelled once, and where keys come from."""
