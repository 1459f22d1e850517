"""Domains: the cells of a grid in which a quantity exists."""

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
from geogan.operators.wording import counted

WORDS = ("observed", "all", "sea", "land")
# Smallest share of the observed cells inside a mask that is used as domain; a few cells may lie outside.
AGREEMENT = 0.98
# Smallest share of the observed cells at sea (or on land) for which coastlines are used; lakes have less.
LEAST_AGREEMENT = 0.5
# Names of masks of land and sea contain one of the first words, and none of the second.
_MASK_WORDS = {"mask", "lsm", "sea", "ocean", "land", "wet", "water", "tmask", "landmask", "seamask", "oceanmask"}
_NO_MASK_WORDS = {"qc", "flag", "flags", "quality", "cloud", "clouds", "ice", "status", "source", "valid", "rain"}


class Domain(NamedTuple):
    """A domain and its origin.

    Attributes
    ----------
    name : str
        As ``--domain`` takes it: a word of :data:`WORDS`, ``sea+observed`` or ``land+observed``, a variable's name, or
        ``not:`` and a variable's name; ``given`` for an array without a name.
    cells : ndarray of bool, shape (H, W)
    origin : str
        Its origin in words.
    remark : str
        A further remark for messages; empty if there is none.
    """

    name: str
    cells: np.ndarray
    origin: str
    remark: str = ""

    def sentence(self, observed: np.ndarray) -> str:
        """Return a sentence on the origin of the domain, its number of cells, and observed cells outside.

        Parameters
        ----------
        observed : ndarray of bool, shape (H, W)
            Where a value was ever observed.
        """
        text = f"domain: {self.origin}, {counted(int(self.cells.sum()), 'cell')}"
        text += f" ({self.remark})" if self.remark else ""
        outside = int((observed & ~self.cells).sum())
        if outside:
            text += f"; training and filling ignore {counted(outside, 'observed cell')} outside it"
        return text


def surface(field: Field, word: str) -> np.ndarray:
    """Return the cells of a grid at sea, or on land, by the coastlines in geogan.

    Parameters
    ----------
    field : Field
        With one- or two-dimensional latitudes and longitudes in degrees; longitudes modulo 360.
    word : {"sea", "land"}

    Returns
    -------
    cells : ndarray of bool, shape (H, W)
        By the centres of cells; False where a centre has no coordinates.

    Raises
    ------
    InputError
        If the field has no latitudes and longitudes, or no cell is at sea (or on land).

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
    """Return the requested domain; None if it depends on the observations.

    Parameters
    ----------
    field : Field
    domain : str, ndarray of bool, DataArray, Dataset, optional
        A word of :data:`WORDS`; or a mask, 1 where the quantity exists, aligned by its dimension names if it has them;
        or masks from which :func:`known_domain` may choose.

    Raises
    ------
    InputError
        For an unknown word, a mask on another grid, or a mask with other values than 0 and 1.

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
    """Return the domain of a field that depends on where it was observed.

    Parameters
    ----------
    field : Field
    domain : str, Dataset, optional
        ``"observed"``, ``"sea+observed"`` or ``"land+observed"``; or, with ``"auto"`` or a Dataset of masks, the first
        mask that contains the observed cells, else sea or land by the ``standard_name`` together with the observed
        cells. Otherwise, and by default, the observed cells; in a single scene all cells.
    observed : ndarray of bool, shape (H, W)
        Where a value was ever observed.
    is_scene : bool
        Whether the field is a single scene, whose gaps may be land or cloud.

    Raises
    ------
    InputError
        If sea or land is requested and the field has no latitudes and longitudes, or no such cells.
    """
    if field.axes.independent:
        # Samples have no common land.
        return Domain("all", np.ones_like(observed), "all")
    if isinstance(domain, str) and domain not in ("observed", "auto"):
        return _joined(field, next(word for word in domain.split("+") if word != "observed"), observed)
    if isinstance(domain, xr.Dataset) or domain == "auto":
        masks = domain if isinstance(domain, xr.Dataset) else xr.Dataset()
        fitting = _fitting_mask(masks, field, observed, is_scene=is_scene) or _of_quantity(field, observed)
        if fitting is not None:
            return fitting
    # isinstance first: comparing a Dataset with a text compares each of its variables.
    if is_scene and not (isinstance(domain, str) and domain == "observed"):
        return Domain(
            "all",
            np.ones_like(observed),
            "all",
            "a single scene: every cell counts as domain; give a domain to keep land out",
        )
    return Domain("observed", observed, "where anything was observed")


def _joined(field: Field, word: str, observed: np.ndarray) -> Domain:
    """Return sea or land together with observed cells elsewhere, since coastlines are coarser than many grids."""
    cells = surface(field, word)
    outside = int((observed & ~cells).sum())
    if not outside:
        return Domain(word, cells, f"{word} from the coastlines")
    origin = f"{word} from the coastlines and {counted(outside, 'observed cell')} beyond them"
    return Domain(f"{word}+observed", cells | observed, origin)


def _of_quantity(field: Field, observed: np.ndarray) -> Domain | None:
    """Return the domain by the standard name of the quantity; None if variables differ or it is not known."""
    surfaces = {surface_of(variable) for variable in split_variables(field.array)}
    word = surfaces.pop()
    if surfaces or word is None or not {"latitude", "longitude"} <= places_of(field).keys():
        return None
    try:
        domain = _joined(field, word, observed)
    except InputError:
        return None  # no cell is at sea (or on land)
    inside = int((surface(field, word) & observed).sum())
    return domain if inside >= LEAST_AGREEMENT * observed.sum() else None


def _fitting_mask(masks: xr.Dataset, field: Field, observed: np.ndarray, *, is_scene: bool) -> Domain | None:
    """Return the first mask of land or sea that contains the observed cells, as stored or inverted."""
    for name, mask in masks.data_vars.items():
        words = set(str(name).lower().replace("-", "_").split("_"))
        is_stated = str(mask.attrs.get("standard_name", "")).endswith("binary_mask")
        if not is_stated and (not words & _MASK_WORDS or words & _NO_MASK_WORDS):
            continue
        values = mask.transpose(field.axes.y, field.axes.x).values
        values = np.nan_to_num(values) if values.dtype.kind == "f" else values
        if values.shape != observed.shape or values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
            continue
        for text, cells in ((str(name), values == 1), (f"not:{name}", values == 0)):
            # In a single scene, a mask that equals the observed cells marks clouds, not land.
            if is_scene and np.array_equal(cells, observed):
                continue
            if cells.any() and (cells & observed).sum() >= AGREEMENT * observed.sum():
                return Domain(text, cells, f"{name} of the data" + ", where it is 0" * text.startswith("not:"))
    return None


def _given(field: Field, domain: np.ndarray | xr.DataArray) -> Domain:
    """Return a domain from a mask that was given as an array."""
    name, origin = "given", "as given"
    if isinstance(domain, xr.DataArray) and domain.name is not None:
        name, origin = str(domain.name), f"{domain.name} of the data"
        if name.startswith("not:"):
            origin = f"{name.removeprefix('not:')} of the data, where it is 0"
    return Domain(name, as_domain(domain, field), origin)
