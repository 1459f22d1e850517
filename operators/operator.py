"""What every measurement process of this room has in common: draw its parameters, then apply them."""

from typing import NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
import torch
from torch import Tensor

Theta = Tensor | tuple["Theta", ...]
"""One draw of an operator's parameters: a tensor, or a tuple of draws; ``()`` where nothing is random."""


class Observation(NamedTuple):
    """A measurement: what was seen, and where.

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


@runtime_checkable
class Operator(Protocol):
    """A measurement process ``F(x; theta) + epsilon``.

    A frozen dataclass whose fields are its whole configuration. Inherit from this protocol to take over
    what is the same for most operators, and write ``sample`` and ``apply``.

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

    @property
    def noise(self) -> float:
        """Standard deviation of epsilon, in units of the standardised anomaly."""
        return 0.0

    @property
    def masks(self) -> bool:
        """Whether it hides cells."""
        return True

    @property
    def blurs(self) -> bool:
        """Whether a value it lets through also depends on the cells around."""
        return False

    @property
    def exact(self) -> bool:
        """Whether what it lets through is the field's own value: no blur, no noise."""
        return self.noise == 0 and not self.blurs

    @property
    def channelwise(self) -> bool:
        """Whether channels have gaps of their own; else theta does not depend on how many there are."""
        return False

    def check_shape(self, shape: tuple[int, int, int, int, int]) -> None:
        """Say at once, with an `InputError`, that films of ``shape`` (B, T, C, H, W) cannot be measured."""
        return None  # noqa: RET501 (a body, or it would be abstract)

    def fitted(self, observed: np.ndarray, domain: np.ndarray, *, seed: int = 0) -> Self:
        """The operator with the parameters left ``None`` fitted to an archive's own gaps.

        Parameters
        ----------
        observed : ndarray of bool, shape (N, H, W) or (N, C, H, W)
            True where measured; consecutive rows are consecutive dates.
        domain : ndarray of bool, shape (H, W)
            True where the quantity exists; gaps elsewhere (land) are no gaps.
        seed : int
            Seed of whatever is drawn in fitting.

        Returns
        -------
        operator
            ``self`` where nothing is to fit.
        """
        return self

    def sample(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Theta:
        """Draw parameters for films of ``shape`` (B, T, C, H, W), on the generator's device."""
        ...

    def apply(self, x: Tensor, theta: Theta) -> Observation:
        """``F(x; theta)``, without epsilon: deterministic, differentiable in ``x``, on any device.

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
        """What would be measured of ``x`` if nothing were hidden and there were no noise, (B, T, C, H, W).

        ``x`` itself for most operators; differentiable. Measurements must be compared with this, never with
        ``x``, or a reconstruction would be drawn towards its own blur.
        """
        return x

    def at(self, size: tuple[int, int], step: float, *, seed: int, channels: int = 1) -> Theta:
        """The parameters of one date: a function of ``seed``, ``step`` and the frame's shape alone.

        Parameters
        ----------
        size : (int, int)
            Height and width of the frame, in cells.
        step : float
            The date, counted in frames.
        seed : int
            Two seeds give two independent histories.
        channels : int
            Number of channels of the frame; it matters to operators that are ``channelwise``.

        Returns
        -------
        Theta
            As ``sample((1, 1, channels, *size))`` would give, on the CPU. Operators with a memory override this,
            so that neighbouring dates resemble each other.
        """
        return self.sample((1, 1, channels, *size), generator=dated_generator(seed, step))

    def around(self, is_periodic: bool) -> Self:
        """Return the operator on frames that go once round the globe, or on frames that do not.

        Parameters
        ----------
        is_periodic : bool
            Whether the last column of a frame touches the first: clouds and blurs then lie across the seam. Operators
            that look at single cells are the same on both.

        Examples
        --------
        >>> from geogan.operators.cloud import CloudMask
        >>> CloudMask(scale=5).around(True).is_periodic
        True
        """
        return self

    def state(self) -> dict[str, Tensor]:
        """Fitted arrays too large to be parameters, by name; empty for most operators."""
        return {}

    def with_state(self, state: dict[str, Tensor]) -> Self:
        """The operator with the arrays that ``state`` gave put back."""
        return self


def dated_generator(seed: int, *key: float) -> torch.Generator:
    """A generator that depends on ``seed`` and ``key`` alone, on the CPU.

    Parameters
    ----------
    seed : int
        Any whole number.
    *key : float
        The date, and what else tells streams apart.

    Returns
    -------
    torch.Generator

    Examples
    --------
    >>> a, b = (torch.rand(1, generator=dated_generator(7, 18262.0)) for _ in range(2))
    >>> bool(a == b)
    True
    """
    # The bits of the floats, not their integer parts: 06:00 and 18:00 of one day are two dates.
    # Adding 0.0 turns -0.0 into 0.0.
    bits = (np.asarray(key, dtype=np.float64) + 0.0).view(np.uint64).tolist()
    state = np.random.SeedSequence([seed % 2**64, *bits]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]) % 2**63)


def masked(x: Tensor, mask: Tensor) -> Observation:
    """See ``x`` where ``mask`` is 1.

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
    # where, not a product: a NaN under a cloud must not come through as NaN * 0.
    return Observation(torch.where(seen, x, torch.zeros((), dtype=x.dtype, device=x.device)), seen.to(x.dtype))


def add_noise(observation: Observation, noise: float, *, generator: torch.Generator) -> Observation:
    """Add ``epsilon ~ N(0, noise**2)`` where something is observed.

    Parameters
    ----------
    observation : Observation
        Of shape (B, T, C, H, W).
    noise : float
        Standard deviation, in units of the standardised anomaly; 0 returns ``observation`` itself.
    generator : torch.Generator
        On the device of ``observation``.

    Returns
    -------
    Observation
        With the same mask.

    Examples
    --------
    >>> seen = Observation(torch.zeros(1, 1, 1, 1, 2), torch.tensor([[[[[1.0, 0.0]]]]]))
    >>> noisy = add_noise(seen, 0.3, generator=torch.Generator().manual_seed(0))
    >>> (noisy.values != 0).flatten().tolist()
    [True, False]
    """
    if noise == 0:
        return observation
    values, mask = observation
    epsilon = torch.randn(values.shape, generator=generator, device=generator.device, dtype=values.dtype)
    return Observation(values + noise * epsilon.to(values.device) * mask, mask)
