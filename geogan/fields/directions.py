"""Directions: one band of degrees or radians for the user, two bands of sine and cosine for the network."""

from __future__ import annotations

from typing import NamedTuple

import xarray as xr

from geogan.fields.band_transforms import transforms
from geogan.fields.field import Field
from geogan.fields.quantities import full_turn, is_direction
from geogan.fields.transforms import Transform
from geogan.fields.variables import is_joined, repeat_bands, split_variables
from geogan.operators.errors import InputError


class Directed(NamedTuple):
    """A field with two bands for each direction, and the transforms of its bands.

    Attributes
    ----------
    field : Field
        Each band of directions is repeated.
    transform : str
        One a band of ``field``, with commas between; as given if no band is a direction.
    remarks : tuple of str
        Sentences about bands that were recognised as directions.
    circular : tuple of int
        Bands of the original field that are directions.
    """

    field: Field
    transform: str
    remarks: tuple[str, ...] = ()
    circular: tuple[int, ...] = ()

    def repeated(self, other: xr.DataArray) -> xr.DataArray:
        """Return another field of the same bands, such as their errors, with the same bands repeated."""
        return repeat_bands(Field.of(other), self.circular).array


def directed(field: Field, transform: str) -> Directed:
    """Return a field with two bands for each direction, and the transforms of sine and cosine.

    Parameters
    ----------
    field : Field
    transform : str
        One for all bands or one a band, with commas between. With ``"none"`` for all, bands are recognised as
        directions by ``standard_name`` and units; ``"identity"`` uses their numbers as they are.

    Returns
    -------
    Directed

    Raises
    ------
    InputError
        If a transform is unknown, or the full turn of a direction is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> attrs = {"units": "degree", "standard_name": "wind_from_direction"}
    >>> wind = xr.DataArray(np.zeros((3, 2)), dims=("y", "x"), name="wdir", attrs=attrs)
    >>> components = directed(Field.of(wind), "none")
    >>> components.field.bands, components.transform
    (2, 'sine:360,cosine:360')
    """
    array, texts = field.array, list(transforms(transform, field.bands))
    variables = split_variables(array) if is_joined(array) else [array] * field.bands
    remarks = []
    if set(texts) == {"none"} and transform.strip() == "none":
        for band, variable in enumerate(variables):
            if is_direction(variable):
                texts[band] = "circular"
                remarks.append(
                    f"{variable.name or 'the field'} holds directions ({variable.attrs.get('standard_name')}, in "
                    f"{variable.attrs.get('units')}): they are filled as sine and cosine, with transform circular; "
                    "give identity to fill the numbers as they are"
                )
    repeated: list[str] = []
    for text, variable in zip(texts, variables, strict=True):
        kind = Transform.parse(text).kind
        if kind in ("sine", "cosine"):
            raise InputError(f"transform {kind} is one half of a direction; give circular")
        if kind != "circular":
            repeated.append(text)
            continue
        numbers = text.partition(":")[2] or (f"{turn:.17g}" if (turn := full_turn(variable)) else "")
        if not numbers:
            raise InputError(
                f"transform circular needs directions in degrees or radians, but {variable.name or 'the field'} is in "
                f"{variable.attrs.get('units') or 'no units'}; write the ends of a full turn, as circular:0,360"
            )
        repeated += [f"sine:{numbers}", f"cosine:{numbers}"]
    circular = tuple(band for band, text in enumerate(texts) if text.startswith("circular"))
    if not circular:
        return Directed(field, transform)
    return Directed(repeat_bands(field, circular), ",".join(repeated), tuple(dict.fromkeys(remarks)), circular)
