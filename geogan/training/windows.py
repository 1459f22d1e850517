"""Training windows: random crops of blocks in space and time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from geogan.fields.circle import columns
from geogan.operators.operator import dated_generator
from geogan.prior import Film, GaussianPrior, Prior


@dataclass(frozen=True)
class WindowSampler:
    """How windows are drawn from blocks.

    Attributes
    ----------
    frames : int
        Dates of a window.
    crop : (int, int)
        Height and width of a window, in cells.
    mirrored : {"each", "both", "columns", "none"}
        Whether windows are mirrored at random: along each axis, along both axes or neither, left to right only, or
        never.
    circle : int or None
        Columns of a block that goes once round the globe: windows then also lie across its seam.
    seed : int
        Windows, and theta, of a step depend only on the seed and the step.
    """

    frames: int
    crop: tuple[int, int]
    mirrored: Literal["each", "both", "columns", "none"] = "each"
    circle: int | None = None
    seed: int = 0

    @classmethod
    def of(
        cls,
        prior: Prior | None,
        *,
        frames: int,
        crop: tuple[int, int],
        circle: int | None = None,
        seed: int = 0,
        is_image: bool = False,
    ) -> WindowSampler:
        """Return the sampler whose windows may be mirrored as far as the covariance of the first guess allows it.

        A covariance that is tilted along a diagonal is tilted along the other in a mirror, so both axes are mirrored;
        a covariance that knows each cell of the grid, and a field that drifts, cannot be mirrored; an elliptical
        beam is a tilt too. Images are never
        turned upside down: a photograph has a top and a bottom.
        """
        if is_image:
            is_tilted = isinstance(prior, GaussianPrior) and bool(prior.tilt)
            is_mirrored = (prior is None or isinstance(prior, GaussianPrior)) and not is_tilted
            return cls(frames, crop, "columns" if is_mirrored else "none", circle, seed)
        if prior is None:
            return cls(frames, crop, "each", circle, seed)
        if prior.blur is not None and not prior.blur.is_symmetric:
            return cls(frames, crop, "both" if prior.blur.is_even else "none", circle, seed)
        if not isinstance(prior, GaussianPrior) or prior.is_moving:
            return cls(frames, crop, "none", circle, seed)
        return cls(frames, crop, "both" if prior.tilt else "each", circle, seed)

    @property
    def is_periodic(self) -> bool:
        """Whether a window goes once round the globe, so that its last column touches its first."""
        return self.crop[1] == self.circle

    def generator(self, step: int) -> torch.Generator:
        """Return the random numbers of a step."""
        stream = 5.0  # separates these random numbers from others of the same seed
        return dated_generator(self.seed, step, stream)

    def draw(
        self,
        blocks: Sequence[Film | None],
        batch: int,
        generator: torch.Generator,
        numbers: slice = slice(None),
    ) -> Film:
        """Draw a batch of windows.

        Window ``i`` comes from one of the blocks ``i % d, i % d + d, ...``, where ``d`` is the greatest common divisor
        of the numbers of windows and of blocks: blocks serve equally often, and some windows need only some blocks.

        Parameters
        ----------
        blocks : sequence of Film or None
            At least as large as a window; None for a block that the windows ``numbers`` do not need.
        batch : int
        generator : torch.Generator
            The draws from it do not depend on ``numbers``.
        numbers : slice
            Windows to return, of the batch.
        """
        draws = torch.rand((batch, 6), generator=generator, dtype=torch.float64).tolist()
        step = math.gcd(batch, len(blocks))
        windows = []
        for number in range(batch)[numbers]:
            candidates = blocks[number % step :: step]
            block = candidates[int(draws[number][0] * len(candidates))]
            assert block is not None, f"the block of window {number} is missing"
            windows.append(self._cut(block, *draws[number][1:]))
        return Film.stack(windows)

    def _cut(self, block: Film, t: float, y: float, x: float, *mirrors: float) -> Film:
        """Return the window at relative positions between 0 and 1, mirrored along y or x if a draw is below 0.5."""
        length, (height, width) = len(block.days), block.domain.shape
        across_seam = self.circle is not None and not (self.mirrored == "none" and self.is_periodic)
        first_date = int(t * (length - self.frames + 1))
        top = int(y * (height - self.crop[0] + 1))
        left = int(x * (width if across_seam else width - self.crop[1] + 1))
        if self.mirrored == "both":
            mirrors = mirrors[:1] * 2
        elif self.mirrored == "columns":
            mirrors = (1.0, *mirrors[1:])
        flips = tuple(axis for axis, draw in zip((-2, -1), mirrors, strict=True) if draw < 0.5)
        place = columns(slice(left, left + self.crop[1]), width)
        return block.window(
            slice(first_date, first_date + self.frames),
            slice(top, top + self.crop[0]),
            place if isinstance(place, slice) else torch.from_numpy(place),
            () if self.mirrored == "none" else flips,
        )
