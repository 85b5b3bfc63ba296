"""Devices and e-mail addresses: each has a history of its own, or an owner who gets it."""
