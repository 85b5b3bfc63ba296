"""Leaves out what River would import and nobody uses. To be imported before River.

River offers adapters for scikit-learn and so imports it where it is installed, as it is for tests: a fifth of a
worker's start.
"""

import sys

sys.modules.setdefault("sklearn", None)  # type: ignore[arg-type]  # None makes an import fail, which River expects
