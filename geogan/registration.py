"""Register the accessors with xarray: at once where xarray is imported, else as soon as it is.

``import geogan`` must register ``da.geogan`` and ``ds.geogan``, and ``geogan --help`` must not wait for xarray. No
object of xarray exists before xarray is imported, so nobody can miss the accessors until then.
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
    """Finds xarray as it would be found without it, and has the accessors imported after it; once."""

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
    """Loads xarray with its own loader, then the accessors."""

    def __init__(self, own: Any) -> None:
        self._own = own

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # The module keeps its own loader: resources and sources are asked of it.
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._own
        try:
            self._own.exec_module(module)
        except BaseException:
            # Whoever installs xarray after this may import it again.
            sys.meta_path.insert(0, _Finder())
            raise
        import_module(_ACCESSORS)
