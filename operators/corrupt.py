"""An operator applied to a labelled field: the gaps and errors that a measurement of it would have."""

import functools
import hashlib
from collections.abc import Hashable

import dask.array as da
import numpy as np
import torch
import xarray as xr
from dask.base import is_dask_collection, tokenize

from geogan.operators.errors import InputError
from geogan.operators.operator import Operator, dated_generator

_MICROSECONDS = 86_400_000_000
_SAMPLES = ("sample", "samples", "image", "images", "n")
_BANDS = ("band", "bands", "channel", "channels", "rgb", "rgba", "colour", "color", "wavelength", "wavelengths", "c")


def corrupt(
    field: xr.DataArray,
    operator: Operator,
    *,
    seed: int = 0,
    time: str | None = None,
    dims: tuple[str, str] | None = None,
    band: str | None = None,
    scale: float = 1.0,
    step: float = 1.0,
    independent: bool | None = None,
) -> xr.DataArray:
    """Measure a field: hide, blur and disturb it as ``operator`` says.

    What a date suffers depends on ``seed`` and that date alone, not on chunks, nor on which other dates
    are there. Dask arrays stay lazy. Chunks in time cost nothing; chunks in space or bands make each of them
    draw the whole frame's gaps, and a blur or noise reads whole frames.

    Images without dates are known by their number instead, or by their name: each is corrupted once and
    stays so.

    Parameters
    ----------
    field : DataArray, floating point, shape ([time,] [...,] y, x)
        In its own units; NaN (land, gaps) stays NaN. Channels (bands) share their gaps, unless the operator
        is ``channelwise``, and never their noise. Where there are more dimensions, all of them share their gaps.
    operator : Operator
        What measures, its parameters settled.
    seed : int
        Two seeds give two independent measurements.
    time : str, optional
        The dimension of dates. Default: the one whose coordinate holds dates, else the one named
        ``time``, else the one named ``sample`` or ``image``, else the leading one that is not ``band``
        nor named so. Dates may be datetime64, cftime or numbers. A field without it is one frame; if a date
        (or a sample's number) is left as a scalar coordinate, it is that date's.
    dims : (str, str), optional
        The dimensions (y, x). Default: the last two.
    band : str, optional
        The dimension of channels. Default: the one that is left, if it is one.
    scale : float
        What one standardised anomaly is in the field's units (its standard deviation, say): the
        operator's ``noise`` is multiplied by it. Not computed from the field, which may be lazy.
    step : float
        Time from one frame to the next: days for dates, else the coordinate's unit. Persistence counts
        in frames.
    independent : bool, optional
        Whether the dates are samples that have nothing to do with their neighbours: clouds then do not persist
        from one to the next, stations are not fixed, and ``step`` does not count. A sample is known by its
        coordinate (a number or a name), else by its position. Default: true of a dimension without dates named
        ``sample``, ``samples``, ``image``, ``images`` or ``n``.

    Returns
    -------
    DataArray
        As ``field``: name, coordinates, attributes, encoding, type, chunks; NaN where hidden.

    Raises
    ------
    InputError
        If the field is not floating point, a dimension is missing, a date is not a time, ``scale`` or
        ``step`` is not a positive number, or the operator cannot measure frames of this shape.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from geogan.operators.pixels import RemovePixel
    >>> field = xr.DataArray(np.ones((3, 20, 30)), dims=("time", "y", "x"))
    >>> gappy = corrupt(field, RemovePixel(p=0.5), seed=1)
    >>> bool(0.4 < gappy.isnull().mean() < 0.6)
    True
    """
    _check(field, scale=scale, step=step)
    row, column = _spatial(field, dims)
    date = _time(field, (row, column), time, band)
    if independent is None:
        independent = _are_samples(field, date)
    steps = _steps(field, date, 1.0 if independent else step, named=independent)
    size = field.sizes[row], field.sizes[column]
    others = [dim for dim in field.dims if dim not in (date, row, column)]
    # Only operators that tell channels apart are asked to draw them all.
    channel = others[0] if len(others) == 1 and operator.channelwise else None
    bands = np.arange(1 if channel is None else field.sizes[channel])
    operator.check_shape((1, 1, len(bands), *size))
    measure = functools.partial(
        _measure,
        operator=operator,
        shape=(len(bands), *size),
        seed=seed,
        scale=scale,
        independent=independent,
        axes=tuple(field.get_axis_num(dim) for dim in ((row, column) if date is None else (date, row, column))),
    )
    rows, columns = np.arange(size[0]), np.arange(size[1])
    if not is_dask_collection(field):
        return field.copy(data=measure(field.values, steps, bands, rows, columns))

    source = field.data
    if not operator.exact:
        # A blur reads across chunks, and the noise of a frame is drawn at once for all its bands.
        source = source.rechunk({axis: -1 for axis, dim in enumerate(field.dims) if dim != date})
    chunks = dict(zip(field.dims, source.chunks))
    axes = dict(zip(field.dims, range(field.ndim)))

    def along(index: np.ndarray, dim: Hashable | None) -> tuple:
        return (index, None) if dim is None else (da.from_array(index, chunks=chunks[dim]), (axes[dim],))

    measured = da.blockwise(
        measure,
        tuple(range(field.ndim)),
        source,
        tuple(range(field.ndim)),
        *along(steps, date),
        *along(bands, channel),
        *along(rows, row),
        *along(columns, column),
        dtype=field.dtype,
        meta=np.empty((0,) * field.ndim, dtype=field.dtype),
        # An operator's parameters do not show what it was fitted to; its state does.
        name="corrupt-"
        + tokenize(
            source.name,
            repr(operator),
            {k: v.numpy() for k, v in operator.state().items()},
            seed,
            scale,
            steps,
            size,
            independent,
        ),
    )
    return field.copy(data=measured.rechunk(field.chunks))


