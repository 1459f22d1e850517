"""The Operator protocol: draw the parameters of a measurement, then apply them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
import torch
from torch import Tensor

Theta = Tensor | tuple["Theta", ...]
"""A draw of an operator's parameters: a tensor, or a tuple of draws; ``()`` if nothing is random."""


class Observation(NamedTuple):
    """A measurement: values and mask.

    Attributes
    ----------
    values : Tensor, shape (B, T, C, H, W)
        Standardised anomalies; 0 where ``mask`` is 0.
    mask : Tensor, shape (B, T, C, H, W)
        1 where observed, 0 in a gap; the type of ``values``.

    Examples
    --------
    >>> import torch
    >>> Observation(values=torch.zeros(1, 1, 1, 2, 3), mask=torch.zeros(1, 1, 1, 2, 3)).mask.sum()
    tensor(0.)
    """

    values: Tensor
    mask: Tensor


class CellSize(NamedTuple):
    """Distances of neighbouring cells in the middle of a grid, in km.

    Attributes
    ----------
    rows : float
        From one row to the next.
    columns : float
        From one column to the next.
    latitude : float, optional
        Of the middle, in degrees.

    Examples
    --------
    >>> CellSize(rows=4.0, columns=1.0).mean
    2.0
    """

    rows: float
    columns: float
    latitude: float | None = None

    @property
    def mean(self) -> float:
        """Geometric mean, for lengths without a direction."""
        return float(np.sqrt(self.rows * self.columns))


