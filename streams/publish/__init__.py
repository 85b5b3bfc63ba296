"""Turns scored blocks into rows of ClickHouse and hashes of Redis."""
