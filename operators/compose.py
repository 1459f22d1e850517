"""Several measurement processes, one after another."""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from geogan.operators.errors import InputError
from geogan.operators.operator import Observation, Operator, Theta


@dataclass(frozen=True)
class Compose(Operator):
    """Apply operators one after another: blur, then clouds, then noise.

    The mask is the product of all masks. The noises add up as independent ones do, in quadrature, and
    are added at the end: they belong to the instrument, which comes last.

    Parameters
    ----------
    operators : tuple of Operator
        In the order in which the measurement happens.

    Raises
    ------
    InputError
        If there is no operator, or one that blurs comes after one that hides: the blur would mix the
        zeros of the gaps into the values beside them.

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
        hiding = None
        for operator in self.operators:
            if operator.blurs and hiding is not None:
                raise InputError(
                    f"{type(operator).__name__} blurs and must come before {hiding}, which hides cells, "
                    "but came "
                    "after it; put the blur first, so that gaps do not leak into the values beside them"
                )
            if operator.masks:
                hiding = type(operator).__name__

    @property
    def noise(self) -> float:
        """Standard deviation of all noises together, in units of the standardised anomaly."""
        return math.hypot(*(operator.noise for operator in self.operators))

    @property
    def masks(self) -> bool:
        """Whether any of them hides cells."""
        return any(operator.masks for operator in self.operators)

    @property
    def blurs(self) -> bool:
        """Whether any of them blurs."""
        return any(operator.blurs for operator in self.operators)

    @property
    def exact(self) -> bool:
        """Whether all of them let the field's own values through."""
        return all(operator.exact for operator in self.operators)

    @property
    def channelwise(self) -> bool:
        """Whether any of them gives channels gaps of their own."""
        return any(operator.channelwise for operator in self.operators)

    def check_shape(self, shape: tuple[int, int, int, int, int]) -> None:
        """Refuse what any of them refuses."""
        for operator in self.operators:
            operator.check_shape(shape)

    def fitted(self, observed: np.ndarray, domain: np.ndarray, *, seed: int = 0) -> Self:
        """Each operator fitted to the same gaps.

        Two operators that hide cells, both left to be fitted, would hide the archive's gaps twice; give
        the parameters of all but one.
        """
        fitted = tuple(operator.fitted(observed, domain, seed=seed) for operator in self.operators)
        same = all(new is old for new, old in zip(fitted, self.operators))
        return self if same else replace(self, operators=fitted)

    def sample(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Theta:
        """One draw of each operator, in order."""
        return tuple(operator.sample(shape, generator=generator) for operator in self.operators)

    def apply(self, x: Tensor, theta: Theta) -> Observation:
        """Each operator on what the one before let through; shapes (B, T, C, H, W)."""
        assert isinstance(theta, tuple)
        values, mask = x, torch.ones_like(x)
        for operator, draw in zip(self.operators, theta, strict=True):
            values, seen = operator.apply(values, draw)
            mask = mask * seen
        # Nothing may be left where an earlier operator hid the cell, whatever the later ones put there.
        return Observation(torch.where(mask > 0, values, torch.zeros_like(values)), mask)

    def blur(self, x: Tensor) -> Tensor:
        """``x`` blurred by each operator in turn, shape (B, T, C, H, W)."""
        for operator in self.operators:
            x = operator.blur(x)
        return x

    def at(self, size: tuple[int, int], step: float, *, seed: int, channels: int = 1) -> Theta:
        """The date's draw of each operator."""
        # Each its own stream: the same seed would put the stations of two operators on the same cells.
        streams = np.random.SeedSequence(seed % 2**64).generate_state(len(self.operators), np.uint64).tolist()
        return tuple(
            operator.at(size, step, seed=stream, channels=channels) for operator, stream in zip(self.operators, streams)
        )

    def around(self, is_periodic: bool) -> Self:
        """Each operator on frames that go once round the globe, or do not."""
        return replace(self, operators=tuple(operator.around(is_periodic) for operator in self.operators))

    def state(self) -> dict[str, Tensor]:
        """The arrays of all operators; each name led by the operator's position."""
        return {
            f"{position}.{name}": array
            for position, operator in enumerate(self.operators)
            for name, array in operator.state().items()
        }

    def with_state(self, state: dict[str, Tensor]) -> Self:
        """Each operator with its own arrays put back."""
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
