"""From the log to columns: consumers, clocks, decoding, validation."""
