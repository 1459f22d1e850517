"""Cloud-shaped gaps: fractal random fields cut at a drawn coverage."""

import math
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, Self

import numpy as np
import torch
from scipy.optimize import least_squares
from scipy.special import betaincinv, ndtr, ndtri, owens_t
from torch import Tensor

from geogan.operators.errors import InputError
from geogan.operators.fractal import correlation, fields, half_distance, white
from geogan.operators.operator import Observation, Operator, Theta, dated_generator, masked
from geogan.operators.parameters import check_parameters

# Cells looked at when fitting: enough for a few per cent, little enough for a second.
_CELLS = 2**23


@dataclass(frozen=True)
class CloudMask(Operator):
    """Hide cells under fractal clouds, with a coverage that changes from frame to frame.

    Each frame has a sky of its own coverage: the share that is hidden of a frame without end. A Gaussian
    random field whose spectrum falls as a power law is cut at the level that hides this share of it. What
    a crop sees of that sky scatters around the coverage, the more the smaller the crop is against the
    clouds: inside one cloud a crop is hidden entirely, between two it is clear. (Cutting each crop at its
    own quantile would instead give every crop the same share, which is how a discriminator would tell
    drawn clouds from real ones.) The law of a crop therefore does not depend on how large it is drawn.

    Parameters
    ----------
    coverage : float, optional
        Mean share that is hidden, in (0, 1). Unfitted: 0.5.
    spread : float, optional
        Standard deviation of the coverage between frames; it follows a Beta law. 0: the same sky always.
        Unfitted: 0.4 * sqrt(coverage * (1 - coverage)), which is 0.2 for half a sky.
    scale : float, optional
        Size of the clouds, in cells: the distance at which the mask of a half-covered sky has a correlation
        of one half with itself. Unfitted: 12.
    persistence : float, optional
        Time in which clouds change, in frames: the field and the coverage of frames t and t + n have a
        correlation of exp(-n / persistence). 0: every frame is independent. Unfitted: 0.
    slope : float, optional
        Exponent of the field's two-dimensional power spectrum, in (2, 6]. The edges of the clouds are
        fractals of dimension 3 - slope / 2 (at least 1): ragged for small values, smooth for large ones.
        Unfitted: 3.

    Raises
    ------
    InputError
        If a parameter is outside its range, or ``spread`` is larger than any law of that mean allows.

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

    # Whether frames go once round the globe: a fact of the grid, not a parameter; see `around`.
    is_periodic: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_parameters(self, "cloud_mask")
        if self.coverage is not None and not 0 < self.coverage < 1:
            raise InputError(
                f"coverage of cloud_mask must lie in (0, 1), got {self.coverage}; give the mean share that "
                "clouds "
                "hide, such as 0.5"
            )
        if self.spread is not None:
            mean = 0.5 if self.coverage is None else self.coverage
            limit = math.sqrt(mean * (1 - mean))
            if not 0 <= self.spread < limit:
                raise InputError(
                    f"spread of cloud_mask must be 0 or more and less than {limit:.3g} (which a mean "
                    "coverage of "
                    f"{mean:.3g} allows), got {self.spread}; give a smaller standard deviation, such as "
                    f"{limit / 2:.2g}"
                )
        if self.scale is not None and not 0 < self.scale < float("inf"):
            raise InputError(
                f"scale of cloud_mask must be more than 0, got {self.scale}; give the size of the clouds "
                "in cells, "
                "such as 12"
            )
        if self.persistence is not None and not 0 <= self.persistence < float("inf"):
            raise InputError(
                f"persistence of cloud_mask must be 0 or more, got {self.persistence}; give the frames in "
                "which "
                "clouds change, or 0 for independent frames"
            )
        if self.slope is not None and not 2 < self.slope <= 6:
            raise InputError(
                f"slope of cloud_mask must lie in (2, 6], got {self.slope}; give 3 for ragged clouds or 4 "
                "for "
                "smoother ones"
            )

    @property
    def settled(self) -> Self:
        """This operator with a default in place of each parameter left ``None``.

        Examples
        --------
        >>> CloudMask(scale=20).settled
        CloudMask(coverage=0.5, spread=0.2, scale=20, persistence=0.0, slope=3.0)
        """
        coverage = 0.5 if self.coverage is None else self.coverage
        return replace(
            self,
            coverage=coverage,
            spread=0.4 * math.sqrt(coverage * (1 - coverage)) if self.spread is None else self.spread,
            scale=12.0 if self.scale is None else self.scale,
            persistence=0.0 if self.persistence is None else self.persistence,
            slope=3.0 if self.slope is None else self.slope,
        )

    def fitted(self, observed: np.ndarray, domain: np.ndarray, *, seed: int = 0) -> Self:
        """Fill in the parameters left ``None`` from the gaps of an archive.

        Only cells of the domain count. Frames in which nothing at all was seen are left out: whether they
        were overcast or never taken cannot be told, and nothing is learned from them. Frames without any
        gap stay in: clear skies belong to the law.

        The coverage is the mean over frames. Spread, scale and slope are those for which the share of pairs
        of cells that differ (one hidden, one seen, at distances from one cell to half a frame) and the
        scatter of the frames' hidden shares are nearest to what the law says of frames of this size and
        shape; it is not assumed that a frame is large against a cloud. The
        persistence is the one that gives the covariance of consecutive frames; it is 0 unless that
        stands out of chance.

        Parameters
        ----------
        observed : ndarray of bool, shape (N, H, W) or (N, C, H, W)
            True where measured; consecutive rows are consecutive dates. Clouds are what all channels share:
            a cell is under one where no channel sees it.
        domain : ndarray of bool, shape (H, W)
            True where the quantity exists.
        seed : int
            Unused: nothing is drawn.

        Returns
        -------
        CloudMask

        Raises
        ------
        InputError
            If the archive has no gap in its domain that all channels share, or nothing but gaps.
        """
        if None not in (self.coverage, self.spread, self.scale, self.persistence, self.slope):
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
        # Four digits, see below; a gap in ten thousand cells is the least that can be written so.
        mean = min(max(mean, 1e-4), 1 - 1e-4)
        # Says so, if the spread given by hand cannot go with the coverage found.
        replace(self, coverage=mean)
        spread, scale, slope = self._shape(hidden, domain, mean)
        # Rounded because describe() writes them out, and the archive knows no more digits. What was given
        # by hand is kept as it is.
        known = replace(
            self,
            coverage=round(mean, 4) if self.coverage is None else self.coverage,
            spread=round(spread, 4) if self.spread is None else self.spread,
            scale=round(scale, 2) if self.scale is None else self.scale,
            slope=round(slope, 2) if self.slope is None else self.slope,
        )
        if self.persistence is not None:
            return known
        return replace(known, persistence=round(_persistence(dates, hidden[:, domain], mean, spread), 4))

    def _shape(self, hidden: np.ndarray, domain: np.ndarray, mean: float) -> tuple[float, float, float]:
        """Spread, scale and slope from the share of pairs that differ, against their distance."""
        lags, differing = _variogram(hidden, domain, is_periodic=self.is_periodic)
        distances = _distances(domain, is_periodic=self.is_periodic)
        scatter = float(hidden[:, domain].mean(axis=1).std(ddof=1)) if len(hidden) > 1 else None
        widest = max(hidden.shape[1:])
        # Start and bounds of what is free. The spread stays a little below its limit, where the Beta law is
        # two spikes; a cloud far larger than the frame looks like any other such cloud.
        limit = 0.98 * math.sqrt(mean * (1 - mean))
        given = {"spread": self.spread, "scale": self.scale, "slope": self.slope}
        ranges = {
            "spread": (0.4 * limit, 0.0, limit),
            "scale": (max(1.0, widest / 10), 0.3, 4.0 * widest + 1.0),
            "slope": (3.0, 2.2, 5.0),
        }
        free = {name: bounds for name, bounds in ranges.items() if given[name] is None}

        def complete(values: np.ndarray) -> tuple[float, float, float]:
            found = given | dict(zip(free, values.tolist(), strict=True))
            return found["spread"], found["scale"], found["slope"]

        def misfit(values: np.ndarray) -> np.ndarray:
            spread, scale, slope = complete(values)
            unit = half_distance(slope) / scale
            expected = _differing(correlation(lags * unit, slope=slope), mean, spread)
            # Short distances differ little in absolute terms, and are what the eye sees.
            misfits = (expected - differing) / np.sqrt(differing + 1e-3)
            if scatter is None:
                return misfits
            # The variance of a mean is the mean covariance of all its pairs.
            variance = (
                mean * (1 - mean) - _differing(correlation(distances * unit, slope=slope), mean, spread).mean() / 2
            )
            return np.append(misfits, 3 * (math.sqrt(max(variance, 0.0)) - scatter))

        if not free:
            return complete(np.empty(0))
        start, low, high = np.array(list(free.values())).T
        return complete(least_squares(misfit, start, bounds=(low, high), x_scale=start).x)

    def sample(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Theta:
        """Draw skies: a boolean tensor (B, T, 1, H, W), True where observed.

        The frames of a film are consecutive; channels share their clouds.
        """
        batch, frames, _, height, width = shape
        settled = self.settled
        count = batch * frames
        # Real and imaginary parts are two frames: half the noise, half the transforms.
        field = settled._fields(settled._white((count + 1) // 2, (height, width), generator=generator), (height, width))
        field = torch.cat([field.real, field.imag])[:count].reshape(batch, frames, height, width)
        sky = torch.randn((batch, frames), generator=generator, device=generator.device)
        memory = settled._memory
        if memory > 0:
            field, sky = _remember(field, memory), _remember(sky, memory)
        return (field >= settled._level(sky)[..., None, None])[:, :, None]

    def apply(self, x: Tensor, theta: Theta) -> Observation:
        """``x`` with what is under clouds set to 0; shapes (B, T, C, H, W)."""
        assert isinstance(theta, Tensor)
        return masked(x, theta)

    def at(self, size: tuple[int, int], step: float, *, seed: int, channels: int = 1) -> Theta:
        """The sky of one date, a boolean tensor (1, 1, 1, H, W).

        With persistence, the sky of a date is a sum of independent noises, one for each frame before it,
        that fade with their age: two dates share what both remember, whichever dates are asked for.
        Between frames (a step of 0.25) the sky changes smoothly.
        """
        settled = self.settled
        if not settled.persistence:
            return self.sample((1, 1, channels, *size), generator=dated_generator(seed, step))
        weights = _ages(step, settled.persistence)
        noise, sky = torch.zeros(()), torch.zeros((1, 1))
        for frame, weight in weights.items():
            generator = dated_generator(seed, frame)
            sky = sky + weight * torch.randn((1, 1), generator=generator)
            noise = noise + weight * settled._white(1, size, generator=generator)
        field = settled._fields(noise, size).real
        return (field >= settled._level(sky)[..., None])[:, None, None]

    def around(self, is_periodic: bool) -> Self:
        """The same clouds on frames that go once round the globe, where they lie across the seam, or do not."""
        kind: Any = RoundCloudMask if is_periodic else CloudMask
        return self if self.is_periodic == is_periodic else kind(**asdict(self))

    def _white(self, count: int, size: tuple[int, int], *, generator: torch.Generator) -> Tensor:
        length, slope = self._spectrum
        return white(count, size, length=length, slope=slope, generator=generator, is_periodic=self.is_periodic)

    def _fields(self, noise: Tensor, size: tuple[int, int]) -> Tensor:
        length, slope = self._spectrum
        return fields(noise, size=size, length=length, slope=slope, is_periodic=self.is_periodic)

    @property
    def _spectrum(self) -> tuple[float, float]:
        """Correlation length in cells, and slope, of the field."""
        assert self.scale is not None
        assert self.slope is not None
        return self.scale / half_distance(self.slope), self.slope

    @property
    def _memory(self) -> float:
        """Correlation of consecutive frames."""
        return math.exp(-1 / self.persistence) if self.persistence else 0.0

    def _level(self, sky: Tensor) -> Tensor:
        """The level below which the field is cloud, for normal variables that say how overcast it is."""
        assert self.coverage is not None
        assert self.spread is not None
        table = _level_table(self.coverage, self.spread).to(sky.device)
        position = ((sky + 5) / 10 * (len(table) - 1)).clamp(0, len(table) - 1.001)
        index = position.long()
        return torch.lerp(table[index], table[index + 1], position - index)


@dataclass(frozen=True)
class RoundCloudMask(CloudMask):
    """:class:`CloudMask` on frames whose last column touches the first.

    Examples
    --------
    >>> CloudMask(scale=5).around(True).around(False)
    CloudMask(coverage=None, spread=None, scale=5, persistence=None, slope=None)
    """

    is_periodic: ClassVar[bool] = True


def _levels(probability: np.ndarray, coverage: float, spread: float) -> np.ndarray:
    """Normal quantiles of the coverage's quantiles, under a Beta law given by its moments."""
    if spread < 1e-6:
        return np.full(probability.shape, ndtri(coverage))
    total = coverage * (1 - coverage) / spread**2 - 1
    quantile = betaincinv(coverage * total, (1 - coverage) * total, probability)
    # The law's tails reach coverages of exactly 0 and 1; six standard deviations are as good as infinity.
    return np.clip(ndtri(quantile), -6.0, 6.0)


