"""Keeps traits and accounts in Redis, as ClickHouse has them."""