def _check(field: xr.DataArray, *, scale: float, step: float) -> None:
    if not np.issubdtype(field.dtype, np.floating):
        raise InputError(
            f"a field must be floating point to hold NaN in its gaps, got {field.dtype}; convert it with "
            "field.astype('float32')"
        )
    for name, value in (("scale", scale), ("step", step)):
        if not 0 < value < float("inf"):
            raise InputError(f"{name} must be more than 0, got {value}; give a positive number, or leave it at 1")


def _spatial(field: xr.DataArray, dims: tuple[str, str] | None) -> tuple[Hashable, Hashable]:
    if dims is None:
        if field.ndim < 2:
            raise InputError(
                f"a field needs two dimensions (y, x), got {tuple(field.dims)}; give a map or a series of maps"
            )
        return field.dims[-2], field.dims[-1]
    if len(set(dims)) != 2 or not set(dims) <= set(field.dims):
        raise InputError(
            f"dims must be two dimensions (y, x) of the field, got {tuple(dims)}; choose from {tuple(field.dims)}"
        )
    return dims


def _time(
    field: xr.DataArray, spatial: tuple[Hashable, Hashable], time: str | None, band: str | None
) -> Hashable | None:
    """The dimension of dates, or None for a field that is one frame."""
    others = [dim for dim in field.dims if dim not in spatial]
    if band is not None and band not in others:
        raise InputError(
            f"band must be a dimension of the field beside {spatial}, got {band!r}; choose from {tuple(others)}"
        )
    others = [dim for dim in others if dim != band]
    if time is not None:
        if time not in others:
            raise InputError(
                f"time must be a dimension of the field beside {spatial}, got {time!r}; choose from {tuple(others)}"
            )
        return time
    dated = [dim for dim in others if dim in field.coords and _holds_dates(field[dim])]
    if dated:
        return dated[0]
    if "time" in others:
        return "time"
    numbered = [dim for dim in others if str(dim).lower() in _SAMPLES]
    if numbered:
        return numbered[0]
    if _scalar_date(field) is not None:
        return None
    return next((dim for dim in others if str(dim).lower() not in _BANDS), None)


def _are_samples(field: xr.DataArray, date: Hashable | None) -> bool:
    """Whether the frames are samples, known by their dimension's name, not dates."""
    scalar = _scalar_date(field)
    if date is None:
        return scalar is not None and str(scalar.name).lower() in _SAMPLES and not _holds_dates(scalar)
    return str(date).lower() in _SAMPLES and not (date in field.coords and _holds_dates(field[date]))


def _holds_dates(coordinate: xr.DataArray) -> bool:
    # cftime dates come as objects; their class is asked by its attribute, so that cftime stays optional.
    return np.issubdtype(coordinate.dtype, np.datetime64) or (
        coordinate.dtype == object and coordinate.size > 0 and hasattr(coordinate.values.flat[0], "calendar")
    )