@lru_cache(maxsize=64)
def _level_table(coverage: float, spread: float) -> Tensor:
    """Levels for normal variables from -5 to 5, evenly spaced."""
    return torch.from_numpy(_levels(ndtr(np.linspace(-5, 5, 1001)), coverage, spread).astype(np.float32))


def _remember(innovation: Tensor, memory: float) -> Tensor:
    """Make frames (dimension 1) resemble the one before: an AR(1) process of variance 1."""
    frames = [innovation[:, 0]]
    for frame in innovation.unbind(1)[1:]:
        frames.append(memory * frames[-1] + math.sqrt(1 - memory**2) * frame)
    return torch.stack(frames, dim=1)


def _ages(step: float, persistence: float) -> dict[int, float]:
    """Weights of the noises that the sky of a date remembers; their squares sum to 1.

    Examples
    --------
    >>> weights = _ages(10.0, 2.0)
    >>> bool(abs(weights[9] / weights[10] - math.exp(-0.5)) < 1e-9), max(weights)
    (True, 10)
    """
    last = math.floor(step)
    fraction = step - last
    # Three e-foldings leave out a four-hundredth of the variance.
    depth = math.ceil(3 * persistence)
    weights: dict[int, float] = {}
    for frame, part in ((last, 1 - fraction), (last + 1, fraction)):
        for age in range(depth + 1 if part else 0):
            weights[frame - age] = weights.get(frame - age, 0.0) + part * math.exp(-age / persistence)
    norm = math.sqrt(sum(weight**2 for weight in weights.values()))
    return {frame: weight / norm for frame, weight in weights.items()}


