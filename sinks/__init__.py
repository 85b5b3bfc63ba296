"""The ways out: one file per store, SQL in .sql files."""
