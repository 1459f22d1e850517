"""Cloud-shaped gaps: fractal random fields below a level that a random coverage sets."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, astuple, dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from scipy.optimize import brentq, least_squares
from scipy.special import betaincinv, ndtr, ndtri, owens_t
from torch import Tensor

from geogan.operators.cloud_motion import motion_of, overlapping
from geogan.operators.errors import InputError
from geogan.operators.fractal import (
    amplitudes,
    correlation,
    fields,
    half_distance,
    shift_phases,
    stretched_distance,
    white,
)
from geogan.operators.operator import CellSize, Observation, Operator, Theta, dated_generator, masked, rounded
from geogan.operators.parameters import check_parameters

# Most cells that are read in fitting: parameters are then accurate to a few per cent, in about a second.
_CELLS = 2**23
# Frames from which the distribution of hidden shares is compared, at least; frames that are drawn for it; the
# Kolmogorov-Smirnov distance, times the root of the number of frames, that chance exceeds once in 20; and spreads that
# are tried where it is exceeded, over the largest.
_LEAST_FRAMES, _SKIES, _CRITICAL, _SPREADS = 8, 256, 1.36, (0.25, 0.5, 0.65, 0.8, 0.9)
# Random pairs of cells over whose distances, as quantiles, the variance of the hidden share of a frame is averaged.
_PAIRS, _QUANTILES = 2**12, 64
# Nodes of the integral over the coverage of a frame.
_NODES = 32
# Largest aspect that is fitted, along rows or columns.
_MOST_ASPECT = 10.0


@dataclass(frozen=True)
class CloudMask(Operator):
    """Hide cells under fractal clouds, with a coverage that changes from frame to frame.

    The coverage of a frame is the hidden share of an infinite sky. Clouds are the cells in which a Gaussian random
    field with a power-law spectrum lies below the level of that share. The hidden share of a crop varies around the
    coverage, more so for crops that are small compared with the clouds: a crop inside a cloud is hidden entirely, one
    between clouds is clear. The distribution of a crop therefore does not depend on the size at which it is drawn. (A
    level at a quantile of each crop would give every crop the same hidden share, by which a discriminator could tell
    simulated clouds from real ones.)

    Parameters
    ----------
    coverage : float, optional
        Mean hidden share, in (0, 1). Default without fitting: 0.5.
    spread : float, optional
        Standard deviation of the coverage between frames; the coverage has a Beta distribution. 0: the same coverage in
        every frame. Default without fitting: 0.4 * sqrt(coverage * (1 - coverage)), which is 0.2 for a coverage of 0.5.
    scale : float, optional
        Size of the clouds, in cells: the distance at which the mask of a half-covered sky has an autocorrelation of one
        half. Default without fitting: 12.
    persistence : float, optional
        Correlation time of clouds, in frames: the field and the coverage of frames t and t + n have a correlation of
        exp(-n / persistence). 0: frames are independent. Default without fitting: 0.
    slope : float, optional
        Exponent of the two-dimensional power spectrum of the field, in (2, 6]. Cloud edges are fractals with dimension
        3 - slope / 2 (at least 1): ragged for small values, smooth for large ones. Default without fitting: 3.
    aspect : float, optional
        Ratio of the length of clouds along a row to that along a column, in [0.05, 20]; ``scale`` is the geometric mean
        of both. Default without fitting: 1.
    drift_y, drift_x : float, optional
        Rows and columns by which clouds move from one frame to the next; they count only with persistence. Default
        without fitting: 0.

    Raises
    ------
    InputError
        If a parameter is outside its range, or ``spread`` is larger than any distribution with that mean allows.

    Examples
    --------
    >>> import torch
    >>> clouds = CloudMask(coverage=0.4, scale=8)
    >>> theta = clouds.sample((16, 3, 1, 48, 64), generator=torch.Generator().manual_seed(0))
    >>> observation = clouds.apply(torch.ones(16, 3, 1, 48, 64), theta)
    >>> bool(0.5 < observation.mask.mean() < 0.7)
    True
    """

    coverage: float | None = None
    spread: float | None = None
    scale: float | None = None
    persistence: float | None = None
    slope: float | None = None
    aspect: float | None = None
    drift_y: float | None = None
    drift_x: float | None = None

    lengths: ClassVar[Mapping[str, str]] = {"scale": "mean"}
    # Whether frames go once round the globe: a property of the grid, not a parameter; see `around`.
    is_periodic: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_parameters(self, "cloud_mask")
        if self.coverage is not None and not 0 < self.coverage < 1:
            raise InputError(
                f"coverage of cloud_mask must lie in (0, 1), got {self.coverage}; give the mean share that "
                "clouds hide, such as 0.5"
            )
        if self.spread is not None:
            mean = 0.5 if self.coverage is None else self.coverage
            limit = math.sqrt(mean * (1 - mean))
            if not 0 <= self.spread < limit:
                raise InputError(
                    f"spread of cloud_mask must be 0 or more and less than {limit:.3g} (which a mean "
                    f"coverage of {mean:.3g} allows), got {self.spread}; give a smaller standard deviation, such as "
                    f"{limit / 2:.2g}"
                )
        if self.scale is not None and not 0 < self.scale < float("inf"):
            raise InputError(
                f"scale of cloud_mask must be more than 0, got {self.scale}; give the size of the clouds "
                "in cells, such as 12"
            )
        if self.persistence is not None and not 0 <= self.persistence < float("inf"):
            raise InputError(
                f"persistence of cloud_mask must be 0 or more, got {self.persistence}; give the frames in "
                "which clouds change, or 0 for independent frames"
            )
        if self.slope is not None and not 2 < self.slope <= 6:
            raise InputError(
                f"slope of cloud_mask must lie in (2, 6], got {self.slope}; give 3 for ragged clouds or 4 "
                "for smoother ones"
            )
        if self.aspect is not None and not 0.05 <= self.aspect <= 20:
            raise InputError(
                f"aspect of cloud_mask must lie between 0.05 and 20, got {self.aspect}; give the length of clouds "
                "along rows over that along columns, such as 2"
            )
        for name in ("drift_y", "drift_x"):
            if not -1e4 <= (getattr(self, name) or 0.0) <= 1e4:
                raise InputError(
                    f"{name} of cloud_mask must be a finite number of cells a frame, got {getattr(self, name)}; give "
                    "the motion of the clouds, or 0"
                )

    @property
    def with_defaults(self) -> Self:
        """The operator with defaults for the parameters that are ``None``.

        Examples
        --------
        >>> CloudMask(scale=20).with_defaults
        CloudMask(coverage=0.5, spread=0.2, scale=20, persistence=0.0, slope=3.0, aspect=1.0, ...)
        """
        coverage = 0.5 if self.coverage is None else self.coverage
        return replace(
            self,
            coverage=coverage,
            spread=0.4 * math.sqrt(coverage * (1 - coverage)) if self.spread is None else self.spread,
            scale=12.0 if self.scale is None else self.scale,
            persistence=0.0 if self.persistence is None else self.persistence,
            slope=3.0 if self.slope is None else self.slope,
            aspect=1.0 if self.aspect is None else self.aspect,
        )

    def fitted(self, observed: np.ndarray, domain: np.ndarray, *, seed: int = 0) -> Self:
        """Estimate the parameters that are ``None`` from the gaps of an archive.

        Only cells of the domain count. Frames without any observation are left out: they may be overcast or missing,
        and nothing can be learned from them. Frames without any gap stay in, since clear skies belong to the
        distribution.

        The coverage is the mean over frames. Spread, scale, slope and aspect are a least-squares fit of two statistics:
        the share of pairs of cells of which one is hidden (at distances from one cell to half a frame, along rows and
        columns), and the standard deviation of the hidden shares of frames of this size and shape. Frames need not be
        large compared with clouds.
        The persistence is fitted to the covariance of consecutive frames, at the displacement at which it is largest,
        which is the drift. Persistence is 0 unless the covariance is significant; the drift is 0 unless the covariance
        there is significantly larger than that without a displacement.

        Parameters
        ----------
        observed : ndarray of bool, shape (N, H, W) or (N, C, H, W)
            True where measured; consecutive rows are consecutive dates. With channels, a cell is under a cloud where no
            channel is observed.
        domain : ndarray of bool, shape (H, W)
            True where the quantity exists.
        seed : int
            Not used, since fitting draws nothing.

        Returns
        -------
        CloudMask

        Raises
        ------
        InputError
            If the domain has no gap that all channels share, or no observation.
        """
        if None not in astuple(self)[:6]:
            return self
        observed, domain = np.asarray(observed, dtype=bool), np.asarray(domain, dtype=bool)
        if observed.ndim == 4:
            shared = np.any(observed, axis=1)
            if (shared | ~domain).all() and not (observed | ~domain).all():
                raise InputError(
                    "cloud_mask hides all bands of a cell at once, but each cell of the archive is seen in some band "
                    "at every date; use observed_gaps, which borrows the gaps of each band, or remove_pixel_channel"
                )
            observed = shared
        dates, hidden = _informative(observed, domain)
        shares = hidden[:, domain].mean(axis=1)
        mean = float(shares.mean())
        if self.coverage is not None:
            mean = self.coverage
        # The rounding to four digits below must not make it 0 or 1.
        mean = min(max(mean, 1e-4), 1 - 1e-4)
        # Raises InputError if the given spread is too large for the estimated coverage.
        replace(self, coverage=mean)
        shape = self._shape(hidden, domain, mean)
        # Estimates are rounded because describe() writes them and more digits would not be significant.
        fitted = replace(
            self,
            coverage=round(mean, 4) if self.coverage is None else self.coverage,
            spread=round(shape.spread, 4) if self.spread is None else self.spread,
            scale=round(shape.scale, 2) if self.scale is None else self.scale,
            slope=round(shape.slope, 2) if self.slope is None else self.slope,
            aspect=round(shape.aspect, 2) if self.aspect is None else self.aspect,
        )
        if self.persistence is not None:
            return fitted
        first = np.flatnonzero(np.diff(dates) == 1)
        before, after = hidden[first], hidden[first + 1]
        motion = (0, 0)
        if self.drift_y is None and self.drift_x is None:
            motion = motion_of(before, after, domain, is_periodic=self.is_periodic)
        pairs = overlapping(before, after, domain, motion, is_periodic=self.is_periodic)
        persistence = round(_persistence(*pairs, mean, shape.spread), 4)
        if persistence and any(motion):
            fitted = replace(fitted, drift_y=motion[0], drift_x=motion[1])
        return replace(fitted, persistence=persistence)

    def _shape(self, hidden: np.ndarray, domain: np.ndarray, mean: float) -> "_Shape":
        """Estimate the shape of clouds.

        The least-squares fit hardly distinguishes a few large clouds from a coverage that changes between frames. If
        the hidden shares of drawn frames do not have the distribution of the real ones, the spread is chosen by that
        distribution.
        """
        fit = _fit_of(hidden, domain, mean, is_periodic=self.is_periodic)
        given = {name: getattr(self, name) for name in _Shape._fields}
        best, misfit = fit(given)
        if self.spread is not None or len(hidden) < _LEAST_FRAMES:
            return best
        shares = hidden[:, domain].mean(axis=1)
        critical = _CRITICAL * math.sqrt(1 / len(shares) + 1 / _SKIES)
        distance = self._distance(best, mean, domain, shares)
        if distance <= critical:
            return best
        limit = 0.98 * math.sqrt(mean * (1 - mean))
        for fraction in _SPREADS:
            shape, own_misfit = fit(given | {"spread": fraction * limit})
            own_distance = self._distance(shape, mean, domain, shares)
            if own_distance + own_misfit < distance + misfit:
                best, distance, misfit = shape, own_distance, own_misfit
        return best

    def _distance(self, shape: "_Shape", mean: float, domain: np.ndarray, shares: np.ndarray) -> float:
        """Return the Kolmogorov-Smirnov distance of hidden shares of a domain (H, W) from those of drawn frames."""
        clouds = replace(self, coverage=mean, persistence=0.0, **shape._asdict())
        # A fixed seed, since this is a numerical integration.
        generator = torch.Generator().manual_seed(0)
        drawn = clouds.sample((_SKIES, 1, 1, *domain.shape), generator=generator)
        assert isinstance(drawn, Tensor)
        hidden = ~drawn[:, 0, 0].numpy()[:, domain]
        # Frames without an observation are left out of both.
        simulated = hidden.mean(axis=1)
        return _largest_difference(shares, simulated[simulated < 1])

    def sample(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Theta:
        """Draw skies: a boolean tensor (B, T, 1, H, W), True where observed.

        The frames of a film are consecutive; channels share their clouds.
        """
        batch, frames, _, height, width = shape
        clouds = self.with_defaults
        count = batch * frames
        # Real and imaginary part are two frames, which halves the noise and the transforms.
        spectrum = clouds._spectrum((height, width))
        noise = white((count + 1) // 2, spectrum, generator=generator)
        field = fields(noise, spectrum, size=(height, width))
        field = torch.cat([field.real, field.imag])[:count].reshape(batch, frames, height, width)
        sky = torch.randn((batch, frames), generator=generator, device=generator.device)
        memory = clouds._memory
        if memory > 0 and any(clouds._drift):
            return clouds._drifting(shape, generator=generator)
        if memory > 0:
            field, sky = _autoregressive(field, memory), _autoregressive(sky, memory)
        return (field >= clouds._level(sky)[..., None, None])[:, :, None]

    def _drifting(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Tensor:
        """Draw skies with persistence that move on from frame to frame."""
        batch, frames, _, height, width = shape
        memory, spectrum = self._memory, self._spectrum((height, width))
        # Real and imaginary part are two films, which move alike.
        pairs = (batch + 1) // 2
        noise = white(pairs * frames, spectrum, generator=generator).view(pairs, frames, *spectrum.shape)
        step = memory * shift_phases(spectrum, self._drift).to(noise.device)
        waves = [noise[:, 0]]
        for fresh in noise.unbind(1)[1:]:
            waves.append(step * waves[-1] + math.sqrt(1 - memory**2) * fresh)
        field = fields(torch.stack(waves, 1).flatten(0, 1), spectrum, size=(height, width))
        field = torch.view_as_real(field).view(pairs, frames, height, width, 2)
        field = field.movedim(-1, 0).reshape(2 * pairs, frames, height, width)[:batch]
        sky = torch.randn((batch, frames), generator=generator, device=generator.device)
        return (field >= self._level(_autoregressive(sky, memory))[..., None, None])[:, :, None]

    @property
    def _drift(self) -> tuple[float, float]:
        """Rows and columns by which clouds move in a frame."""
        return self.drift_y or 0.0, self.drift_x or 0.0

    def apply(self, x: Tensor, theta: Theta) -> Observation:
        """Return ``x`` with the cells under clouds set to 0; shapes (B, T, C, H, W)."""
        assert isinstance(theta, Tensor)
        return masked(x, theta)

    def at(self, size: tuple[int, int], step: float, *, seed: int, channels: int = 1) -> Theta:
        """Return the sky of one date, a boolean tensor (1, 1, 1, H, W).

        With persistence, the field of a date is a moving average of independent noise fields, one for each earlier
        frame, with weights that decrease with age. Two dates are correlated by the noise fields that both include, so
        the result does not depend on which other dates are drawn. Between frames (a step of 0.25) weights are
        interpolated.
        """
        clouds = self.with_defaults
        if not clouds.persistence:
            return self.sample((1, 1, channels, *size), generator=dated_generator(seed, step))
        weights = _ages(step, clouds.persistence)
        noise, sky, spectrum = torch.zeros(()), torch.zeros((1, 1)), clouds._spectrum(size)
        for frame, weight in weights.items():
            generator = dated_generator(seed, frame)
            sky = sky + weight * torch.randn((1, 1), generator=generator)
            waves = white(1, spectrum, generator=generator)
            if any(clouds._drift):
                down, right = ((step - frame) * side for side in clouds._drift)
                waves = waves * shift_phases(spectrum, (down, right))
            noise = noise + weight * waves
        field = fields(noise, spectrum, size=size).real
        return (field >= clouds._level(sky)[..., None])[:, None, None]

    def in_cells(self, lengths: Mapping[str, float], cells: CellSize) -> Self:
        """Return the clouds with their size in km, and their aspect, if it is given, on the ground."""
        clouds = super().in_cells(lengths, cells)
        if self.aspect is None:
            return clouds
        return replace(clouds, aspect=rounded(self.aspect * cells.rows / cells.columns))

    def around(self, is_periodic: bool) -> Self:
        """Return the same clouds for frames that go once round the globe, where clouds cross the seam, or do not."""
        kind: Any = RoundCloudMask if is_periodic else CloudMask
        return self if self.is_periodic == is_periodic else kind(**asdict(self))

    def _spectrum(self, size: tuple[int, int]) -> Tensor:
        """Return the amplitudes of the waves of the field, which has no parameter of None."""
        assert self.scale is not None
        assert self.slope is not None
        assert self.aspect is not None
        length = self.scale / half_distance(self.slope)
        return amplitudes(size, length=length, slope=self.slope, aspect=self.aspect, is_periodic=self.is_periodic)

    @property
    def _memory(self) -> float:
        """Correlation of consecutive frames."""
        return math.exp(-1 / self.persistence) if self.persistence else 0.0

    def _level(self, sky: Tensor) -> Tensor:
        """Return the level below which the field is cloud, for standard normal draws of the coverage."""
        assert self.coverage is not None
        assert self.spread is not None
        table = _level_table(self.coverage, self.spread).to(sky.device)
        position = ((sky + 5) / 10 * (len(table) - 1)).clamp(0, len(table) - 1.001)
        index = position.long()
        return torch.lerp(table[index], table[index + 1], position - index)


class _Shape(NamedTuple):
    """Parameters of clouds that are fitted together."""

    spread: float
    scale: float
    slope: float
    aspect: float

    def differing(self, lags: np.ndarray, mean: float) -> np.ndarray:
        """Return the expected share of pairs at displacements (L, 2) of which one is hidden, (L,)."""
        return self._differing(stretched_distance(lags[:, 0], lags[:, 1], aspect=self.aspect), mean)

    def variance(self, displacements: np.ndarray, mean: float) -> float:
        """Return the variance of the hidden share of a frame: the mean covariance of all pairs of its cells."""
        distance = stretched_distance(displacements[:, 0], displacements[:, 1], aspect=self.aspect)
        distances = np.quantile(distance, (np.arange(_QUANTILES) + 0.5) / _QUANTILES)
        return mean * (1 - mean) - float(self._differing(distances, mean).mean()) / 2

    def _differing(self, distance: np.ndarray, mean: float) -> np.ndarray:
        rho = correlation(distance * half_distance(self.slope) / self.scale, slope=self.slope)
        return _differing(rho, mean, self.spread)


def _fit_of(
    hidden: np.ndarray, domain: np.ndarray, mean: float, *, is_periodic: bool
) -> Callable[[dict[str, float | None]], tuple[_Shape, float]]:
    """Return a function that fits the parameters of a shape that are None, and returns the root-mean-square misfit."""
    lags, differing = _variogram(hidden, domain, is_periodic=is_periodic)
    displacements = _displacements(domain, is_periodic=is_periodic)
    scatter = float(hidden[:, domain].mean(axis=1).std(ddof=1)) if len(hidden) > 1 else None
    widest = max(hidden.shape[1:])
    # Start and bounds of the free parameters. The spread stays below its limit, at which the Beta distribution
    # degenerates; clouds much larger than the frame cannot be distinguished from each other.
    limit = 0.98 * math.sqrt(mean * (1 - mean))
    ranges = {
        "spread": (0.4 * limit, 0.0, limit),
        "scale": (max(1.0, widest / 10), 0.3, 4.0 * widest + 1.0),
        "slope": (3.0, 2.2, 5.0),
        "aspect": (1.0, 1 / _MOST_ASPECT, _MOST_ASPECT),
    }

    def misfits(shape: _Shape) -> np.ndarray:
        # Weights: pairs at short distances differ rarely, but determine the shape of cloud edges.
        misfits = (shape.differing(lags, mean) - differing) / np.sqrt(differing + 1e-3)
        if scatter is None:
            return misfits
        variance = shape.variance(displacements, mean)
        return np.append(misfits, 3 * (math.sqrt(max(variance, 0.0)) - scatter))

    def fit(given: dict[str, float | None]) -> tuple[_Shape, float]:
        free = {name: bounds for name, bounds in ranges.items() if given[name] is None}

        def shape_of(values: np.ndarray) -> _Shape:
            return _Shape(**given | dict(zip(free, values.tolist(), strict=True)))

        shape = shape_of(np.empty(0)) if not free else None
        if shape is None:
            start, low, high = np.array(list(free.values())).T
            shape = shape_of(
                least_squares(lambda values: misfits(shape_of(values)), start, bounds=(low, high), x_scale=start).x
            )
        return shape, float(np.sqrt(np.mean(misfits(shape) ** 2)))

    return fit


@dataclass(frozen=True)
class RoundCloudMask(CloudMask):
    """:class:`CloudMask` for frames whose last column is the neighbour of the first.

    Examples
    --------
    >>> CloudMask(scale=5).around(True).around(False)
    CloudMask(coverage=None, spread=None, scale=5, persistence=None, ...)
    """

    is_periodic: ClassVar[bool] = True


def _largest_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Return the largest difference of two empirical distributions (Kolmogorov-Smirnov).

    Examples
    --------
    >>> _largest_difference(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    0.5
    """
    if not len(first) or not len(second):
        return 1.0
    values = np.concatenate([first, second])
    ranks = (np.searchsorted(np.sort(sample), values, side="right") / len(sample) for sample in (first, second))
    return float(np.abs(np.subtract(*ranks)).max())