def _informative(observed: np.ndarray, domain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dates at which something was seen, in short runs, and what is hidden on them (n, H, W)."""
    cells = int(domain.sum())
    gaps = np.array([int((domain & ~frame).sum()) for frame in observed])
    if not gaps.any():
        raise InputError(
            "a masking operator needs gaps to learn from, but every cell of the domain is observed at "
            "every date; "
            "give all parameters of the operator, or make gaps with `geogan corrupt`"
        )
    dates = np.flatnonzero(gaps < cells)
    if not gaps[dates].any():
        raise InputError(
            "cloud_mask needs frames that are partly observed, but each is either complete or empty; give "
            "its "
            "parameters, such as cloud_mask:coverage=0.5,scale=12"
        )
    # Runs of eight, evenly spread over the archive: neighbours are needed for the persistence.
    runs = max(4, _CELLS // max(domain.size, 1) // 8)
    if len(dates) > 8 * runs:
        starts = np.linspace(0, len(dates) - 8, runs).astype(int)
        dates = dates[np.unique(starts[:, None] + np.arange(8))]
    return dates, ~observed[dates] & domain


def _variogram(hidden: np.ndarray, domain: np.ndarray, *, is_periodic: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Share of pairs of domain cells of which one is hidden, at lags along rows and columns."""
    total: dict[int, np.ndarray] = {}
    for axis in (0, 1):
        side = domain.shape[axis]
        for lag in np.unique(np.geomspace(1, max(1, side // 2), 14).astype(int)):
            if lag >= side:
                continue
            near, far = np.arange(side - lag), np.arange(lag, side)
            pairs = np.take(domain, near, axis) & np.take(domain, far, axis)
            here = slice(None, side - lag), slice(lag, None)
            first, second = (hidden[:, cut] if axis == 0 else hidden[:, :, cut] for cut in here)
            if is_periodic and axis == 1:
                pairs, first, second = domain & np.roll(domain, -lag, 1), hidden, np.roll(hidden, -lag, 2)
            differ = int(((first != second) & pairs).sum())
            total[int(lag)] = total.get(int(lag), np.zeros(2)) + [differ, len(hidden) * int(pairs.sum())]
    lags = np.array(sorted(lag for lag, (_, pairs) in total.items() if pairs > 0))
    if not len(lags):
        raise InputError(
            "cloud_mask needs neighbouring cells to find the size of the clouds, but the domain has none; "
            "give "
            "scale, such as cloud_mask:scale=12"
        )
    return lags, np.array([total[lag][0] / total[lag][1] for lag in lags])


def _distances(domain: np.ndarray, *, is_periodic: bool = False) -> np.ndarray:
    """Distances, in cells, between two cells of the domain drawn at random: 64 quantiles of their law.

    Examples
    --------
    >>> float(_distances(np.ones((1, 2), dtype=bool)).mean())
    0.5
    """
    cells = np.argwhere(domain)
    # Fixed because this is a quadrature, not a choice.
    first, second = np.random.default_rng(0).integers(len(cells), size=(2, 2**14))
    down, across = np.abs(cells[first] - cells[second]).T
    if is_periodic:
        across = np.minimum(across, domain.shape[1] - across)
    distances = np.hypot(down, across)
    return np.quantile(distances, (np.arange(64) + 0.5) / 64)


def _differing(rho: np.ndarray, coverage: float, spread: float) -> np.ndarray:
    """What `_variogram` is expected to be where the field has correlation ``rho``.

    Two normal variables of correlation rho lie on different sides of a level with a probability of
    4 T(level, sqrt((1 - rho) / (1 + rho))), T being Owen's function; the mean is over the coverage's law.

    Examples
    --------
    Of a half-covered sky, uncorrelated cells differ in half of all pairs:

    >>> _differing(np.array([1.0, 0.0]), 0.5, 0.0).round(6)
    array([0. , 0.5])
    """
    levels = _levels((np.arange(64) + 0.5) / 64, coverage, spread)
    tangent = np.sqrt((1 - rho) / (1 + rho))
    return 4 * owens_t(levels[:, None], tangent[None, :]).mean(axis=0)


def _persistence(dates: np.ndarray, hidden: np.ndarray, coverage: float, spread: float) -> float:
    """Persistence in frames, from the covariance of consecutive frames (n, cells of the domain)."""
    first = np.flatnonzero(np.diff(dates) == 1)
    if len(first) < 3:
        return 0.0
    here, there = hidden[first], hidden[first + 1]
    covariance = (here & there).mean(axis=1) - coverage * (here.mean(axis=1) + there.mean(axis=1)) + coverage**2
    if covariance.mean() < 2 * covariance.std(ddof=1) / math.sqrt(len(first)):
        return 0.0
    # Under the law, by drawing: the same normal variables for each memory, so the curve is smooth. The seed
    # is fixed because this is a quadrature, not a choice.
    field, sky, new_field, new_sky = np.random.default_rng(0).standard_normal((4, 2**17))
    memories = np.array([0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99])

    def covered(field: np.ndarray, sky: np.ndarray) -> np.ndarray:
        return field < np.interp(sky, np.linspace(-5, 5, 1001), _level_table(coverage, spread).numpy())

    before = covered(field, sky)
    expected = []
    for memory in memories:
        fresh = math.sqrt(1 - memory**2)
        after = covered(memory * field + fresh * new_field, memory * sky + fresh * new_sky)
        expected.append((before & after).mean() - before.mean() * after.mean())
    memory = float(np.interp(covariance.mean(), np.maximum.accumulate(expected), memories))
    # Below five per cent nothing is remembered that a film could show.
    return -1 / math.log(memory) if memory > 0.05 else 0.0