@runtime_checkable
class Operator(Protocol):
    """A measurement process ``y = F(x; theta)`` (section 3 of the paper); its noise, if any, is a part of theta.

    An operator is a frozen dataclass whose fields are its whole configuration. Inherit from this protocol for the
    defaults that most operators share, and write ``sample`` and ``apply``.

    Examples
    --------
    >>> import torch
    >>> from geogan.operators.pixels import RemovePixel
    >>> operator = RemovePixel(p=0.5)
    >>> isinstance(operator, Operator), operator.masks, operator.exact
    (True, True, True)
    >>> theta = operator.sample((2, 3, 1, 8, 6), generator=torch.Generator().manual_seed(0))
    >>> operator.apply(torch.ones(2, 3, 1, 8, 6), theta).values.shape
    torch.Size([2, 3, 1, 8, 6])
    """

    lengths: ClassVar[Mapping[str, str]] = {}
    """Parameters that are lengths, which may be given in km, and the distance of `CellSize` that converts each."""

    @property
    def noise(self) -> float:
        """Standard deviation of the noise that theta adds, in units of the standardised anomaly."""
        return 0.0

    @property
    def masks(self) -> bool:
        """Whether the operator hides cells."""
        return True

    @property
    def blurs(self) -> bool:
        """Whether a measured value also depends on neighbouring cells."""
        return False

    @property
    def exact(self) -> bool:
        """Whether observed values equal those of the field: no blur, no noise."""
        return self.noise == 0 and not self.blurs

    @property
    def channelwise(self) -> bool:
        """Whether gaps differ between channels."""
        return False

    def check_shape(self, shape: tuple[int, int, int, int, int]) -> None:
        """Raise `InputError` if the operator cannot measure films of ``shape`` (B, T, C, H, W)."""
        return None  # noqa: RET501 (a body, or it would be abstract)

    def fitted(self, observed: np.ndarray, domain: np.ndarray, *, seed: int = 0) -> Self:
        """Return the operator with parameters that are ``None`` fitted to the gaps of an archive.

        Parameters
        ----------
        observed : ndarray of bool, shape (N, H, W) or (N, C, H, W)
            True where measured; consecutive rows are consecutive dates.
        domain : ndarray of bool, shape (H, W)
            True where the quantity exists; cells elsewhere (land) do not count as gaps.
        seed : int
            Seed of random choices in fitting.

        Returns
        -------
        operator
            ``self`` if there is nothing to fit.
        """
        return self

    def sample(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Theta:
        """Draw parameters for films of ``shape`` (B, T, C, H, W), on the generator's device."""
        ...

    def apply(self, x: Tensor, theta: Theta) -> Observation:
        """Return ``F(x; theta)`` with the noise of theta: deterministic, differentiable in ``x``, on any device.

        F is affine in ``x``: ``apply(0, theta)`` is the noise under the mask.

        Parameters
        ----------
        x : Tensor, shape (B, T, C, H, W)
            Fields, as standardised anomalies.
        theta : Theta
            A draw of ``sample`` for the shape of ``x``.

        Returns
        -------
        Observation
            Of the shape and type of ``x``.
        """
        ...

    def blur(self, x: Tensor) -> Tensor:
        """Return the measurement of ``x`` without gaps and noise, (B, T, C, H, W); differentiable.

        It is ``x`` itself for operators without a blur. Measurements must be compared with the blurred ``x``, or
        training would make the reconstruction as smooth as the measurements.
        """
        return x

    def point_spread(self) -> Tensor | None:
        """Return the weights of the cells around a cell in its measured value: the kernel of `blur`.

        Returns
        -------
        Tensor of float64, shape (kh, kw), or None
            Odd sides, with the sum 1, in cells: ``blur(x)[i] = sum_k kernel[k] x[i + k - centre]``. At the border of a
            frame, weights are divided by their sum inside the frame. None if there is no blur, or if the blur has no
            such kernel; it differs from None wherever `blurs` is True for the operators of geogan.
        """
        return None

    @property
    def downsampling(self) -> tuple[int, int]:
        """Rows and columns between the cells at which a coarse sensor measures; (1, 1) for other operators."""
        return 1, 1

    def at(self, size: tuple[int, int], step: float, *, seed: int, channels: int = 1) -> Theta:
        """Return the parameters of one date: a function of ``seed``, ``step`` and the shape of the frame only.

        Parameters
        ----------
        size : (int, int)
            Height and width of the frame, in cells.
        step : float
            The date, counted in frames.
        seed : int
            Two seeds give two independent histories.
        channels : int
            Number of channels of the frame; only ``channelwise`` operators and noise use it.

        Returns
        -------
        Theta
            As from ``sample((1, 1, channels, *size))``, on the CPU. Operators with persistence override this method,
            so that neighbouring dates are correlated.
        """
        return self.sample((1, 1, channels, *size), generator=dated_generator(seed, step))

    def without_noise(self) -> Self:
        """Return the operator with the same gaps and blur and no noise, whose theta has no noise either."""
        return self

    def on_grid(self, cells: CellSize | None) -> "Operator":
        """Return the operator with lengths in km converted to cells; ``self`` if all are in cells.

        Raises
        ------
        InputError
            If a length is in km and ``cells`` is None.
        """
        return self

    def in_cells(self, lengths: Mapping[str, float], cells: CellSize) -> Self:
        """Return the operator with some parameters given in km.

        Parameters
        ----------
        lengths : mapping of str to float
            Names of parameters in `lengths`, and values in km.
        cells : CellSize
        """
        return replace(
            self,  # type: ignore[type-var]
            **{name: rounded(value / getattr(cells, self.lengths[name])) for name, value in lengths.items()},
        )

    def around(self, is_periodic: bool) -> Self:
        """Return the operator for frames that go once round the globe, or for frames that do not.

        Parameters
        ----------
        is_periodic : bool
            Whether the last column of a frame is the neighbour of the first: clouds and blurs then cross the seam.
            Operators on single cells are the same for both.

        Examples
        --------
        >>> from geogan.operators.cloud import CloudMask
        >>> CloudMask(scale=5).around(True).is_periodic
        True
        """
        return self

    def state(self) -> dict[str, Tensor]:
        """Return fitted arrays that are too large to be parameters, by name; empty for most operators."""
        return {}

    def with_state(self, state: dict[str, Tensor]) -> Self:
        """Return the operator with the arrays from ``state`` restored."""
        return self


def rounded(value: float) -> float:
    """Return a length in cells with six digits, to be read by people.

    Examples
    --------
    >>> rounded(2.499999999)
    2.5
    """
    return float(f"{value:.6g}")


def dated_generator(seed: int, *key: float) -> torch.Generator:
    """Return a generator that depends only on ``seed`` and ``key``, on the CPU.

    Parameters
    ----------
    seed : int
        Any whole number.
    *key : float
        The date, and numbers that distinguish streams of the same date.

    Returns
    -------
    torch.Generator

    Examples
    --------
    >>> a, b = (torch.rand(1, generator=dated_generator(7, 18262.0)) for _ in range(2))
    >>> bool(a == b)
    True
    """
    # The bits of the floats, since 06:00 and 18:00 of a day have the same integer part. Adding 0.0 turns -0.0 into 0.0.
    bits = (np.asarray(key, dtype=np.float64) + 0.0).view(np.uint64).tolist()
    state = np.random.SeedSequence([seed % 2**64, *bits]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]) % 2**63)


def masked(x: Tensor, mask: Tensor) -> Observation:
    """Return the observation of ``x`` where ``mask`` is 1.

    Parameters
    ----------
    x : Tensor, shape (B, T, C, H, W)
    mask : Tensor of bool, broadcastable to the shape of ``x``
        True where observed.

    Returns
    -------
    Observation

    Examples
    --------
    >>> masked(torch.tensor([2.0, float("nan")]), torch.tensor([True, False])).values
    tensor([2., 0.])
    """
    seen = mask.to(x.device).expand(x.shape)
    # torch.where, not a product: NaN * 0 would be NaN.
    return Observation(torch.where(seen, x, torch.zeros((), dtype=x.dtype, device=x.device)), seen.to(x.dtype))


def each_tensor(theta: Any, function: Callable[[Tensor], Any]) -> Any:
    """Return a draw of theta with a function applied to each of its tensors; None stays None.

    Examples
    --------
    >>> import torch
    >>> each_tensor((torch.arange(3), ()), lambda part: part[:1])
    (tensor([0]), ())
    """
    if theta is None or isinstance(theta, Tensor):
        return None if theta is None else function(theta)
    return tuple(each_tensor(part, function) for part in theta)
