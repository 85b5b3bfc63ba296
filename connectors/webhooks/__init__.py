"""Webhooks: what other systems tell of their own accord, signed, turned into events by mapping files."""
