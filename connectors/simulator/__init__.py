"""A believable shop, simulated: seeded, endless, and with its hidden truth (who left when) open to tests.

Delivery: the same seed and settings give the same records with the same event ids, so a run that is repeated
doubles nothing.
"""
