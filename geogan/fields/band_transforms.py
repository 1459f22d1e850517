"""The transforms of the bands of a field, applied to all bands of an array (T, C, h, w)."""

from __future__ import annotations

import numpy as np

from geogan.fields.transforms import Transform, parse_transforms
from geogan.operators.errors import InputError
from geogan.operators.wording import counted


def transforms(text: str, bands: int) -> tuple[str, ...]:
    """Return the transform of each band, from one for all bands or one a band with commas between.

    Raises
    ------
    InputError
        If a transform is unknown, or their number is neither 1 nor the number of bands.

    Examples
    --------
    >>> transforms("none,log", 2), transforms("log", 2)
    (('none', 'log'), ('log', 'log'))
    """
    texts = tuple(str(transform) for transform in parse_transforms(text))
    if len(texts) == 1:
        return texts * bands
    if len(texts) != bands:
        raise InputError(
            f"transform names {counted(len(texts), 'band')}, the field has {bands}; give one for all bands, or one "
            "for each"
        )
    return texts


def nonlinear_bands(texts: tuple[str, ...]) -> list[tuple[slice, Transform]]:
    """Return the bands whose transform is not linear, with the transform; one slice if all bands have the same.

    Examples
    --------
    >>> [bands for bands, _ in nonlinear_bands(("none", "log"))]
    [slice(1, 2, None)]
    >>> [bands for bands, _ in nonlinear_bands(("log", "log"))]
    [slice(None, None, None)]
    """
    first = Transform.parse(texts[0])
    if len(set(texts)) == 1:
        return [] if first.is_linear else [(slice(None), first)]
    pairs = [(slice(band, band + 1), Transform.parse(text)) for band, text in enumerate(texts)]
    return [(band, transform) for band, transform in pairs if not transform.is_linear]


def sine_bands(texts: tuple[str, ...]) -> list[int]:
    """Return the bands that are sines of directions; the cosine of each is the next band.

    Examples
    --------
    >>> sine_bands(("none", "sine:360", "cosine:360"))
    [1]
    """
    pairs = enumerate(zip(texts, texts[1:]))
    return [band for band, (text, following) in pairs if text.startswith("sine") and following == "co" + text]


def transformed(values: np.ndarray, texts: tuple[str, ...]) -> np.ndarray:
    """Return transformed values (T, C, h, w) in float64; the values themselves if all transforms are linear.

    Raises
    ------
    InputError
        If a value is outside the range of its transform.
    """
    values = np.asarray(values, np.float64)
    nonlinear = nonlinear_bands(texts)
    if not nonlinear:
        return values
    values = values.copy()
    for bands, transform in nonlinear:
        finite = values[:, bands][~np.isnan(values[:, bands])]
        if finite.size:
            reason = transform.refusal("the field", float(finite.min()), float(finite.max()))
            if reason is not None:
                raise InputError(reason)
        values[:, bands] = transform.forward(values[:, bands])
    return values
