"""Guess a mapping for a file that nobody has described yet. Pure but for reading the file."""
