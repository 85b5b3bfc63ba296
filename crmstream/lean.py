"""Import guard: leaves out what libraries would import and nobody uses. Import it before River and Arrow.

River offers adapters for scikit-learn and so imports it where it is installed, as it is for tests: a fifth of a
worker's start. It imports the whole of ``scipy.stats`` for a distribution of several variables: 50 MB and a second.
Arrow and the ClickHouse client import pandas where it is installed, as it is for River: 40 MB and a second.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import NoReturn


class _LeftOut:
    """Stands for a function of a module that is left out."""

    def __init__(self, name: str):
        self._name = name

    def __call__(self, *_: object, **__: object) -> NoReturn:
        raise ImportError(f"{self._name} is left out of this process")

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{self._name} is left out of this process, so it has no {name}")


class _LeftOutModule(ModuleType):
    """A module from which everything can be imported, and nothing used."""

    def __getattr__(self, name: str) -> _LeftOut:
        if name.startswith("__"):
            raise AttributeError(name)
        return _LeftOut(f"{self.__name__}.{name}")


class _WithoutPandas(PathFinder):
    """Finds modules as ever, only not pandas. Arrow does not understand a None for it in ``sys.modules``."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module; None for pandas."""
        return None if fullname == "pandas" else super().find_spec(fullname, path, target)


sys.meta_path[:] = [_WithoutPandas if finder is PathFinder else finder for finder in sys.meta_path]
sys.modules.setdefault("sklearn", None)  # type: ignore[arg-type]  # None makes an import fail, which River expects
sys.modules.setdefault("scipy.stats", _LeftOutModule("scipy.stats"))
