"""Synthetic sea surface temperature with a coast, seasons, fronts and eddies."""

import numpy as np
import xarray as xr
from scipy import ndimage

from geogan.operators.errors import InputError

# Lengths are in pixels and times in days, so that a larger field has more eddies, not larger ones.
_REFINE = 2  # resolution of the tracer relative to the field, so that fronts are about one pixel wide
_RIM = 12  # pixels around the field that are simulated but not returned; the simulated ocean is periodic
_STEP = 0.5  # days
_SPIN_UP = 45  # days until the sharpness of fronts is stationary
_GRADIENT = 0.115  # degree_Celsius per pixel, colder northwards
_RANGE = 8.0  # degree_Celsius, largest range of the large-scale gradient, which limits it on large fields
_RELAXATION = 35.0  # days
_DIFFUSIVITY = 0.06  # pixels**2 per day
_RADII = (6.0, 14.0)  # pixels
_SPEED = 1.6  # pixels per day, the typical largest speed around an eddy
_EDDY_MEMORY = 18.0  # days, correlation time of an eddy's strength
_DRIFT = 0.35  # pixels per day, of an eddy's centre
_SPACING = 0.05  # degrees
_SOUTH, _WEST = 36.025, -45.975  # degrees; in the open Atlantic, far from real coasts
_ANNUAL_MEAN, _SEASON = 18.0, 3.0  # degree_Celsius
_WARMEST_DAY = 228.0  # day of the year, mid-August


def synthetic_sst(
    *,
    days: int = 160,
    size: int | tuple[int, int] = 64,
    seed: int = 0,
    noise: float = 0.0,
    start: str | np.datetime64 = "2015-01-01",
) -> xr.Dataset:
    """Return daily maps of a synthetic sea surface temperature without clouds.

    Drifting eddies of varying strength stir a large-scale meridional gradient along an impermeable coast; the gradient
    is weakly restored, and a seasonal cycle of about 3 °C is added. As in the ocean, the result has sharp fronts,
    filaments and coherent eddies, and its increments are not Gaussian.

    Parameters
    ----------
    days : int
        Number of daily maps, at least 1. A longer record begins with the shorter one, bit for bit.
    size : int or tuple of int
        Side, or ``(latitudes, longitudes)``, in pixels of 0.05°; at least 16 each.
    seed : int
        The same seed gives the same values, another seed another sea and another coast.
    noise : float
        Standard deviation of white measurement noise, in °C. If positive, the variable ``sst_observed`` has the noisy
        values; ``sst`` is always the truth.
    start : str or datetime64
        First date.

    Returns
    -------
    sea : Dataset
        ``sst (time, lat, lon)``, float32, degree_Celsius, NaN on land; ``sea_mask (lat, lon)``, int8,
        1 at sea and 0 on land; ``sst_observed (time, lat, lon)`` if ``noise`` is positive.

    Raises
    ------
    InputError
        If ``days``, ``size``, ``noise`` or ``start`` is out of range.

    Examples
    --------
    >>> sea = synthetic_sst(days=3, size=(24, 32), seed=1)
    >>> sea["sst"].dims, sea["sst"].shape, sea["sst"].attrs["units"]
    (('time', 'lat', 'lon'), (3, 24, 32), 'degree_Celsius')
    >>> bool((sea["sst"].notnull() == (sea["sea_mask"] == 1)).all())
    True
    """
    rows, columns = (size, size) if isinstance(size, int | np.integer) else size
    if days < 1:
        raise InputError(f"days must be at least 1, got {days}; give the number of daily maps")
    if min(rows, columns) < 16:
        raise InputError(f"size must be at least 16 pixels, got {(rows, columns)}; give a larger size")
    if not noise >= 0:
        raise InputError(f"noise must be 0 or more, got {noise}; give a standard deviation in °C")
    try:
        first = np.datetime64(str(start), "D")
    except ValueError as error:
        raise InputError(f"start must be a date, got {start!r}; write it as 2015-01-01") from error

    coast_seed, eddy_seed, noise_seed = np.random.SeedSequence(seed).spawn(3)
    sea = _sea(rows, columns, np.random.default_rng(coast_seed))
    field = sea[_RIM:-_RIM, _RIM:-_RIM]
    anomaly = _stirred(days, sea, np.random.default_rng(eddy_seed))

    time = first + np.arange(days)
    latitude = _SOUTH + _SPACING * np.arange(rows)
    longitude = _WEST + _SPACING * np.arange(columns)
    phase = 2 * np.pi * (time - time.astype("M8[Y]")).astype(float) / 365.25
    warmest = 2 * np.pi * _WARMEST_DAY / 365.25
    northing = np.linspace(-1, 1, rows)
    season = _SEASON * np.cos(phase - warmest)[:, None] * (1 + 0.15 * northing)
    temperature = _ANNUAL_MEAN + season[:, :, None] + anomaly
    truth = np.where(field, temperature, np.nan).astype("float32")

    source = f"geogan.fields.synthetic.synthetic_sst(days={days}, size=({rows}, {columns}), seed={seed}, "
    source += f"noise={noise}, start='{first}')"
    dataset = _labelled(truth, field, (time, latitude, longitude), source)
    if noise > 0:
        drawn = np.random.default_rng(noise_seed).standard_normal(truth.shape, dtype="float32")
        attrs = dataset.sst.attrs | {"long_name": f"sea surface temperature (synthetic) with white noise of {noise} °C"}
        dataset["sst_observed"] = (dataset.sst.dims, truth + np.float32(noise) * drawn, attrs)
    return dataset


