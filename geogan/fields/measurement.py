"""Measurement of a field by an operator: the gaps, the blur and the noise that it would have."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import dask.array as da
import numpy as np
import torch
import xarray as xr
from dask.base import tokenize

from geogan.fields.axes import SAMPLES
from geogan.fields.field import Field
from geogan.fields.written_dates import holds_dates, is_cftime
from geogan.operators.errors import InputError
from geogan.operators.operator import Operator, Theta, dated_generator

_MICROSECONDS_PER_DAY = 86_400_000_000


def measure(field: Field, operator: Operator, *, seed: int = 0, scale: float = 1.0, step: float = 1.0) -> xr.DataArray:
    """Apply an operator to every frame of a field.

    The measurement of a date depends on ``seed`` and that date only, not on chunks or on the other dates of the
    field. Chunks in time cost nothing; with chunks in space or bands each chunk draws the gaps of the whole frame, and
    a blur or noise reads whole frames. Independent samples are identified by their coordinate (a number or a name),
    else by their position; they do not share clouds or stations, and ``step`` does not count for them.

    Parameters
    ----------
    field : Field
        Floating point; NaN (land, gaps) stays NaN. Bands share their gaps unless the operator is ``channelwise``, and
        never their noise. Dates may be datetime64, cftime or numbers; the date of a single map is its scalar
        coordinate.
    operator : Operator
        With fixed parameters.
    seed : int
        Two seeds give two independent measurements.
    scale : float
        Size of one standardised anomaly in the units of the field, such as its standard deviation; the ``noise`` of
        the operator is multiplied by it.
    step : float
        Time from one frame to the next: in days for dates, else in the units of the time coordinate. Persistence is
        counted in frames.

    Returns
    -------
    DataArray
        As ``field.array`` (name, coordinates, attributes, encoding, type, chunks), NaN where hidden.

    Raises
    ------
    InputError
        If the field is not floating point, a date is not a time, ``scale`` or ``step`` is not a positive number, or the
        operator cannot measure frames of this shape.

    Examples
    --------
    >>> from geogan.operators.pixels import RemovePixel
    >>> field = Field.of(xr.DataArray(np.ones((3, 20, 30)), dims=("time", "y", "x")))
    >>> gappy = measure(field, RemovePixel(p=0.5), seed=1)
    >>> bool(0.4 < gappy.isnull().mean() < 0.6)
    True
    """
    array, axes = field.array, field.axes
    _check(array, scale=scale, step=step)
    is_independent = axes.independent or (axes.time is None and _is_sample(array))
    steps = _steps(field, 1.0 if is_independent else step, has_names=is_independent)
    # Only channelwise operators draw gaps for all bands.
    band = axes.band if operator.channelwise else None
    bands, rows, columns = np.arange(1 if band is None else field.bands), *map(np.arange, field.grid)
    operator.check_shape((1, 1, len(bands), *field.grid))
    dims = [dim for dim in (axes.time, axes.y, axes.x) if dim is not None]
    frames = _Frames(
        operator,
        shape=(len(bands), *field.grid),
        seed=seed,
        scale=scale,
        is_independent=is_independent,
        axes=tuple(array.get_axis_num(dim) for dim in dims),
    )
    if not field.is_lazy:
        return array.copy(data=frames.measure(array.values, steps, bands, rows, columns))

    source = array.data
    if not operator.exact:
        # A blur reads across chunks, and the noise of a frame is drawn at once for all bands.
        source = source.rechunk({axis: -1 for axis, dim in enumerate(array.dims) if dim != axes.time})
    chunks, numbers = dict(zip(array.dims, source.chunks)), dict(zip(array.dims, range(array.ndim)))

    def along(index: np.ndarray, dim: str | None) -> tuple:
        return (index, None) if dim is None else (da.from_array(index, chunks=chunks[dim]), (numbers[dim],))

    # The text of an operator leaves out the gaps that it was fitted to; its state has them.
    state = {name: values.numpy() for name, values in operator.state().items()}
    token = tokenize(source.name, repr(operator), state, seed, scale, steps, field.grid, is_independent)
    measured = da.blockwise(
        frames.measure,
        tuple(range(array.ndim)),
        source,
        tuple(range(array.ndim)),
        *along(steps, axes.time),
        *along(bands, band),
        *along(rows, axes.y),
        *along(columns, axes.x),
        dtype=array.dtype,
        meta=np.empty((0,) * array.ndim, dtype=array.dtype),
        name=f"corrupt-{token}",
    )
    return array.copy(data=measured.rechunk(array.chunks))


def _check(array: xr.DataArray, *, scale: float, step: float) -> None:
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(
            f"a field must be floating point to hold NaN in its gaps, got {array.dtype}; convert it with "
            "field.astype('float32')"
        )
    for name, value in (("scale", scale), ("step", step)):
        if not 0 < value < float("inf"):
            raise InputError(f"{name} must be more than 0, got {value}; give a positive number, or leave it at 1")


def _scalar_time(array: xr.DataArray) -> xr.DataArray | None:
    """Return the date, or the number of the sample, of a single map; None if it has none."""
    scalars = [coordinate for coordinate in array.coords.values() if coordinate.ndim == 0]
    times = (coordinate for coordinate in scalars if coordinate.name == "time" or holds_dates(coordinate))
    numbers = (coordinate for coordinate in scalars if str(coordinate.name).lower() in SAMPLES)
    return next(times, next(numbers, None))


def _is_sample(array: xr.DataArray) -> bool:
    """Return whether a single map is one of several independent samples, by its scalar coordinate."""
    scalar = _scalar_time(array)
    return scalar is not None and str(scalar.name).lower() in SAMPLES and not holds_dates(scalar)


def _steps(field: Field, step: float, *, has_names: bool) -> np.ndarray:
    """Return the dates in frames since 1970, or the numbers of samples; names of samples give a number each."""
    array, dim = field.array, field.axes.time
    if dim is None:
        scalar = _scalar_time(array)
        values = np.zeros(1) if scalar is None else np.atleast_1d(scalar.values)
    elif dim in array.coords:
        values = np.asarray(array[dim].values)
    else:
        values = np.arange(array.sizes[dim])
    if np.issubdtype(values.dtype, np.datetime64):
        if np.isnat(values).any():
            raise InputError(
                "every date must be a time, got NaT among them; drop it with field.dropna on that dimension"
            )
        days = values.astype("datetime64[us]").astype(np.int64) / _MICROSECONDS_PER_DAY
    elif is_cftime(values):
        import cftime

        days = np.asarray(cftime.date2num(values, "microseconds since 1970-01-01", values.ravel()[0].calendar))
        days = days / _MICROSECONDS_PER_DAY
    elif np.issubdtype(values.dtype, np.timedelta64):
        days = values.astype("timedelta64[us]").astype(np.int64) / _MICROSECONDS_PER_DAY
    elif np.issubdtype(values.dtype, np.number):
        days = values.astype(np.float64)
    elif has_names:
        # 52 bits of a digest, which a float holds exactly: the number of a name does not depend on other names.
        digests = [hashlib.blake2b(str(value).encode(), digest_size=8).digest() for value in values]
        days = np.array([int.from_bytes(digest) >> 12 for digest in digests], dtype=np.float64)
    else:
        # Names of scenes have no distance in time.
        days = np.arange(len(values), dtype=np.float64)
    if not np.isfinite(days).all():
        raise InputError(f"every value of {dim} must be a number, got NaN among them; drop it first")
    return days / step


@dataclass(frozen=True)
class _Frames:
    """The frames of a field and the operator that measures them.

    Attributes
    ----------
    operator : Operator
    shape : (int, int, int)
        Channels that have gaps of their own, rows and columns of a frame, (C, H, W).
    seed : int
    scale : float
    is_independent : bool
        Whether frames are independent samples.
    axes : tuple of int
        Positions of time (if there is one), y and x among the dimensions of a block.
    """

    operator: Operator
    shape: tuple[int, int, int]
    seed: int
    scale: float
    is_independent: bool
    axes: tuple[int, ...]

    def measure(
        self, block: np.ndarray, steps: np.ndarray, bands: np.ndarray, rows: np.ndarray, columns: np.ndarray
    ) -> np.ndarray:
        """Measure a block: the dates ``steps`` and the indices ``bands``, ``rows`` and ``columns`` of whole frames."""
        result = np.array(block)
        if result.size == 0:
            return result
        # A view (dates, bands, y, x) of the result, for any order of the dimensions.
        frames = np.moveaxis(result, self.axes, (*range(len(self.axes) - 2), -2, -1))
        if len(self.axes) == 2:
            frames = frames[None]
        if frames.ndim == 3:
            frames = frames[:, None]
        for frame, step in zip(frames, steps.tolist(), strict=True):
            if self.operator.exact:
                theta = self._theta(step, self.shape[0])
                seen = self.operator.apply(torch.zeros(1, 1, *self.shape), theta).mask[0, 0].numpy() > 0
                frame[...] = np.where(seen[np.ix_(bands, rows, columns)], frame, np.nan)
            else:
                frame[...] = self._disturbed(frame, self._theta(step, len(frame)))
        return result

    def _theta(self, step: float, channels: int) -> Theta:
        """Draw the parameters of the operator for the channels of one date."""
        size = self.shape[1], self.shape[2]
        if self.is_independent and self.operator.downsampling != (1, 1):
            # The blocks of a coarse sensor begin at the first cell of every sample, as `at` has them.
            seed = int(dated_generator(self.seed, step).initial_seed())
            return self.operator.at(size, 0.0, seed=seed, channels=channels)
        if self.is_independent:
            # A film of one frame: nothing persists from one sample to the next. Noise alone has a stream of its own, so
            # that it does not depend on clouds that were drawn with the same seed.
            key = (step,) if self.operator.masks else (step, 1.0)
            return self.operator.sample((1, 1, channels, *size), generator=dated_generator(self.seed, *key))
        return self.operator.at(size, step, seed=self.seed, channels=channels)

    def _disturbed(self, frame: np.ndarray, theta: Theta) -> np.ndarray:
        """Return a whole frame (bands, H, W), blurred, with noise, and NaN where hidden."""
        x = torch.from_numpy(frame.reshape(1, 1, -1, *self.shape[1:]).astype(np.float64))
        valid = torch.isfinite(x)
        # F is affine: what it makes of zeros is its noise, which has no part in the weights below.
        noise, mask = self.operator.apply(torch.zeros_like(x), theta)
        values = self.operator.apply(torch.where(valid, x, 0.0), theta).values - noise
        if not valid.all():
            # Normalised convolution (Knutsson and Westin, 1993): land and gaps have no weight.
            part, whole = (
                self.operator.apply(ones, theta).values - noise for ones in (valid.to(x), torch.ones_like(x))
            )
            values = values * torch.where(part != 0, whole / part, 1.0)
        seen = valid & (mask > 0)
        return torch.where(seen, values + self.scale * noise, torch.nan).numpy().reshape(frame.shape)
