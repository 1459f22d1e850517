"""Directions at the edge: bands that stand twice inside, as sine and cosine, and once outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import xarray as xr

from geogan.archive.standardiser import Standardiser, transforms
from geogan.fields.field import Field
from geogan.fields.quantities import full_turn, is_direction
from geogan.fields.transforms import Transform
from geogan.fields.variables import is_joined, is_repeated, repeat_bands, split_variables
from geogan.operators.errors import InputError


class Directed(NamedTuple):
    """A field as it is inside, and how its bands are transformed there.

    Attributes
    ----------
    field : Field
        Bands of directions stand twice.
    transform : str
        One a band of ``field``, with commas between; as it was given where no band is a direction.
    remarks : tuple of str
        Sentences on the bands that were taken for directions without being asked.
    circular : tuple of int
        Bands of the field that are directions.
    """

    field: Field
    transform: str
    remarks: tuple[str, ...] = ()
    circular: tuple[int, ...] = ()

    def repeated(self, other: xr.DataArray) -> xr.DataArray:
        """Return another field of the same bands, such as their errors, with the same bands twice."""
        return repeat_bands(Field.of(other), self.circular).array


def directed(field: Field, transform: str) -> Directed:
    """Return a field whose bands of directions stand twice, with the transforms of sine and cosine.

    Parameters
    ----------
    field : Field
    transform : str
        One for all bands or one a band, with commas between. With ``"none"`` for all, bands that are known as
        directions (by ``standard_name`` and units) are transformed as such; ``"identity"`` leaves their numbers alone.

    Raises
    ------
    InputError
        For an unknown transform, or directions whose full turn is not known.

    Examples
    --------
    >>> import numpy as np
    >>> attrs = {"units": "degree", "standard_name": "wind_from_direction"}
    >>> wind = xr.DataArray(np.zeros((3, 2)), dims=("y", "x"), name="wdir", attrs=attrs)
    >>> found = directed(Field.of(wind), "none")
    >>> found.field.bands, found.transform
    (2, 'sine:360,cosine:360')
    """
    array, each = field.array, list(transforms(transform, field.bands))
    bands = split_variables(array) if is_joined(array) else [array] * field.bands
    remarks = []
    if set(each) == {"none"} and transform.strip() == "none":
        for band, one in enumerate(bands):
            if is_direction(one):
                each[band] = "circular"
                remarks.append(
                    f"{one.name or 'the field'} holds directions ({one.attrs.get('standard_name')}, in "
                    f"{one.attrs.get('units')}): they are filled as sine and cosine, with transform circular; give "
                    "identity to fill the numbers as they stand"
                )
    found: list[str] = []
    for text, one in zip(each, bands, strict=True):
        turned = Transform.parse(text)
        if turned.kind in ("sine", "cosine"):
            raise InputError(f"transform {turned.kind} is one half of a direction; give circular")
        if turned.kind != "circular":
            found.append(text)
            continue
        numbers = text.partition(":")[2] or (f"{turn:.17g}" if (turn := full_turn(one)) else "")
        if not numbers:
            raise InputError(
                f"transform circular needs directions in degrees or radians, but {one.name or 'the field'} is in "
                f"{one.attrs.get('units') or 'no units'}; write the ends of a full turn, as circular:0,360"
            )
        found += [f"sine:{numbers}", f"cosine:{numbers}"]
    circular = tuple(band for band, text in enumerate(each) if text.startswith("circular"))
    if not circular:
        return Directed(field, transform)
    return Directed(repeat_bands(field, circular), ",".join(found), tuple(dict.fromkeys(remarks)), circular)


def as_inside(field: Field, standardiser: Standardiser) -> Field:
    """Return a field whose bands of directions stand twice, as a standardiser has them; itself where it is so already.

    Parameters
    ----------
    field : Field
    standardiser : Standardiser
        Of a model that was fitted to such a field.
    """
    circular = _circular(standardiser)
    return repeat_bands(field, circular) if circular and not is_repeated(field.array) else field


def _circular(standardiser: Standardiser) -> Sequence[int]:
    return [band for band, own in enumerate(standardiser.own) if Transform.parse(standardiser.transforms[own]).is_angle]
