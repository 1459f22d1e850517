"""Domains: which cells of a grid a quantity exists in, as asked for or by what is known of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

from geogan.fields.alignment import as_domain
from geogan.fields.coastlines import land_cells
from geogan.fields.field import Field
from geogan.fields.grids import places_of
from geogan.fields.quantities import surface_of
from geogan.fields.variables import split_variables
from geogan.operators.errors import InputError

WORDS = ("observed", "all", "sea", "land")
# A mask is believed where it holds this share of the cells that were observed: a few lie on its wrong side often.
AGREEMENT = 0.98
# Coastlines that hold less of them than this share say nothing of the field, which may be that of lakes.
LEAST_AGREEMENT = 0.5
# A mask of land and sea has one of these words in its name, and none of those that follow.
_MASK_WORDS = {"mask", "lsm", "sea", "ocean", "land", "wet", "water", "tmask", "landmask", "seamask", "oceanmask"}
_NO_MASK_WORDS = {"qc", "flag", "flags", "quality", "cloud", "clouds", "ice", "status", "source", "valid", "rain"}


class Domain(NamedTuple):
    """A domain, and where it comes from.

    Attributes
    ----------
    name : str
        As ``--domain`` takes it: a word of :data:`WORDS`, ``sea+observed`` or ``land+observed``, a variable's name, or
        ``not:`` and a variable's name; ``given`` for an array without a name.
    cells : ndarray of bool, shape (H, W)
    origin : str
        Where it comes from, in words.
    remark : str
        What else is to be said of it.
    """

    name: str
    cells: np.ndarray
    origin: str
    remark: str = ""

    def sentence(self, observed: np.ndarray) -> str:
        """Say where the domain comes from, its number of cells, and how many observed cells lie outside.

        Parameters
        ----------
        observed : ndarray of bool, shape (H, W)
            Where a value was ever observed.
        """
        text = f"domain: {self.origin}, {int(self.cells.sum()):,} cells"
        text += f" ({self.remark})" if self.remark else ""
        outside = int((observed & ~self.cells).sum())
        if outside:
            were = "cell outside it was" if outside == 1 else "cells outside it were"
            text += f"; {outside:,} {were} observed, and nothing is learned from or filled there"
        return text


def surface(field: Field, word: str) -> np.ndarray:
    """Return the cells of a field's grid at sea, or those on land, by the coastlines that come with geogan.

    Parameters
    ----------
    field : Field
        With latitudes and longitudes in degrees, one- or two-dimensional; longitudes of any turn.
    word : {"sea", "land"}

    Returns
    -------
    cells : ndarray of bool, shape (H, W)
        By the cells' centres; False where a centre has no place.

    Raises
    ------
    InputError
        If there are no latitudes and longitudes, or no cell is at sea, or on land.

    Examples
    --------
    >>> coords = {"lat": [48.5, 37.0], "lon": [2.5, 350.0]}
    >>> field = Field.of(xr.DataArray(np.zeros((2, 2)), dims=("lat", "lon"), coords=coords))
    >>> surface(field, "land").tolist()
    [[True, False], [False, False]]
    """
    name, shape, places = field.name, field.grid, places_of(field)
    if not {"latitude", "longitude"} <= places.keys():
        raise InputError(
            f"domain {word} needs latitudes and longitudes in degrees, which {name} does not have; give the name of a "
            "mask, or add the coordinates lat and lon"
        )
    latitude, longitude = (np.broadcast_to(places[kind], shape) for kind in ("latitude", "longitude"))
    known = np.isfinite(latitude) & np.isfinite(longitude)
    dry = np.zeros(shape, bool)
    dry[known] = land_cells(latitude[known], longitude[known])
    cells = known & (dry if word == "land" else ~dry)
    if not cells.any():
        where = "on land" if word == "land" else "at sea"
        raise InputError(
            f"domain {word} is empty: no cell of {name} lies {where} by the coastlines that come with geogan, and "
            f"there is no variable {word!r}; give the name of a mask, or observed"
        )
    return cells


def named_domain(field: Field, domain: str | np.ndarray | xr.DataArray | xr.Dataset | None) -> Domain | None:
    """Return the domain that was asked for; None where only what was observed can tell.

    Parameters
    ----------
    field : Field
    domain : str, ndarray of bool, DataArray, Dataset, optional
        A word of :data:`WORDS`; or a mask, 1 where the quantity exists, aligned by the names of its dimensions if it
        has any; or masks of which one may be chosen by :func:`known_domain`.

    Raises
    ------
    InputError
        For an unknown word, a mask of another grid, or one with other values than 0 and 1.

    Examples
    --------
    >>> field = Field.of(xr.DataArray(np.zeros((2, 3)), dims=("y", "x"), name="sst"))
    >>> named_domain(field, "all").sentence(np.ones((2, 3), bool))
    'domain: all, 6 cells'
    """
    if domain is None or isinstance(domain, xr.Dataset):
        return None
    if not isinstance(domain, str):
        return _given(field, domain)
    words = [word.strip() for word in domain.split("+")]
    for word in words:
        if word not in (*WORDS, "auto"):
            raise InputError(f"domain must be one of {', '.join(WORDS)}, or a mask, got {domain!r}; give one of these")
    if "all" in words:
        return Domain("all", np.ones(field.grid, bool), "all")
    if words[0] in ("sea", "land") and len(words) == 1:
        return Domain(domain, surface(field, domain), f"{domain} from the coastlines")
    return None


def known_domain(
    field: Field, domain: str | xr.Dataset | None, observed: np.ndarray, *, is_scene: bool = False
) -> Domain:
    """Return the domain of a field where what was observed has a say.

    Parameters
    ----------
    field : Field
    domain : str, Dataset, optional
        ``"observed"``, ``"sea+observed"`` or ``"land+observed"``; or, with ``"auto"`` or a Dataset of masks, what is
        known: the first mask that holds what was observed, or by the ``standard_name`` of the quantity sea or land and
        what was observed. Otherwise, and by default, where a value was observed; in a single scene every cell.
    observed : ndarray of bool, shape (H, W)
        Where a value was ever observed.
    is_scene : bool
        Whether the field is a single scene: what it does not show may be land or cloud.

    Raises
    ------
    InputError
        If sea or land was asked for and there are no latitudes and longitudes, or none of their cells.
    """
    if field.axes.independent:
        # What a cell is in one sample says nothing of what it is in another.
        return Domain("all", np.ones_like(observed), "all")
    if isinstance(domain, str) and domain not in ("observed", "auto"):
        return _joined(field, next(word for word in domain.split("+") if word != "observed"), observed)
    if isinstance(domain, xr.Dataset) or domain == "auto":
        masks = domain if isinstance(domain, xr.Dataset) else xr.Dataset()
        found = _fitting_mask(masks, field, observed, is_scene=is_scene) or _of_quantity(field, observed)
        if found is not None:
            return found
    # A Dataset of masks compared with a text would be compared variable by variable.
    if is_scene and not (isinstance(domain, str) and domain == "observed"):
        return Domain(
            "all",
            np.ones_like(observed),
            "all",
            "a single scene: every cell counts as domain; give a domain to keep land out",
        )
    return Domain("observed", observed, "where anything was observed")


def _joined(field: Field, word: str, observed: np.ndarray) -> Domain:
    """Sea or land, and what was observed elsewhere: coastlines are coarser than many grids."""
    cells = surface(field, word)
    outside = int((observed & ~cells).sum())
    if not outside:
        return Domain(word, cells, f"{word} from the coastlines")
    origin = f"{word} from the coastlines and {outside:,} cells beyond them that were observed"
    return Domain(f"{word}+observed", cells | observed, origin)


def _of_quantity(field: Field, observed: np.ndarray) -> Domain | None:
    """The domain that the standard name of the quantity tells, or those of all variables."""
    found = {surface_of(variable) for variable in split_variables(field.array)}
    word = found.pop()
    if found or word is None or not {"latitude", "longitude"} <= places_of(field).keys():
        return None
    try:
        domain = _joined(field, word, observed)
    except InputError:
        return None  # no cell is there, whatever the name says
    inside = int((surface(field, word) & observed).sum())
    return domain if inside >= LEAST_AGREEMENT * observed.sum() else None


def _fitting_mask(masks: xr.Dataset, field: Field, observed: np.ndarray, *, is_scene: bool) -> Domain | None:
    """The first mask of land or sea that holds what was observed, as it is or turned round."""
    for name, mask in masks.data_vars.items():
        words = set(str(name).lower().replace("-", "_").split("_"))
        stated = str(mask.attrs.get("standard_name", "")).endswith("binary_mask")
        if not stated and (not words & _MASK_WORDS or words & _NO_MASK_WORDS):
            continue
        values = mask.transpose(field.axes.y, field.axes.x).values
        values = np.nan_to_num(values) if values.dtype.kind == "f" else values
        if values.shape != observed.shape or values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
            continue
        for text, cells in ((str(name), values == 1), (f"not:{name}", values == 0)):
            # Of a single scene a mask may be no more than where it was observed.
            if is_scene and np.array_equal(cells, observed):
                continue
            if cells.any() and (cells & observed).sum() >= AGREEMENT * observed.sum():
                return Domain(text, cells, f"{name} of the data" + ", where it is 0" * text.startswith("not:"))
    return None


def _given(field: Field, domain: np.ndarray | xr.DataArray) -> Domain:
    """A mask that was given as an array."""
    name, origin = "given", "as given"
    if isinstance(domain, xr.DataArray) and domain.name is not None:
        name, origin = str(domain.name), f"{domain.name} of the data"
        if name.startswith("not:"):
            origin = f"{name.removeprefix('not:')} of the data, where it is 0"
    return Domain(name, as_domain(domain, field), origin)
