"""Rows of files and databases to events, by a mapping that a user writes."""