def _levels(probability: np.ndarray, coverage: float, spread: float) -> np.ndarray:
    """Return the levels of quantiles of the coverage, which has a Beta distribution with these moments."""
    if spread < 1e-6:
        return np.full(probability.shape, ndtri(coverage))
    total = coverage * (1 - coverage) / spread**2 - 1
    quantile = betaincinv(coverage * total, (1 - coverage) * total, probability)
    # In the tails the coverage rounds to 0 or 1; a level of six standard deviations hides all or nothing.
    return np.clip(ndtri(quantile), -6.0, 6.0)


@lru_cache(maxsize=64)
def _level_table(coverage: float, spread: float) -> Tensor:
    """Return the levels for standard normal draws from -5 to 5, evenly spaced."""
    return torch.from_numpy(_levels(ndtr(np.linspace(-5, 5, 1001)), coverage, spread).astype(np.float32))


def _autoregressive(innovation: Tensor, memory: float) -> Tensor:
    """Return an AR(1) process of variance 1 along dimension 1, driven by ``innovation``."""
    frames = [innovation[:, 0]]
    for frame in innovation.unbind(1)[1:]:
        frames.append(memory * frames[-1] + math.sqrt(1 - memory**2) * frame)
    return torch.stack(frames, dim=1)


def _ages(step: float, persistence: float) -> dict[int, float]:
    """Return the weight of the noise of each earlier frame in the sky of a date; squares sum to 1.

    Examples
    --------
    >>> weights = _ages(10.0, 2.0)
    >>> bool(abs(weights[9] / weights[10] - math.exp(-0.5)) < 1e-9), max(weights)
    (True, 10)
    """
    last = math.floor(step)
    fraction = step - last
    # Ages beyond three e-foldings have 1/400 of the variance.
    depth = math.ceil(3 * persistence)
    weights: dict[int, float] = {}
    for frame, part in ((last, 1 - fraction), (last + 1, fraction)):
        for age in range(depth + 1 if part else 0):
            weights[frame - age] = weights.get(frame - age, 0.0) + part * math.exp(-age / persistence)
    norm = math.sqrt(sum(weight**2 for weight in weights.values()))
    return {frame: weight / norm for frame, weight in weights.items()}


