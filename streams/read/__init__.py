"""Reads the log into columns: consumers, clocks, decoding, validation."""
