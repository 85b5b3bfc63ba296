"""Hypothesis for all unit tests: no deadline (machines are shared), and the same examples in every run.

``HYPOTHESIS_PROFILE=wide`` (``make torture``) tries many more, and others in every run: to be used after a change of
the core. It prints how to repeat what fails.
"""

import os

from hypothesis import settings

settings.register_profile("steady", deadline=None, max_examples=60, derandomize=True, database=None)
settings.register_profile("wide", deadline=None, max_examples=2_000, database=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