def _informative(observed: np.ndarray, domain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return dates with observations, in short runs, and their hidden cells (n, H, W)."""
    cells = int(domain.sum())
    gaps = np.array([int((domain & ~frame).sum()) for frame in observed])
    if not gaps.any():
        raise InputError(
            "a masking operator needs gaps to learn from, but every cell of the domain is observed at "
            "every date; give all parameters of the operator, or make gaps with `geogan corrupt`"
        )
    dates = np.flatnonzero(gaps < cells)
    if not gaps[dates].any():
        raise InputError(
            "cloud_mask needs frames that are partly observed, but each is either complete or empty; give "
            "its parameters, such as cloud_mask:coverage=0.5,scale=12"
        )
    # Runs of eight consecutive dates, evenly spaced: the persistence needs consecutive dates.
    runs = max(4, _CELLS // max(domain.size, 1) // 8)
    if len(dates) > 8 * runs:
        starts = np.linspace(0, len(dates) - 8, runs).astype(int)
        dates = dates[np.unique(starts[:, None] + np.arange(8))]
    return dates, ~observed[dates] & domain


def _variogram(hidden: np.ndarray, domain: np.ndarray, *, is_periodic: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return displacements (L, 2) along rows and columns, and the share of pairs of which one is hidden, (L,)."""
    lags, shares = [], []
    for axis in (0, 1):
        side = domain.shape[axis]
        for lag in np.unique(np.geomspace(1, max(1, side // 2), 14).astype(int)):
            if lag >= side:
                continue
            shifts = slice(None, side - lag), slice(lag, None)
            first, second = (hidden[:, shift] if axis == 0 else hidden[:, :, shift] for shift in shifts)
            pairs = np.logical_and(*(domain[shift] if axis == 0 else domain[:, shift] for shift in shifts))
            if is_periodic and axis == 1:
                pairs, first, second = domain & np.roll(domain, -lag, 1), hidden, np.roll(hidden, -lag, 2)
            if pairs.any():
                lags.append((lag, 0) if axis == 0 else (0, lag))
                shares.append(((first != second) & pairs).sum() / (len(hidden) * pairs.sum()))
    if not lags:
        raise InputError(
            "cloud_mask needs neighbouring cells to find the size of the clouds, but the domain has none; "
            "give scale, such as cloud_mask:scale=12"
        )
    return np.array(lags), np.array(shares)


def _displacements(domain: np.ndarray, *, is_periodic: bool = False) -> np.ndarray:
    """Return displacements, in rows and columns, between random cells of the domain, (N, 2).

    Examples
    --------
    >>> sorted(set(_displacements(np.ones((1, 2), dtype=bool))[:, 1].tolist()))
    [-1, 0, 1]
    """
    cells = np.argwhere(domain)
    # A fixed seed, since this is a numerical integration.
    first, second = np.random.default_rng(0).integers(len(cells), size=(2, _PAIRS))
    lags = cells[first] - cells[second]
    if is_periodic:
        half = domain.shape[1] // 2
        lags[:, 1] = (lags[:, 1] + half) % domain.shape[1] - half
    return lags


def _differing(rho: np.ndarray, coverage: float, spread: float) -> np.ndarray:
    """Return the expectation of `_variogram` for a field with correlation ``rho``.

    Two normal variables with correlation rho lie on different sides of a level with probability
    4 T(level, sqrt((1 - rho) / (1 + rho))), where T is Owen's function; the mean is over the distribution of
    the coverage.

    Examples
    --------
    In a half-covered sky, half of the pairs of uncorrelated cells differ:

    >>> _differing(np.array([1.0, 0.0]), 0.5, 0.0).round(6)
    array([0. , 0.5])
    """
    levels = _levels((np.arange(64) + 0.5) / 64, coverage, spread)
    tangent = np.sqrt((1 - rho) / (1 + rho))
    return 4 * owens_t(levels[:, None], tangent[None, :]).mean(axis=0)


def _persistence(before: np.ndarray, after: np.ndarray, coverage: float, spread: float) -> float:
    """Estimate the persistence, in frames, from consecutive frames (n, cells) in which clouds stay in place."""
    if len(before) < 3:
        return 0.0
    covariance = (before & after).mean(axis=1) - coverage * (before.mean(axis=1) + after.mean(axis=1)) + coverage**2
    if covariance.mean() < 2 * covariance.std(ddof=1) / math.sqrt(len(before)):
        return 0.0
    # Neither a correlation below 0.05 between consecutive frames nor one above 0.99 is visible in a film.
    mean, low, high = covariance.mean(), 0.05, 0.99
    if mean <= _frame_covariance(low, coverage, spread):
        return 0.0
    if mean >= _frame_covariance(high, coverage, spread):
        return -1 / math.log(high)
    memory = brentq(lambda memory: _frame_covariance(memory, coverage, spread) - mean, low, high, xtol=1e-4)
    return -1 / math.log(memory)


def _frame_covariance(memory: float, coverage: float, spread: float) -> float:
    """Return the covariance of a cell's being hidden in two consecutive frames.

    Field and coverage have the correlation ``memory``. The probability that both fields lie below their levels is a
    bivariate normal one, of Owen's function; its mean is over the levels of both frames.

    Examples
    --------
    A half-covered sky without a spread has the arcsine law:

    >>> round(_frame_covariance(0.5, 0.5, 0.0), 6) == round(math.asin(0.5) / (2 * math.pi), 6)
    True
    """
    sky = np.linspace(-4.5, 4.5, _NODES)
    weight = np.exp(-(sky**2) / 2)
    weight /= weight.sum()
    root = math.sqrt(1 - memory**2)
    table = np.linspace(-7, 7, 561)
    levels = _levels(ndtr(table), coverage, spread)
    first, second = np.broadcast_arrays(
        np.interp(sky, table, levels)[:, None], np.interp(memory * sky[:, None] + root * sky, table, levels)
    )
    # The formula divides by the levels, but is continuous in them.
    first, second = (np.where(level == 0, 1e-12, level) for level in (first, second))
    both = (
        (ndtr(first) + ndtr(second) - (first * second < 0)) / 2
        - owens_t(first, (second / first - memory) / root)
        - owens_t(second, (first / second - memory) / root)
    )
    return float(weight @ both @ weight - (weight @ ndtr(first) @ weight) * (weight @ ndtr(second) @ weight))
