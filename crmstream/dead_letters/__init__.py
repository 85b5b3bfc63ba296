"""Rejected records after the fact: found by filter, looked at, published again, removed."""
