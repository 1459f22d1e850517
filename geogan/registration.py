"""Register the xarray accessors: now if xarray is imported, else right after its import.

``import geogan`` must register ``da.geogan`` and ``ds.geogan``, and ``geogan --help`` must not import xarray. Before
xarray is imported no xarray object exists, so nothing can use the accessors yet.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_ACCESSORS = "geogan.accessor"


def register_accessors() -> None:
    """Import `geogan.accessor`, now or right after xarray."""
    if "xarray" in sys.modules:
        import_module(_ACCESSORS)
    else:
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Find xarray as the other finders do, and wrap its loader so that the accessors are imported after it; once."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "xarray":
            return None
        sys.meta_path.remove(self)
        spec = find_spec("xarray")
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)  # type: ignore[assignment]  # importlib.abc takes 4 ms to import
        return spec


class _Loader:
    """Load xarray with its original loader, then import the accessors."""

    def __init__(self, original: Any) -> None:
        self._original = original

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._original.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # The module keeps its original loader, which serves its sources and resources.
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._original
        try:
            self._original.exec_module(module)
        except BaseException:
            # xarray may be installed, and imported again, later in this process.
            sys.meta_path.insert(0, _Finder())
            raise
        import_module(_ACCESSORS)
