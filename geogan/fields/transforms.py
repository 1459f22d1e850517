"""Transforms of values before the climatology is fitted: logarithm, bounds and directions, with inverse and moments."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ive, ndtr

from geogan.operators.errors import InputError

TRANSFORMS = ("none", "log", "identity")
# Values at a bound have no finite logit. The range of a two-sided transform is therefore narrowed by this share at
# either end, so that bounds are at logit(EDGE) = -2.9 and 2.9, and estimates beyond them become the bound. With a
# smaller share the transformed bounds are so far away that cells at a bound dominate the climatology.
EDGE = 0.05
# Share of the range by which values may exceed their bounds, since packing rounds values.
ROUNDING = 1e-6
# Nodes (in standard deviations) and weights for moments of a normal variable under a two-sided transform.
_STEPS = np.linspace(-4, 4, 33)
_WEIGHTS = np.exp(-(_STEPS**2) / 2) / np.exp(-(_STEPS**2) / 2).sum()


@dataclass(frozen=True)
class Transform:
    """The transform of one band.

    Attributes
    ----------
    kind : {"none", "log", "identity", "bounded", "circular", "sine", "cosine"}
        ``"identity"`` values are not standardised either. ``"circular"`` is the transform of a band of directions,
        which is represented by two bands, ``"sine"`` and ``"cosine"``.
    low, high : float
        Bounds of ``"bounded"`` values, of which one may be infinite; or the range of directions. Until the start of the
        range is known from the data, ``low`` is NaN and ``high`` a full turn.

    Examples
    --------
    >>> share = Transform.parse("bounded:0,1")
    >>> values = np.array([0.0, 0.25, 1.0])
    >>> np.allclose(share.inverse(share.forward(values)), values)
    True
    >>> share.inverse(np.array([-9.0, 9.0])).tolist()
    [0.0, 1.0]
    >>> str(Transform.parse("bounded: 0,"))
    'bounded:0,inf'
    """

    kind: str = "none"
    low: float = -math.inf
    high: float = math.inf

    @classmethod
    def parse(cls, text: str) -> Transform:
        """Return the transform of one band from its text.

        Raises
        ------
        InputError
            If the transform is unknown, or its bounds are not two increasing numbers.
        """
        kind, *rest = (part.strip() for part in text.split(":", 1))
        if kind == "bounded":
            return cls(kind, *_bounds(text, rest[0] if rest else ""))
        if kind in ("circular", "sine", "cosine"):
            return cls(kind, *(_turn(text, rest[0]) if rest else (math.nan, math.nan)))
        if rest or kind not in TRANSFORMS:
            raise InputError(
                f"transform must be one of {', '.join(TRANSFORMS)}, got {text.strip()!r}; bounds are written "
                "bounded:LOW,HIGH, directions circular"
            )
        return cls(kind)

    def __str__(self) -> str:
        """Return the text that :meth:`parse` reads."""
        if self.kind == "bounded" or (self.is_angle and not math.isnan(self.low)):
            return f"{self.kind}:{self.low:.15g},{self.high:.15g}"
        return f"{self.kind}:{self.high:.15g}" if self.is_angle and not math.isnan(self.high) else self.kind

    @property
    def is_linear(self) -> bool:
        """Whether the transform leaves values unchanged."""
        return self.kind in ("none", "identity")

    @property
    def is_angle(self) -> bool:
        """Whether values are directions."""
        return self.kind in ("circular", "sine", "cosine")

    @property
    def turn(self) -> float:
        """A full turn, in the units of directions."""
        return self.high if math.isnan(self.low) else self.high - self.low

    def beginning(self, lowest: float) -> Transform:
        """Return the transform of directions with this lowest value: the range begins at 0, or half a turn below."""
        if not math.isnan(self.low):
            return self
        low = -self.turn / 2 if lowest < 0 else 0.0
        return Transform(self.kind, low, low + self.turn)

    def direction(self, sine: np.ndarray, cosine: np.ndarray) -> np.ndarray:
        """Return the directions of sine and cosine components, in [``low``, ``high``), of their type.

        Examples
        --------
        >>> north, east, west = Transform("sine", 0, 360).direction(np.array([0.0, 1.0, -1.0]), np.array([1.0, 0, 0]))
        >>> float(north), float(east), float(west)
        (0.0, 90.0, 270.0)
        """
        low = 0.0 if math.isnan(self.low) else self.low
        angle = np.arctan2(sine, cosine) * (self.turn / (2 * math.pi))
        directions = (low + np.mod(angle - low, self.turn)).astype(sine.dtype)
        # An angle just below a full turn may be rounded to it.
        return np.where(directions >= low + self.turn, directions.dtype.type(low), directions)

    def circular_spread(
        self, sine: np.ndarray, cosine: np.ndarray, sine_std: np.ndarray, cosine_std: np.ndarray
    ) -> np.ndarray:
        """Return the circular standard deviation of the directions of two normal components, in their units.

        It is ``sqrt(-2 ln R)`` with the mean resultant length ``R``. For a spread ``s`` perpendicular to the direction,
        ``R = sqrt(pi / 8) q exp(-q^2 / 4) (I0(q^2 / 4) + I1(q^2 / 4))`` with ``q = length / s`` (Mardia and Jupp 2000,
        Directional Statistics, section 9.3.3). The result is at most the root mean square difference of uniformly
        distributed directions, a turn over ``sqrt(12)``.
        """
        kind = np.result_type(sine, np.float32)
        sine, cosine, sine_std, cosine_std = (
            np.asarray(part, np.float64) for part in (sine, cosine, sine_std, cosine_std)
        )
        length = np.hypot(sine, cosine)
        safe = np.maximum(length, 1e-12)
        across = np.hypot(sine_std * cosine, cosine_std * sine) / safe
        quarter = (length / np.maximum(across, 1e-12)) ** 2 / 4
        resultant = np.sqrt(math.pi / 2 * quarter) * (ive(0, quarter) + ive(1, quarter))
        # For a small spread, R is so close to 1 that its logarithm would be a rounding error.
        wide = np.sqrt(-2 * np.log(np.clip(resultant, 1e-9, 1)))
        spread = np.where(quarter > 1e4, across / safe, wide) * (self.turn / (2 * math.pi))
        return np.minimum(spread, self.turn / math.sqrt(12)).astype(kind)

    def nearest(self, values: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return directions moved by whole turns so that they are nearest to others.

        Examples
        --------
        >>> Transform("sine", 0, 360).nearest(np.array([350.0, 10.0]), np.array([5.0, 20.0])).tolist()
        [-10.0, 10.0]
        """
        return others + np.mod(values - others + self.turn / 2, self.turn) - self.turn / 2

    @property
    def neutral(self) -> float:
        """A valid value of the transform, as placeholder for missing values."""
        if self.is_angle:
            return 0.0
        if self.kind != "bounded":
            return 1.0
        if self._is_two_sided:
            return (self.low + self.high) / 2
        return self.low if math.isfinite(self.low) else self.high

    def admits(self, values: np.ndarray) -> np.ndarray:
        """Return where values are valid for the transform; NaN is not."""
        if self.kind == "log":
            return values > 0
        if self.kind == "bounded":
            return (values >= self.low - self._tolerance) & (values <= self.high + self._tolerance)
        if self.is_angle:
            return np.abs(values) <= 2 * self.turn
        return ~np.isnan(values)

    def refusal(self, name: str, lowest: float, highest: float) -> str | None:
        """Return a sentence on why values between two extremes cannot be transformed; None if they can."""
        if self.admits(np.array([lowest, highest])).all():
            return None
        if self.kind == "log":
            return (
                f"transform log needs positive values, but {name} goes down to {lowest:g}; use --transform none or "
                "mask those values"
            )
        if self.is_angle:
            return (
                f"transform circular needs directions from {-2 * self.turn:g} to {2 * self.turn:g}, but {name} goes "
                f"from {lowest:g} to {highest:g}; mask those values, or give the ends of a full turn, as "
                "circular:0,360"
            )
        return (
            f"transform {self} needs values from {self.low:g} to {self.high:g}, but {name} goes from {lowest:g} to "
            f"{highest:g}; give other bounds or mask those values"
        )

    def forward(self, values: np.ndarray) -> np.ndarray:
        """Return transformed values in float64: the logarithm, the logit between two bounds, the square root with one.

        Parameters
        ----------
        values : ndarray
            Valid as in :meth:`admits`; NaN stays NaN.
        """
        values = np.asarray(values, np.float64)
        if self.kind == "log":
            return np.log(values)
        if self.is_angle:
            angle = np.mod(values, self.turn) * (2 * math.pi / self.turn)
            return np.sin(angle) if self.kind == "sine" else np.cos(angle)
        if self.kind != "bounded":
            return values
        if self._is_two_sided:
            share = EDGE + (1 - 2 * EDGE) * np.clip((values - self.low) / (self.high - self.low), 0, 1)
            return np.log(share / (1 - share))
        if math.isfinite(self.low):
            return np.sqrt(np.maximum(values - self.low, 0))
        return -np.sqrt(np.maximum(self.high - values, 0))

    def inverse(self, values: np.ndarray) -> np.ndarray:
        """Return the values with these transformed values, inside the bounds, of the same type."""
        if self.kind == "log":
            return np.exp(values)
        if self.kind != "bounded":
            return values
        if self._is_two_sided:
            share = np.clip((expit(values) - EDGE) / (1 - 2 * EDGE), 0, 1)
            return self._inside((self.low + (self.high - self.low) * share).astype(values.dtype))
        if math.isfinite(self.low):
            return self._inside(self.low + np.maximum(values, 0) ** 2)
        return self._inside(self.high - np.minimum(values, 0) ** 2)

    def moments(self, mean: np.ndarray, std: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of values whose transformed values are normal.

        For a logarithm the values are log-normal: the mean is ``exp(m + s^2 / 2)``, the standard deviation that times
        ``sqrt(exp(s^2) - 1)``. With one bound they are squares of a normal variable truncated at 0, with moments in
        closed form; with two bounds the moments are integrated numerically.

        Parameters
        ----------
        mean, std : ndarray of one shape
            Of the transformed values.

        Examples
        --------
        >>> mean, std = Transform("bounded", 0, 1).moments(np.array([-9.0, 0.0]), np.array([0.5, 0.5]))
        >>> mean.round(3).tolist(), std.round(3).tolist()
        ([0.0, 0.5], [0.0, 0.131])
        """
        kind = np.result_type(mean, np.float32)
        if self.is_linear:
            return mean, std
        if self.kind == "log":
            centre = np.exp(mean) * np.exp(std**2 / 2)
            return centre, centre * np.sqrt(np.expm1(std**2))
        mean, std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
        if self._is_two_sided:
            first, second = np.zeros_like(mean), np.zeros_like(mean)
            middle = expit(mean)
            for step, weight in zip(_STEPS, _WEIGHTS):
                share = np.clip((expit(mean + step * std) - EDGE) / (1 - 2 * EDGE), 0, 1) - middle
                first += weight * share
                second += weight * share**2
            spread = np.sqrt(np.maximum(second - first**2, 0)) * (self.high - self.low)
            centre = self.low + (self.high - self.low) * (middle + first)
            return self._inside(centre.astype(kind)), spread.astype(kind)
        side = 1.0 if math.isfinite(self.low) else -1.0
        centre, spread = _squared(side * mean, std)
        return self._inside(((self.low if side > 0 else self.high) + side * centre).astype(kind)), spread.astype(kind)

    def spread(self, error: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return standard deviations of transformed values from those of the values, ``error``, to first order.

        For bounded values, half the difference of the transformed ``values + error`` and ``values - error`` within the
        bounds is used, since the slope of a square root is infinite at its bound.
        """
        if self.is_linear:
            return error
        if self.kind == "log":
            return error / values
        if self.is_angle:
            return error * (2 * math.pi / self.turn)
        ends = np.clip(values + error, self.low, self.high), np.clip(values - error, self.low, self.high)
        spread = (self.forward(ends[0]) - self.forward(ends[1])) / 2
        return np.where(np.isinf(error), np.inf, spread)

    def unspread(self, spread: np.ndarray | float, values: np.ndarray) -> np.ndarray:
        """Return standard deviations of values from those of transformed values, ``spread``, to first order."""
        if self.is_linear:
            return np.broadcast_to(spread, values.shape)
        if self.kind == "log":
            return spread * np.abs(values)
        if self.is_angle:
            return np.broadcast_to(spread * (self.turn / (2 * math.pi)), values.shape)
        if self._is_two_sided:
            share = EDGE + (1 - 2 * EDGE) * np.clip((values - self.low) / (self.high - self.low), 0, 1)
            return spread * share * (1 - share) * (self.high - self.low) / (1 - 2 * EDGE)
        return 2 * spread * np.abs(self.forward(values))

    def clipped(self, values: np.ndarray) -> np.ndarray:
        """Return values clipped to the bounds."""
        return self._inside(values) if self.kind == "bounded" else values

    @property
    def _is_two_sided(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def _tolerance(self) -> float:
        """Largest distance of a value from its bounds, for rounding errors."""
        if self._is_two_sided:
            return ROUNDING * (self.high - self.low)
        return ROUNDING * abs(self.low if math.isfinite(self.low) else self.high)

    def _inside(self, values: np.ndarray) -> np.ndarray:
        """Return values clipped to the bounds, since rounding to their type may exceed a bound."""
        low, high = (np.array(bound).astype(values.dtype) for bound in (self.low, self.high))
        # Bounds that the type cannot represent are rounded inwards.
        low = low if float(low) >= self.low else np.nextafter(low, high)
        high = high if float(high) <= self.high else np.nextafter(high, low)
        return np.clip(values, low, high)


def parse_transforms(text: str) -> list[Transform]:
    """Return the transforms in a text with commas; two numbers after ``bounded:`` are its bounds.

    Raises
    ------
    InputError
        If one is unknown, or its bounds are not two numbers.

    Examples
    --------
    >>> [str(transform) for transform in parse_transforms("bounded:0,1,log,bounded:0,inf")]
    ['bounded:0,1', 'log', 'bounded:0,inf']
    """
    transforms: list[Transform] = []
    parts = text.split(",")
    while parts:
        part = parts.pop(0)
        # Names are not numbers, so the next part is either the upper bound or the transform of the next band.
        if ":" in part and parts and (_number(parts[0]) is not None or not parts[0].strip()):
            part += "," + parts.pop(0)
        transforms.append(Transform.parse(part))
    return transforms


def _bounds(text: str, numbers: str) -> tuple[float, float]:
    """Return the bounds after ``bounded:``; an empty bound is infinite."""
    ends = numbers.split(",")
    bounds = [unbounded if not end.strip() else _number(end) for end, unbounded in zip(ends, (-math.inf, math.inf))]
    example = "write the least and the largest value, as bounded:0,1, or one of them, as bounded:0,inf"
    if len(ends) != 2 or None in bounds:
        raise InputError(f"transform bounded needs two bounds, got {text.strip()!r}; {example}")
    low, high = (float(end) for end in bounds if end is not None)
    if not low < high or not (math.isfinite(low) or math.isfinite(high)):
        raise InputError(f"transform bounded needs a finite bound and a larger one, got {text.strip()!r}; {example}")
    return low, high


def _turn(text: str, numbers: str) -> tuple[float, float]:
    """Return the range of directions; for a single number, which is a full turn, NaN and that number."""
    ends = [_number(end) for end in numbers.split(",")]
    finite = [end for end in ends if end is not None and math.isfinite(end)]
    if len(finite) == len(ends) == 1 and finite[0] > 0:
        return math.nan, finite[0]
    if not (len(finite) == len(ends) == 2 and finite[0] < finite[1]):
        raise InputError(
            f"transform circular needs the ends of a full turn, got {text.strip()!r}; write circular:0,360, or "
            "circular alone for a field whose units are degrees or radians"
        )
    return finite[0], finite[1]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _squared(mean: np.ndarray, std: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of ``max(X, 0) ** 2`` for a normal X."""
    std = np.maximum(std, 1e-12)
    ratio = mean / std
    below, at = ndtr(ratio), np.exp(-(ratio**2) / 2) / math.sqrt(2 * math.pi)
    first = (mean**2 + std**2) * below + mean * std * at
    fourth = (mean**4 + 6 * mean**2 * std**2 + 3 * std**4) * below + (mean**3 * std + 5 * mean * std**3) * at
    return np.maximum(first, 0), np.sqrt(np.maximum(fourth - first**2, 0))
