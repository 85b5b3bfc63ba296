"""Hypothesis for all unit tests: no deadline (machines are shared), and the same examples in every run."""

from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True, database=None)
settings.load_profile("steady")
