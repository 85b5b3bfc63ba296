"""A shop of millions of customers with few events each, made in bulk with numpy, for tests of scale.

Delivery: the same seed and settings give the same records with the same event ids, so a run that is repeated
doubles nothing.
"""
