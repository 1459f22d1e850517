"""Reading: the group, the dimensions and the condition with which files are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import xarray as xr

from geogan.io.conditions import Condition, parse_conditions
from geogan.operators.errors import InputError

ROLES = ("time", "band", "y", "x")
"""Roles of dimensions."""


@dataclass(frozen=True)
class Reading:
    """How files are read.

    Attributes
    ----------
    group : str or None
        Group of a NetCDF4 file or a Zarr store, nested ones with slashes; None for the root, or the only group that
        holds fields.
    dims : tuple of (str, str)
        Roles and names of dimensions; the dimensions are renamed to ``time``, ``band``, ``y`` and ``x``.
    where : str or None
        Condition on other variables, as in `geogan.io.conditions.parse_conditions`: cells that fail it are gaps.
    is_beside : bool
        For files that accompany the data and may have another layout: a missing group or dimension is ignored.
    """

    group: str | None = None
    dims: tuple[tuple[str, str], ...] = ()
    where: str | None = None
    is_beside: bool = False

    @classmethod
    def of(
        cls, group: str | None = None, dims: str | Mapping[str, str] | None = None, where: str | None = None
    ) -> Reading:
        """Return a reading from text; refuse anything that is not understood.

        Parameters
        ----------
        group : str, optional
        dims : str or mapping, optional
            ``"time=t,y=YDim,x=XDim"`` or ``{"y": "YDim", "x": "XDim"}``.
        where : str, optional

        Raises
        ------
        InputError
            If a role is unknown, a dimension is named twice, or the condition is not understood.

        Examples
        --------
        >>> Reading.of(dims="y=YDim,x=XDim").dims
        (('y', 'YDim'), ('x', 'XDim'))
        """
        for name, given in (("group", group), ("where", where)):
            if given is not None and not isinstance(given, str):
                raise InputError(f"{name} must be text, got {type(given).__name__}; give a name or leave it out")
        group = None if group is None else group.strip("/ ") or None
        where = None if where is None else where.strip() or None
        if where is not None:
            parse_conditions(where)
        return cls(group, _pairs(dims), where)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions that cells must meet."""
        return () if self.where is None else parse_conditions(self.where)

    @property
    def plain(self) -> dict[str, Any]:
        """The entries that are set, as plain values for JSON."""
        dims = ",".join(f"{role}={name}" for role, name in self.dims)
        entries = {"group": self.group, "dims": dims or None, "where": self.where}
        return {name: value for name, value in entries.items() if value is not None}

    def unless(self, given: Mapping[str, str | Mapping[str, str] | None]) -> Reading:
        """Return the reading with the given entries replaced; an empty text removes an entry.

        Parameters
        ----------
        given : mapping
            ``group``, ``dims`` and ``where``; None keeps an entry.

        Examples
        --------
        >>> Reading(group="Grid", where="quality>3").unless({"where": "", "group": None})
        Reading(group='Grid', dims=(), where=None, is_beside=False)
        """
        entries: dict[str, Any] = {"group": self.group, "dims": dict(self.dims), "where": self.where}
        return Reading.of(**entries | {name: value for name, value in given.items() if value is not None})

    def beside(self) -> Reading:
        """Return the reading of files that accompany the data: masks, a truth, clean fields."""
        return replace(self, where=None, is_beside=True)

    def unconditional(self) -> Reading:
        """Return the reading without its condition."""
        return replace(self, where=None)

    def renamed(self, dataset: xr.Dataset, label: str) -> xr.Dataset:
        """Return a dataset whose dimensions have the names of their roles.

        Raises
        ------
        InputError
            If a dimension does not exist, or something else has the name of a role.
        """
        names = {name: role for role, name in self.dims if name in dataset.dims and name != role}
        lacking = [name for _, name in self.dims if name not in dataset.dims]
        if lacking and not self.is_beside:
            raise InputError(
                f"{label} has no dimension {lacking[0]!r}; it has {', '.join(map(str, dataset.dims)) or 'none'}, "
                "choose among them with --dims (dims= in Python)"
            )
        taken = [role for role in names.values() if role in (*dataset.variables, *dataset.dims) and role not in names]
        if taken:
            raise InputError(
                f"{label} cannot have its dimensions renamed to {', '.join(names.values())}, for {taken[0]!r} is "
                "something else there; rename that first"
            )
        return dataset.rename(names)


PLAIN = Reading()
"""Reading without group, dimensions and condition."""


def _pairs(dims: str | Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    """Return pairs of role and dimension from a text or a mapping."""
    if dims is None:
        return ()
    if isinstance(dims, str):
        parts = [part.partition("=") for part in dims.split(",") if part.strip()]
        if any(not sign for _, sign, _ in parts):
            raise InputError(
                f"dims must be roles and dimensions such as 'time=t,y=YDim,x=XDim', got {dims!r}; write it so"
            )
        pairs = [(role.strip(), name.strip()) for role, _, name in parts]
    elif isinstance(dims, Mapping):
        pairs = [(str(role), str(name)) for role, name in dims.items()]
    else:
        raise InputError(f"dims must be text or a mapping, got {type(dims).__name__}; write 'y=YDim,x=XDim'")
    for role, name in pairs:
        if role not in ROLES or not name:
            raise InputError(
                f"dims has {role}={name}, where a role ({', '.join(ROLES)}) and the dimension that has it are "
                "expected; write for example 'time=t,y=YDim,x=XDim'"
            )
    for position in (0, 1):
        if len({pair[position] for pair in pairs}) < len(pairs):
            raise InputError(f"dims names a role or a dimension twice, got {dims!r}; give each once")
    return tuple(pairs)