def _scalar_date(field: xr.DataArray) -> xr.DataArray | None:
    """The date, or the sample's number, of a field that is one frame of a series."""
    scalars = [coordinate for coordinate in field.coords.values() if coordinate.ndim == 0]
    dated = (c for c in scalars if c.name == "time" or _holds_dates(c))
    return next(dated, next((c for c in scalars if str(c.name).lower() in _SAMPLES), None))


def _steps(field: xr.DataArray, date: Hashable | None, step: float, *, named: bool) -> np.ndarray:
    """Dates counted in frames; days are counted from 1970. Names count as numbers of their own where ``named``."""
    if date is None:
        scalar = _scalar_date(field)
        values = np.zeros(1) if scalar is None else np.atleast_1d(scalar.values)
    elif date in field.coords:
        values = np.asarray(field[date].values)
    else:
        values = np.arange(field.sizes[date])
    if np.issubdtype(values.dtype, np.datetime64):
        if np.isnat(values).any():
            raise InputError(
                "every date must be a time, got NaT among them; drop it with field.dropna on that dimension"
            )
        days = values.astype("datetime64[us]").astype(np.int64) / _MICROSECONDS
    elif values.dtype == object and values.size and hasattr(values.flat[0], "calendar"):
        import cftime

        days = np.asarray(cftime.date2num(values, "microseconds since 1970-01-01", values.flat[0].calendar))
        days = days / _MICROSECONDS
    elif np.issubdtype(values.dtype, np.timedelta64):
        days = values.astype("timedelta64[us]").astype(np.int64) / _MICROSECONDS
    elif np.issubdtype(values.dtype, np.number):
        days = values.astype(np.float64)
    elif named:
        # 52 bits of a digest, which a float holds exactly: an image's name says the same in any company.
        digests = [hashlib.blake2b(str(value).encode(), digest_size=8).digest() for value in values]
        days = np.array([int.from_bytes(digest) >> 12 for digest in digests], dtype=np.float64)
    else:
        # Names (of scenes) have no distance: count them.
        days = np.arange(len(values), dtype=np.float64)
    if not np.isfinite(days).all():
        raise InputError(f"every value of {date} must be a number, got NaN among them; drop it first")
    return days / step


def _measure(
    block: np.ndarray,
    steps: np.ndarray,
    bands: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    *,
    operator: Operator,
    shape: tuple[int, int, int],
    seed: int,
    scale: float,
    independent: bool,
    axes: tuple[int, ...],
) -> np.ndarray:
    """Measure one block: dates ``steps``, and ``bands``, ``rows`` and ``columns`` of frames of ``shape`` (C, H, W)."""
    result = np.array(block)
    if result.size == 0:
        return result
    # A view (dates, bands..., y, x) of the result, whatever the order of the dimensions.
    frames = np.moveaxis(result, axes, (*range(len(axes) - 2), -2, -1))
    if len(axes) == 2:
        frames = frames[None]
    if frames.ndim == 3:
        frames = frames[:, None]
    channels, *size = shape
    for frame, step in zip(frames, steps.tolist(), strict=True):
        if independent:
            # A film of its own: what an operator remembers ends with it.
            theta = operator.sample((1, 1, *shape), generator=dated_generator(seed, step))
        else:
            theta = operator.at((size[0], size[1]), step, seed=seed, channels=channels)
        if operator.exact:
            seen = operator.apply(torch.zeros(1, 1, *shape), theta).mask[0, 0].numpy() > 0
            frame[...] = np.where(seen[np.ix_(bands, rows, columns)], frame, np.nan)
            continue
        x = torch.from_numpy(frame.reshape(1, 1, -1, *size).astype(np.float64))
        valid = torch.isfinite(x)
        # Normalised convolution (Knutsson and Westin, 1993): the blur of the values over the blur of the
        # ones, so that land and gaps weigh nothing. F is linear, so this holds for any order of operators.
        values, mask = operator.apply(torch.where(valid, x, 0.0), theta)
        weight = operator.apply(valid.to(x.dtype), theta).values
        seen_here = valid & (mask > 0)
        measured = values / torch.where(seen_here, weight, 1.0)
        if operator.noise:
            # Its own stream: epsilon must not follow the clouds.
            generator = dated_generator(seed, step, 1.0)
            measured = measured + operator.noise * scale * torch.randn(x.shape, generator=generator, dtype=x.dtype)
        frame[...] = torch.where(seen_here, measured, torch.nan).numpy().reshape(frame.shape)
    return result