def _labelled(
    truth: np.ndarray, sea: np.ndarray, axes: tuple[np.ndarray, np.ndarray, np.ndarray], source: str
) -> xr.Dataset:
    """Return temperature (T, H, W) and sea mask (H, W) as a dataset with CF attributes; axes are time, lat and lon."""
    time, latitude, longitude = axes
    attributes = {
        "standard_name": "sea_surface_temperature",
        "long_name": "sea surface temperature (synthetic)",
        "units": "degree_Celsius",
    }
    flags = {
        "standard_name": "sea_binary_mask",
        "long_name": "1 at sea, 0 on land",
        "units": "1",
        "flag_values": np.array([0, 1], dtype="int8"),
        "flag_meanings": "land sea",
    }
    north = {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north", "axis": "Y"}
    east = {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east", "axis": "X"}
    return xr.Dataset(
        {
            "sst": (("time", "lat", "lon"), truth, attributes),
            "sea_mask": (("lat", "lon"), sea.astype("int8"), flags),
        },
        coords={
            "time": ("time", time.astype("M8[ns]"), {"standard_name": "time", "axis": "T"}),
            "lat": ("lat", latitude, north),
            "lon": ("lon", longitude, east),
        },
        attrs={
            "Conventions": "CF-1.11",
            "title": "Synthetic sea surface temperature: a stirred tracer with seasons, no measurement",
            "source": source,
        },
    )


def _sea(rows: int, columns: int, generator: np.random.Generator) -> np.ndarray:
    """Return True at sea, shape (rows + 2 rim, columns + 2 rim): a southern coast with a bay, and an island."""
    north = (np.arange(-_RIM, rows + _RIM) + 0.5)[:, None] / rows
    east = (np.arange(-_RIM, columns + _RIM) + 0.5)[None, :] / columns
    shift, wiggle, bay, island = generator.uniform(-1, 1, 4)
    coast = 0.17 + 0.05 * np.sin(2 * np.pi * (1.1 * east + 0.5 * shift)) + 0.10 * (1 - east) ** 2
    # Capes have a size in pixels that does not depend on the size of the field.
    coast = coast + 0.8 / rows * np.sin(2 * np.pi * (east * columns / 17 + wiggle))
    bay_centre = 0.45 + 0.12 * bay
    coast = coast - 0.16 * np.exp(-0.5 * ((east - bay_centre) / 0.07) ** 2)
    coast = np.maximum(coast, 0.06)  # keeps land south of the bay
    centre = 0.60 + 0.05 * island, 0.72 - 0.06 * island
    radius = 0.085 * (1 + 0.25 * np.cos(2 * np.arctan2(north - centre[0], east - centre[1]) + np.pi * wiggle))
    inside = np.hypot(north - centre[0], east - centre[1]) < radius
    return (north > coast) & ~inside


def _stirred(days: int, sea: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the anomaly from the annual mean in °C, (days, rows, columns) without the rim, advected by eddies."""
    fine_sea = sea.repeat(_REFINE, axis=0).repeat(_REFINE, axis=1)
    height, width = sea.shape
    # Three copies, since distances are periodic.
    copies = ndimage.distance_transform_edt(np.tile(fine_sea, (3, 3)))
    distance = copies[fine_sea.shape[0] : -fine_sea.shape[0], fine_sea.shape[1] : -fine_sea.shape[1]]
    # A stream function that is constant along the coast makes it impermeable. Smoothing prevents small eddies at the
    # steps of a coast made of pixels.
    damping = ndimage.gaussian_filter(np.tanh(distance / _REFINE / 4.0), 1.5 * _REFINE, mode="wrap")
    nearest = ndimage.distance_transform_edt(~fine_sea, return_distances=False, return_indices=True)
    on_land = tuple(index[~fine_sea] for index in nearest)

    y = (np.arange(fine_sea.shape[0]) + 0.5) / _REFINE
    x = (np.arange(fine_sea.shape[1]) + 0.5) / _REFINE
    rows, columns = np.indices(fine_sea.shape).astype(float)

    eddies = max(4, round(height * width / 17.0**2))
    radius = generator.uniform(*_RADII, eddies)
    centre_y, centre_x = generator.uniform(0, height, eddies), generator.uniform(0, width, eddies)
    strength = generator.standard_normal(eddies)
    drift = generator.standard_normal((2, eddies))
    keep_strength, keep_drift = np.exp(-_STEP / _EDDY_MEMORY), np.exp(-_STEP / 10.0)

    anomaly = np.zeros(fine_sea.shape)
    stirred = np.empty((days, height - 2 * _RIM, width - 2 * _RIM))
    steps = round(1 / _STEP)
    northing = (y - y.mean()) / (height - 2 * _RIM)
    background = -min(_GRADIENT * (height - 2 * _RIM), _RANGE) * northing
    for day in range(-_SPIN_UP, days):
        for _ in range(steps):
            fresh = generator.standard_normal((3, eddies))
            strength = keep_strength * strength + np.sqrt(1 - keep_strength**2) * fresh[0]
            drift = keep_drift * drift + np.sqrt(1 - keep_drift**2) * fresh[1:]
            centre_y = (centre_y + _STEP * _DRIFT * drift[0]) % height
            # Ocean eddies drift westwards.
            centre_x = (centre_x + _STEP * _DRIFT * (drift[1] - 1)) % width
            # A Gaussian eddy is fastest, exp(-1/2) * amplitude / radius, one radius from its centre.
            amplitude = _SPEED * radius * np.exp(0.5) * strength
            stream = damping * (
                (_bumps(y, centre_y, radius, height) * amplitude[:, None]).T @ _bumps(x, centre_x, radius, width)
            )
            # Displacement in fine pixels per step; the stream function is in pixels**2 per day.
            speed_y, speed_x = (_REFINE**2 * _STEP * sign * _slope(stream, axis) for sign, axis in ((1, 1), (-1, 0)))
            # Semi-Lagrangian advection with the midpoint rule: the position of this water one step before.
            half = np.stack([rows - speed_y / 2, columns - speed_x / 2])
            back_y = ndimage.map_coordinates(speed_y, half, order=1, mode="grid-wrap")
            back_x = ndimage.map_coordinates(speed_x, half, order=1, mode="grid-wrap")
            origin = np.stack([rows - back_y, columns - back_x])
            carried = ndimage.map_coordinates(anomaly, origin, order=3, mode="grid-wrap")
            # Advection of the background gradient.
            carried += _GRADIENT * back_y / _REFINE
            carried *= np.exp(-_STEP / _RELAXATION)
            carried[~fine_sea] = carried[on_land]
            anomaly = ndimage.gaussian_filter(
                carried, _REFINE * np.sqrt(2 * _DIFFUSIVITY * _STEP), mode="grid-wrap", truncate=6.0
            )
        if day >= 0:
            total = anomaly + background[:, None]
            coarse = total.reshape(height, _REFINE, width, _REFINE).mean(axis=(1, 3))
            stirred[day] = coarse[_RIM:-_RIM, _RIM:-_RIM]
    return stirred


def _slope(values: np.ndarray, axis: int) -> np.ndarray:
    """Return centred differences per fine pixel on the periodic ocean."""
    return (np.roll(values, -1, axis) - np.roll(values, 1, axis)) / 2


def _bumps(positions: np.ndarray, centres: np.ndarray, radii: np.ndarray, period: float) -> np.ndarray:
    """Return periodic Gaussians, shape (eddies, positions); the product of two of them is a circular eddy."""
    distances = positions[None, :] - centres[:, None]
    images = (np.exp(-0.5 * ((distances + shift) / radii[:, None]) ** 2) for shift in (-period, 0.0, period))
    return np.sum(list(images), axis=0)
