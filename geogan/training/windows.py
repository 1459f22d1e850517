"""Training windows: random crops in space and time, drawn from blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from geogan.fields.circle import columns
from geogan.training.blocks import Block


class Windows(NamedTuple):
    """A batch of windows, (B, T, C, h, w) but for ``domain`` (B, 1, 1, h, w), ``days`` (B, T), ``members`` (B, M, ...).

    The names are those of :class:`geogan.training.blocks.Block`; ``covariates`` (B, K, h, w) are those of the middle
    frame.
    """

    values: Tensor
    mask: Tensor
    kept: Tensor
    guess: Tensor
    domain: Tensor
    days: Tensor
    clean: Tensor | None = None
    noise: Tensor | None = None
    members: Tensor | None = None
    covariates: Tensor | None = None
    near: Tensor | None = None
    uncertainty: Tensor | None = None
    deviation: Tensor | None = None

    def first(self, count: int) -> Windows:
        """The first so many windows."""
        return Windows(*(part if part is None else part[:count] for part in self))  # type: ignore[arg-type]

    def to(self, device: torch.device) -> Windows:
        """The same windows on another device; but for the days, which the host looks at."""
        parts = (part if part is None else part.to(device, non_blocking=True) for part in self)
        return Windows(*parts)._replace(days=self.days)  # type: ignore[arg-type]


def draw_windows(
    blocks: Sequence[Block | None],
    *,
    batch: int,
    frames: int,
    crop: tuple[int, int],
    generator: torch.Generator,
    share: slice = slice(None),
    turned: bool = True,
    tilted: bool = False,
    is_periodic: bool = False,
) -> Windows:
    """Draw a batch of windows, turned over at random.

    The blocks are dealt out among the windows, as evenly as their numbers allow: window ``i`` comes from one of every
    so many blocks. Of several processes that share a batch, each then needs its own blocks only.

    Parameters
    ----------
    blocks : sequence of Block or None
        At least ``frames`` dates and ``crop`` cells large; None where another process has it.
    batch, frames : int
        Windows to draw, dates of each.
    crop : (int, int)
        Height and width of a window, in cells.
    generator : torch.Generator
    share : slice
        Which windows of the batch to cut. All are drawn: whoever cuts some of them cuts what the one who cuts all does.
    turned : bool
        False to leave them as they are: a first guess that knows the grid's cells cannot be turned over.
    tilted : bool
        Along both axes or along none: a covariance that leans to one side leans to the other in a mirror.
    is_periodic : bool
        Whether blocks go once round the globe: windows then lie across the seam too, unless they are to be left as they
        are.
    """
    places = torch.rand((batch, 6), generator=generator, dtype=torch.float64).tolist()
    dealt = math.gcd(batch, len(blocks))
    drawn = []
    for number in range(batch)[share]:
        which, when, down, right, *turns = places[number]
        among = blocks[number % dealt :: dealt]
        block = among[int(which * len(among))]
        assert block is not None, f"window {number} is cut from a block of another process"
        t = int(when * (block.values.shape[0] - frames + 1))
        y = int(down * (block.values.shape[-2] - crop[0] + 1))
        width = block.values.shape[-1]
        x = int(right * (width if is_periodic and turned else width - crop[1] + 1))
        turns = turns[:1] * 2 if tilted else turns
        flips = [axis for axis, turn in zip((-2, -1), turns, strict=True) if turned and turn < 0.5]
        place = columns(slice(x, x + crop[1]), width)
        space = (slice(y, y + crop[0]), place if isinstance(place, slice) else torch.from_numpy(place))
        here = (slice(t, t + frames), slice(None), *space)
        films = [part[here].flip(flips) for part in block[:4]]
        extra = [None if part is None else part[here].flip(flips) for part in (block.clean, block.noise)]
        extra.append(None if block.members is None else block.members[:, *here].flip(flips))
        beside = None if block.covariates is None else block.covariates[t + frames // 2]
        extra.append(None if beside is None else beside[:, *space].flip(flips))
        extra.append(None if block.near is None else block.near[here].flip(flips))
        for part in (block.uncertainty, block.deviation):
            extra.append(None if part is None else part[here].flip(flips))
        drawn.append([*films, block.domain[None, None, *space].flip(flips), block.days[t : t + frames], *extra])
    stacked = [None if parts[0] is None else torch.stack(parts) for parts in zip(*drawn, strict=True)]
    return Windows(*stacked)  # type: ignore[arg-type]
