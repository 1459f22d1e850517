"""Composition of operators, applied one after another."""

import math
from dataclasses import dataclass, replace
from functools import reduce
from typing import Self

import numpy as np
import torch
from torch import Tensor

from geogan.operators.errors import InputError
from geogan.operators.kernels import composed
from geogan.operators.operator import CellSize, Observation, Operator, Theta


@dataclass(frozen=True)
class Compose(Operator):
    """Apply operators one after another, such as a blur with noise, then clouds.

    The mask is the product of all masks. Noises are independent, so their variances add; a later blur reduces them.

    Parameters
    ----------
    operators : tuple of Operator
        In the order of the measurement.

    Raises
    ------
    InputError
        If there is no operator, or a blur comes after an operator that hides cells: it would mix the zeros of gaps
        into the neighbouring values.

    Examples
    --------
    >>> from geogan.operators.convolve import ConvolveNoise
    >>> from geogan.operators.pixels import RemovePixel
    >>> both = Compose((ConvolveNoise(l=3, sigma=0.1), RemovePixel(p=0.5)))
    >>> both.masks, both.exact, both.noise
    (True, False, 0.1)
    """

    operators: tuple[Operator, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "operators", tuple(self.operators))
        if not self.operators:
            raise InputError("compose needs at least one operator, got none; name one, such as cloud_mask")
        masking = None
        for operator in self.operators:
            if operator.blurs and masking is not None:
                raise InputError(
                    f"{type(operator).__name__} blurs and must come before {masking}, which hides cells, but came "
                    "after it; put the blur first, so that gaps do not leak into the values beside them"
                )
            if operator.masks:
                masking = type(operator).__name__

    @property
    def noise(self) -> float:
        """Standard deviation of the sum of all noises, in units of the standardised anomaly.

        A later blur reduces noise as if it were white.
        """
        variance = 0.0
        for operator in self.operators:
            kernel = operator.point_spread() if variance else None
            variance *= 1.0 if kernel is None else float(kernel.square().sum())
            variance += operator.noise**2
        return math.sqrt(variance)

    @property
    def masks(self) -> bool:
        """Whether any operator hides cells."""
        return any(operator.masks for operator in self.operators)

    @property
    def blurs(self) -> bool:
        """Whether any operator blurs."""
        return any(operator.blurs for operator in self.operators)

    @property
    def exact(self) -> bool:
        """Whether all operators leave observed values unchanged."""
        return all(operator.exact for operator in self.operators)

    @property
    def channelwise(self) -> bool:
        """Whether gaps differ between channels for any operator."""
        return any(operator.channelwise for operator in self.operators)

    def check_shape(self, shape: tuple[int, int, int, int, int]) -> None:
        """Refuse a shape that any operator refuses."""
        for operator in self.operators:
            operator.check_shape(shape)

    def fitted(self, observed: np.ndarray, domain: np.ndarray, *, seed: int = 0) -> Self:
        """Return the composition with each operator fitted to the same gaps.

        Give the parameters of all masking operators but one: two fitted ones would hide the gaps of the archive twice.
        """
        fitted = tuple(operator.fitted(observed, domain, seed=seed) for operator in self.operators)
        same = all(new is old for new, old in zip(fitted, self.operators))
        return self if same else replace(self, operators=fitted)

    def sample(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Theta:
        """Draw parameters of each operator, in order."""
        return tuple(operator.sample(shape, generator=generator) for operator in self.operators)

    def apply(self, x: Tensor, theta: Theta) -> Observation:
        """Apply each operator to the result of the one before; shapes (B, T, C, H, W)."""
        assert isinstance(theta, tuple)
        values, mask = x, torch.ones_like(x)
        for operator, draw in zip(self.operators, theta, strict=True):
            values, seen = operator.apply(values, draw)
            mask = mask * seen
        # Later operators may have put values into cells that an earlier one hid.
        return Observation(torch.where(mask > 0, values, torch.zeros_like(values)), mask)

    def blur(self, x: Tensor) -> Tensor:
        """Return ``x`` blurred by each operator in turn, shape (B, T, C, H, W)."""
        for operator in self.operators:
            x = operator.blur(x)
        return x

    def point_spread(self) -> Tensor | None:
        """Return the kernel of all blurs in turn; None if nothing blurs, or a blur has no kernel."""
        blurs = [operator.point_spread() for operator in self.operators if operator.blurs]
        if not blurs or any(kernel is None for kernel in blurs):
            return None
        return reduce(composed, (kernel for kernel in blurs if kernel is not None))

    @property
    def downsampling(self) -> tuple[int, int]:
        """Rows and columns between the cells at which the coarsest sensor measures."""
        rows, columns = zip(*(operator.downsampling for operator in self.operators))
        return math.lcm(*rows), math.lcm(*columns)

    def at(self, size: tuple[int, int], step: float, *, seed: int, channels: int = 1) -> Theta:
        """Return the parameters of each operator at a date."""
        # One random stream for each operator: the same seed would put the stations of two operators on the same cells.
        streams = np.random.SeedSequence(seed % 2**64).generate_state(len(self.operators), np.uint64).tolist()
        return tuple(
            operator.at(size, step, seed=stream, channels=channels) for operator, stream in zip(self.operators, streams)
        )

    def without_noise(self) -> Self:
        """Return the composition of the operators without their noise."""
        return replace(self, operators=tuple(operator.without_noise() for operator in self.operators))

    def on_grid(self, cells: CellSize | None) -> Self:
        """Return the composition with lengths in km converted to cells."""
        return replace(self, operators=tuple(operator.on_grid(cells) for operator in self.operators))

    def around(self, is_periodic: bool) -> Self:
        """Return the composition for frames that go once round the globe, or do not."""
        return replace(self, operators=tuple(operator.around(is_periodic) for operator in self.operators))

    def state(self) -> dict[str, Tensor]:
        """Return the arrays of all operators; names begin with the position of the operator."""
        return {
            f"{position}.{name}": array
            for position, operator in enumerate(self.operators)
            for name, array in operator.state().items()
        }

    def with_state(self, state: dict[str, Tensor]) -> Self:
        """Return the composition with the arrays of each operator restored."""
        operators = tuple(
            operator.with_state(
                {
                    name.removeprefix(f"{position}."): array
                    for name, array in state.items()
                    if name.startswith(f"{position}.")
                }
            )
            for position, operator in enumerate(self.operators)
        )
        return replace(self, operators=operators)
